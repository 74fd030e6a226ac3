"""Counts that take long are told as the worker made them last, with their time."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from proactrec.serving import counts as module
from proactrec.serving.counts import KINDS, counts
from proactrec.serving.measuring import measured, measurement_of
from proactrec.serving.schemas import moment
from proactrec.store import campaigns
from proactrec.store.campaigns import Version
from proactrec.store.database import Database
from proactrec.store.outcomes import Outcomes
from proactrec.worker import counting
from proactrec.worker.counting import EVERY, EVERY_ENDED, REST, count
from proactrec.worker.work import Worker

from ..serving.hosting import DAY, TENANT, Shop


@pytest.fixture
def shop(database: Database, guide_folder: Callable[..., Path]) -> Shop:
    return Shop(database, guide_folder())


def lived(shop: Shop, n: int = 12) -> Version:
    version = shop.campaign(hold_out=0.3, measure={"window_hours": 1, "segments": ("gold",)})
    for user in range(n):
        shop.groups(f"new {user:02}", *(("gold", f"own {user}") if user % 2 else ("silver",)))
        shop.report(shop.ask(f"new {user:02}"), "impression", "accept" if user % 3 else "skip")
    shop.now += 3 * DAY
    return version


def now(shop: Shop, version: Version) -> Version:
    with shop.database.reading() as connection:
        return campaigns.current(connection, TENANT, version.campaign_id)


def n_decisions(shop: Shop, version: Version) -> tuple[int, int]:
    """As they are told, and of when."""
    with shop.database.reading() as connection:
        found, at = counts(connection, version, "arms", shop.now)
    return sum(one["decisions"] for one in found["arms"].values()), at


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", -1)
    monkeypatch.setattr(counting, "QUICK", -1)


def test_what_is_quick_is_counted_whenever_somebody_looks(shop: Shop) -> None:
    version = lived(shop)
    assert n_decisions(shop, version) == (12, shop.now)
    assert count(shop.database, shop.now) == len(KINDS)
    with shop.database.writing() as connection:  # whatever the machine is busy with
        connection.exec_driver_sql("UPDATE counted SET took = 1")
    shop.ask("new 99")
    assert n_decisions(shop, version) == (13, shop.now)
    assert count(shop.database, shop.now + EVERY - 1) == 0
    assert count(shop.database, shop.now + EVERY) == len(KINDS)


def test_what_takes_long_is_told_with_its_time_until_it_is_counted_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = lived(shop)
    begun = shop.now
    Worker(shop.database, shop.guides.folder, clock=shop.clock).once()
    slow(monkeypatch)
    shop.now += DAY
    shop.ask("new 99")
    assert n_decisions(shop, version) == (12, begun)
    assert count(shop.database, shop.now) == len(KINDS)
    assert n_decisions(shop, version) == (13, shop.now)
    with shop.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE counted SET took = {10 * EVERY_ENDED}")
    assert count(shop.database, shop.now + REST * 10 * EVERY_ENDED - 1) == 0
    assert count(shop.database, shop.now + REST * 10 * EVERY_ENDED) == len(KINDS)


def test_what_is_kept_is_what_is_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    version, found = lived(shop), {}
    with shop.database.reading() as connection:
        fresh = {what: counts(connection, version, what, shop.now).found for what in KINDS}
        expected = measured(connection, version, shop.now)
    count(shop.database, shop.now)
    slow(monkeypatch)
    with shop.database.reading() as connection:
        for what in KINDS:
            found[what], at = counts(connection, version, what, shop.now + 1)
            assert at == shop.now
    assert found == json.loads(json.dumps(fresh))
    told = measurement_of(version, Outcomes.of_json(found["sums"]), shop.now)
    assert told == expected
    assert told.matured == 12
    assert told.at == moment(shop.now)


def test_a_change_of_what_is_measured_is_counted_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = lived(shop)
    count(shop.database, shop.now)
    slow(monkeypatch)
    offer = version.said.model_copy(update={"offer_seconds": 10})
    other = shop.change(version, said=offer)
    later = shop.now + 1
    with shop.database.reading() as connection:
        assert counts(connection, other, "sums", later).at == later
        assert counts(connection, version, "sums", later).at == shop.now
        assert counts(connection, other, "arms", later).at == shop.now
    assert count(shop.database, later) == 1


def test_of_people_nothing_is_kept(shop: Shop) -> None:
    lived(shop)
    count(shop.database, shop.now)
    kept = "".join(text for (text,) in shop.rows("SELECT counts FROM counted"))
    assert "gold" in kept
    assert "own 1" not in kept
    assert "silver" not in kept
    assert "new 01" not in kept


def test_drafts_are_not_counted_and_what_ended_is_seldom(shop: Shop) -> None:
    shop.draft()
    assert count(shop.database, shop.now) == 0
    version = lived(shop, 3)
    assert count(shop.database, shop.now) == len(KINDS)
    shop.now += 1
    shop.change(version, state="stopped", reason="enough")
    assert count(shop.database, shop.now) == len(KINDS), "what came last is not missed"
    assert count(shop.database, shop.now + EVERY_ENDED - 1) == 0
    assert count(shop.database, shop.now + EVERY_ENDED) == len(KINDS)
    assert now(shop, version).state == "stopped"


def test_the_most_overdue_is_counted_first(shop: Shop) -> None:
    lived(shop)
    count(shop.database, shop.now)
    later = shop.now + 2 * EVERY
    with shop.database.writing() as connection:
        connection.exec_driver_sql("UPDATE counted SET took = 1")
        connection.exec_driver_sql(f"UPDATE counted SET at = at - {EVERY} WHERE what = 'sums'")
    assert count(shop.database, later, seconds=0) == 1
    assert shop.rows(f"SELECT what FROM counted WHERE at = {later}") == [("sums",)]
