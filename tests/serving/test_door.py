"""Keys at the door: asked of the store now and then, and remembered while it is out."""

import asyncio
import threading
import time

import pytest
from starlette.requests import Request

from proactrec.errors import AccessError, StoreError, UnknownKeyError
from proactrec.serving import access
from proactrec.serving.access import Door
from proactrec.store.keys import Access


class Book:
    """Keys of a store, which may be out of reach."""

    def __init__(self) -> None:
        self.n_looks, self.is_out = 0, False
        self.found: Access | None = Access("shop", "report", "k1")

    def check(self, header: str) -> Access | None:
        self.n_looks += 1
        if self.is_out:
            raise StoreError("out")
        return self.found if header == "Bearer right" else None


def admitted(door: Door, key: str = "right", scope: str = "report") -> Access:
    return asyncio.run(door.admit(request(key), scope))  # type: ignore[arg-type]


def request(key: str) -> Request:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return Request({"type": "http", "headers": headers})


def test_a_key_is_looked_up_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    door = Door(book)  # type: ignore[arg-type]
    assert [admitted(door).tenant for _ in range(3)] == ["shop"] * 3
    assert book.n_looks == 1
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    book.found = None
    with pytest.raises(UnknownKeyError):
        admitted(door)
    assert book.n_looks == 2


def test_a_known_key_holds_while_the_store_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    door = Door(book)  # type: ignore[arg-type]
    admitted(door)
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    book.is_out = True
    assert admitted(door) == book.found
    with pytest.raises(StoreError):
        admitted(door, "another")
    monkeypatch.setattr(access, "STALE_SECONDS", 0.0)
    with pytest.raises(StoreError):
        admitted(door)


def test_wrong_keys_are_not_remembered() -> None:
    book = Book()
    door = Door(book)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(UnknownKeyError):
            admitted(door, "wrong")
    assert book.n_looks == 2
    with pytest.raises(UnknownKeyError, match="give a key"):
        admitted(door, "")
    with pytest.raises(AccessError, match="the scope operate, got report"):
        admitted(door, scope="operate")


def test_nobody_waits_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "PATIENCE_SECONDS", 0.2)
    book, hangs = Book(), threading.Event()
    door = Door(book)  # type: ignore[arg-type]
    admitted(door)
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    check = book.check
    monkeypatch.setattr(book, "check", lambda header: hangs.wait(10) and check(header))

    async def many() -> None:
        begun = time.monotonic()
        asked = [door.admit(request("right"), "report") for _ in range(20)]
        assert await asyncio.gather(*asked) == [book.found] * 20
        assert await door.admit(request("right"), "report") == book.found  # without waiting again
        assert time.monotonic() - begun < 1
        with pytest.raises(StoreError, match="does not answer"):
            await door.admit(request("another"), "report")
        hangs.set()
        book.found = None
        await asyncio.sleep(0.4)
        with pytest.raises(UnknownKeyError):  # what was looked up late is known
            await door.admit(request("right"), "report")
        assert book.n_looks == 4

    asyncio.run(many())
