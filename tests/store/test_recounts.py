"""Limits that come, or come back, by a change count what was offered before, whoever is at it."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from proactrec.store import budgets
from proactrec.store.budgets import Limit, Limits, Taken, used_of
from proactrec.store.campaign import Budget, CampaignRails
from proactrec.store.campaigns import Version, changed
from proactrec.store.database import Database, Hot
from proactrec.store.leases import Leases, offered
from proactrec.store.people import SECOND, Event
from proactrec.store.rebuild import differences, rebuild
from proactrec.worker.expiry import settle

from .shop import MINUTE, NOON, TENANT, begun, decide, happened, known, rows, said

HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
CAPS = CampaignRails(item_cap_total=5, item_cap_per_day=4)


def change(database: Database, version: Version, at: int = NOON, **options: Any) -> Version:
    """What the campaign says from now on."""
    with database.writing() as connection:
        how = {"by": "ada", "at": at, "reason": "limits", "said": said(**options)}
        return changed(connection, version, **how)


def used(database: Database, version: Version) -> dict[tuple[str, str], int]:
    with database.reading() as connection:
        found = used_of(Hot(connection), TENANT, version.campaign_id)
    return {limit[1:]: n for limit, n in found.items() if n}


def users(name: str, n: int) -> list[str]:
    return [f"{name} {number}" for number in range(n)]


def test_limits_that_come_count_what_was_offered_before(database: Database) -> None:
    version = begun(database, said())
    decide(database, version, users("early", 3), item_id="cup", at=NOON - DAY)
    decide(database, version, users("new", 2), item_id="cup")
    decide(database, version, users("new", 2), item_id="lamp")
    other = begun(database, said())
    decide(database, other, users("other", 4), item_id="cup")
    shown = known(database, "new 0")["new 0"].made[0]
    happened(database, "new 0", Event("seen", shown.number, "cup", "impression", NOON, NOON))
    assert settle(database, NOON).n_expired == 3  # of yesterday
    assert used(database, version) == {}
    version = change(database, version, budget=Budget(total=6, per_day=5), rails=CAPS)
    assert used(database, version) == {
        ("all", "total"): 4,
        ("all", "2026-05-04"): 4,
        ("item:cup", "total"): 2,
        ("item:cup", "2026-05-04"): 2,
        ("item:lamp", "total"): 2,
        ("item:lamp", "2026-05-04"): 2,
    }
    assert used(database, other) == {}
    assert decide(database, version, users("late", 3)) == [None, *["budget_spent"] * 2]
    assert decide(database, version, users("later", 2), at=NOON + DAY) == [None, "budget_spent"]
    assert differences(database, TENANT) == []


def test_what_comes_back_later_is_given_back_under_all_versions(database: Database) -> None:
    version = begun(database, said())
    decide(database, version, users("a", 3))
    version = change(database, version, budget=Budget(total=9, per_day=9), rails=CAPS)
    decide(database, version, users("b", 1), at=NOON + MINUTE)
    settle(database, NOON + HOUR + MINUTE)
    item = "item:lamp"
    one = {(scope, period): 1 for scope in ("all", item) for period in ("total", "2026-05-04")}
    assert used(database, version) == one
    settle(database, NOON + 2 * HOUR)
    assert used(database, version) == {}
    assert differences(database, TENANT) == []


def test_a_limit_that_went_and_comes_back_has_missed_nothing(database: Database) -> None:
    limited = {"budget": Budget(total=10), "rails": CampaignRails(item_cap_total=10)}
    version = begun(database, said(**limited))
    decide(database, version, users("a", 3))
    version = change(database, version)
    decide(database, version, users("b", 4))
    assert used(database, version) == {("all", "total"): 3, ("item:lamp", "total"): 3}
    assert differences(database, TENANT) == []
    version = change(database, version, **limited)
    assert used(database, version) == {("all", "total"): 7, ("item:lamp", "total"): 7}
    assert decide(database, version, users("c", 4)).count(None) == 3
    assert differences(database, TENANT) == []


def test_days_of_another_time_zone_are_counted_again(database: Database) -> None:
    """At one o'clock of Berlin's May 5th, which is 19 o'clock of New York's May 4th."""
    now = int(datetime(2026, 5, 4, 23, tzinfo=UTC).timestamp()) * SECOND
    version = begun(database, said(budget=Budget(per_day=9, time_zone="Europe/Berlin")))
    decide(database, version, users("noon", 3))
    decide(database, version, users("night", 2), at=now)
    assert used(database, version) == {("all", "2026-05-04"): 3, ("all", "2026-05-05"): 2}
    budget = Budget(per_day=9, time_zone="America/New_York")
    version = change(database, version, at=now, budget=budget)
    assert used(database, version) == {("all", "2026-05-04"): 5}
    assert decide(database, version, users("more", 5), at=now).count(None) == 4
    assert differences(database, TENANT) == []
    budget = Budget(per_day=9, time_zone="Europe/Berlin")
    version = change(database, version, at=now, budget=budget)
    assert used(database, version) == {("all", "2026-05-04"): 9, ("all", "2026-05-05"): 6}
    assert differences(database, TENANT) == []


def test_days_that_callers_plan_ahead_are_counted_too(database: Database) -> None:
    version = begun(database, said())
    decide(database, version, users("a", 2), at=NOON + 2 * DAY)
    version = change(database, version, budget=Budget(per_day=3))
    found = decide(database, version, users("b", 2), at=NOON + 2 * DAY)
    assert found == [None, "budget_spent"]
    assert differences(database, TENANT) == []


def test_a_decision_that_is_being_committed_is_not_missed(database: Database) -> None:
    """It has seen the old version, and locked nothing but its users."""
    version, begins = begun(database, said()), threading.Event()

    def slowly(hot: Hot, tenant: str, offers: Sequence[Limits]) -> Taken:
        begins.set()
        time.sleep(0.7)
        return budgets.take(hot, tenant, offers)

    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(decide, database, version, users("a", 3), take=slowly)
        assert begins.wait(10)
        version = change(database, version, budget=Budget(total=4))
        assert job.result() == [None] * 3
    assert used(database, version) == {("all", "total"): 3}
    assert decide(database, version, users("b", 2)) == [None, "budget_spent"]
    assert differences(database, TENANT) == []


def test_what_is_leased_of_a_limit_stays_leased(database: Database) -> None:
    version = begun(database, said(budget=Budget(total=500)))
    held = Leases("one")
    decide(database, version, users("a", 3), take=held.take)
    version = change(database, version)
    decide(database, version, users("b", 4), take=held.take)
    version = change(database, version, budget=Budget(total=500))
    total = Limit(version.campaign_id, "all", "total")
    assert used(database, version) == {("all", "total"): 54}
    with database.reading() as connection:
        assert offered(Hot(connection), TENANT, [total]) == {total: 7}
    assert differences(database, TENANT) == []
    with database.writing() as connection:
        held.release(Hot(connection))
    assert used(database, version) == {("all", "total"): 7}
    assert differences(database, TENANT) == []


def test_what_a_draft_says_counts_nothing_anew(database: Database) -> None:
    version = begun(database, said(budget=Budget(total=3)))
    decide(database, version, ["a"])
    assert rows(database, "SELECT scope, used FROM budgets") == [("all", 1)]
    change(database, version, budget=Budget(total=2))
    assert rows(database, "SELECT scope, used FROM budgets") == [("all", 1)]


def test_a_store_that_counted_from_zero_is_told_and_put_right(database: Database) -> None:
    version = begun(database, said())
    decide(database, version, users("a", 3))
    version = change(database, version, budget=Budget(total=9))
    with database.writing() as connection:
        Hot(connection).rows("DELETE FROM budgets RETURNING 1")
    (found,) = differences(database, TENANT)
    assert (found.table, found.stored) == ("budgets", None)
    assert rebuild(database, TENANT) == [found]
    assert used(database, version) == {("all", "total"): 3}
