"""Keys at the door: asked of the store now and then, and remembered while it is out."""

import asyncio
import threading
import time

import pytest
from starlette.requests import Request

from proactrec.errors import (
    AccessError,
    OverloadedError,
    RateError,
    StoreError,
    UnknownKeyError,
)
from proactrec.serving import access
from proactrec.serving.access import Door
from proactrec.serving.rates import Rate, address_of
from proactrec.store import keys
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
        assert time.monotonic() - begun < 3  # they would wait for 4 one after the other
        with pytest.raises(StoreError, match="does not answer"):
            await door.admit(request("another"), "report")
        hangs.set()
        book.found = None
        await asyncio.sleep(0.4)
        with pytest.raises(UnknownKeyError):  # what was looked up late is known
            await door.admit(request("right"), "report")
        assert book.n_looks == 4

    asyncio.run(many())


def test_an_expired_key_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    door = Door(book)  # type: ignore[arg-type]
    now = time.time_ns()
    book.found = Access("shop", "report", "k1", now // 1000 + 50_000_000)
    admitted(door)
    monkeypatch.setattr(keys.time, "time_ns", lambda: now + 60 * 10**9)
    book.found = None
    with pytest.raises(UnknownKeyError, match="has expired"):
        admitted(door)


def test_many_requests_with_a_new_key_are_one_look_and_no_guesses() -> None:
    book = Book()
    door = Door(book, rate=Rate(100, 60))  # type: ignore[arg-type]

    async def many() -> None:
        await asyncio.gather(*[door.admit(request("right"), "report") for _ in range(100)])
        with pytest.raises(RateError, match="this key: at most 100 times in 60 s") as error:
            await door.admit(request("right"), "report")
        assert 0 < error.value.seconds <= 1

    asyncio.run(many())
    assert book.n_looks == 1


def test_new_keys_that_wait_for_a_look_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MOST_LOOKS", 3)
    book, hangs = Book(), threading.Event()
    door = Door(book)  # type: ignore[arg-type]
    admitted(door)
    monkeypatch.setattr(book, "check", lambda header: hangs.wait(10) and None)

    async def many() -> None:
        looks = [asyncio.ensure_future(door.admit(request(f"n{n}"), "report")) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="too many keys wait"):
            await door.admit(request("one more"), "report")
        assert await door.admit(request("right"), "report")  # is known
        hangs.set()
        await asyncio.wait(looks)

    asyncio.run(many())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::"),
        ("testclient", "testclient"),
    ],
)
def test_of_ipv6_a_network_counts(host: str, address: str) -> None:
    asked = Request({"type": "http", "headers": [], "client": (host, 5)})
    assert address_of(asked) == address
    assert address_of(request("x")) == ""
