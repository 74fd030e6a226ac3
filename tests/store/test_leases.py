"""Instances that hold parts of budgets: together never more than there is, and nothing is lost."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from proactrec.store.budgets import Allowed, Limit, Taken, used_of
from proactrec.store.campaign import Budget, CampaignRails
from proactrec.store.database import Database, Hot
from proactrec.store.leases import Leases, take_back
from proactrec.store.people import SECOND
from proactrec.store.rebuild import differences
from proactrec.store.tables import LEASES

from ..conftest import kind as kind
from .shop import NOON, TENANT, begun, decide, rows, said

TOTAL = Limit("c", "all", "total")
GUIDED = "SELECT COUNT(*) FROM decisions WHERE guided = 1"


def offers(n: int, most: int) -> list[dict[Limit, Allowed]]:
    return [{TOTAL: Allowed(most, "budget_spent")}] * n


def taken(database: Database, leases: Leases, n: int, most: int) -> Taken:
    with database.writing() as connection:
        return leases.take(Hot(connection), TENANT, offers(n, most))


def used(database: Database, campaign_id: str = "c") -> dict[Limit, int]:
    with database.reading() as connection:
        return used_of(Hot(connection), TENANT, campaign_id)


def held(database: Database) -> dict[str, tuple[int, int]]:
    found = rows(database, "SELECT holder, granted, used FROM leases ORDER BY holder")
    return {holder: (granted, n) for holder, granted, n in found}


def pass_by(database: Database, seconds: int) -> None:
    """Have so much time pass for leases, whatever the machine does meanwhile."""
    with database.writing() as connection:
        table = LEASES.update().values(expires_at=LEASES.c.expires_at - seconds * SECOND)
        connection.execute(table)


def test_a_block_is_leased_and_then_used_without_the_budget_s_row(database: Database) -> None:
    leases = Leases("one")
    assert taken(database, leases, 3, 500).refused == [None] * 3
    assert used(database) == {TOTAL: 50}
    assert held(database) == {"one": (50, 3)}
    with database.writing() as connection:
        Hot(connection).rows("DELETE FROM budgets RETURNING used")
    assert taken(database, leases, 47, 500).refused == [None] * 47
    assert used(database) == {}
    assert held(database) == {"one": (50, 50)}


def test_the_last_offers_are_leased_in_smaller_blocks_and_none_is_left(database: Database) -> None:
    leases, granted = Leases("one"), 0
    for _ in range(20):
        granted += taken(database, leases, 1, 10).refused.count(None)
    assert (granted, used(database), held(database)["one"]) == (10, {TOTAL: 10}, (1, 1))
    assert taken(database, Leases("two"), 1, 10).refused == ["budget_spent"]


def test_an_expired_lease_is_not_used_and_comes_back(database: Database) -> None:
    one, two = Leases("one", seconds=30), Leases("two", block=100, seconds=90)
    taken(database, one, 10, 80)
    assert held(database) == {"one": (20, 10)}
    assert taken(database, two, 70, 80).refused.count(None) == 60
    pass_by(database, 60)
    assert take_back(database) == 1
    assert take_back(database) == 0
    assert used(database) == {TOTAL: 70}
    assert taken(database, two, 20, 80).refused.count(None) == 10
    assert taken(database, one, 1, 80).refused == ["budget_spent"]


def test_who_finds_the_own_lease_expired_takes_another(database: Database) -> None:
    one = Leases("one")
    taken(database, one, 1, 500)
    pass_by(database, 60)
    assert taken(database, one, 1, 500).refused == [None]
    assert used(database) == {TOTAL: 51}  # the first one's 49 came back
    assert held(database) == {"one": (50, 1)}


def test_a_lease_that_is_used_does_not_expire(database: Database) -> None:
    one = Leases("one", seconds=30)
    for _ in range(4):
        taken(database, one, 1, 500)
        assert take_back(database) == 0
        pass_by(database, 20)
    assert held(database) == {"one": (50, 4)}


def test_who_stops_gives_back_what_is_left(database: Database) -> None:
    one = Leases("one")
    taken(database, one, 3, 500)
    taken(database, Leases("two"), 2, 500)
    with database.writing() as connection:
        one.release(Hot(connection))
    assert used(database) == {TOTAL: 53}
    assert held(database) == {"two": (50, 2)}


def test_less_than_is_leased_may_be_allowed_later(database: Database) -> None:
    one, two = Leases("one"), Leases("two")
    taken(database, one, 5, 500)
    taken(database, two, 5, 500)
    more = [taken(database, who, 60, 60).refused.count(None) for who in (one, two)]
    assert 10 + sum(more) == 60
    assert taken(database, one, 1, 5).refused == ["budget_spent"]


@pytest.mark.parametrize("seconds", [0.3, 30])
def test_instances_together_use_a_budget_exactly(database: Database, seconds: float) -> None:
    """One of four is killed while it holds a block: the others get what it held in the end."""
    campaign = said(budget=Budget(total=500), rails=CampaignRails(item_cap_total=200))
    version = begun(database, campaign)
    items = ("cup", "lamp", "plate")
    killed = Leases("killed", seconds=0.3)
    assert decide(database, version, ["x", "y"], item_id="cup", take=killed.take) == [None, None]

    def instance(number: int) -> int:
        leases, granted, end = Leases(f"instance {number}", seconds=seconds), 0, 0
        for turn in range(400):
            users = [f"user {number} {turn} {k}" for k in range(4)]
            refused = decide(database, version, users, item_id=items[turn % 3], take=leases.take)
            granted += refused.count(None)
            end = end + 1 if None not in refused else 0
            if turn % 20 == 0:
                take_back(database)
            if end == 6:
                with database.writing() as connection:
                    leases.release(Hot(connection))
                return granted
        return granted

    with ThreadPoolExecutor(3) as threads:
        first = sum(threads.map(instance, range(3)))
        time.sleep(0.4)
        take_back(database)
        second = sum(threads.map(instance, range(3, 6)))
    assert 2 + first + second == 500 == rows(database, GUIDED)[0][0]
    counted = used(database, version.campaign_id)
    assert counted[Limit(version.campaign_id, "all", "total")] == 500
    assert all(n <= 200 for limit, n in counted.items() if limit.scope != "all")
    assert differences(database, TENANT) == []


def test_what_is_leased_is_no_difference_to_the_log(database: Database) -> None:
    version = begun(database, said(budget=Budget(total=500, per_day=100)))
    decide(database, version, list("abc"), take=Leases("one").take)
    take: Callable[..., Taken] = Leases("two").take
    decide(database, version, list("def"), take=take, at=NOON)
    assert used(database, version.campaign_id) != {}
    assert differences(database, TENANT) == []
