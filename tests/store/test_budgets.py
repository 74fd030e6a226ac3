"""What spans users is counted exactly, whoever asks at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from proactrec.store import budgets
from proactrec.store.budgets import Allowed, Limit, limits_of, paced_to, used_of
from proactrec.store.campaign import Budget, Campaign, CampaignRails
from proactrec.store.database import Database, Hot
from proactrec.store.people import SECOND, day_of

from ..conftest import kind as kind
from .shop import NOON, TENANT, begun, decide, rows, said

TOTAL, CUP, LAMP = (Limit("c", scope, "total") for scope in ("all", "item:cup", "item:lamp"))


def at(*when: int, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    moment = datetime(*when, tzinfo=ZoneInfo(zone), fold=fold)
    return int(moment.astimezone(UTC).timestamp() * SECOND)


def taken(database: Database, offers: list[dict[Limit, Allowed]]) -> budgets.Taken:
    with database.writing() as connection:
        return budgets.take(Hot(connection), TENANT, offers)


def used(database: Database) -> dict[Limit, int]:
    with database.reading() as connection:
        return used_of(Hot(connection), TENANT, "c")


def test_an_offer_counts_against_all_its_limits_or_none(database: Database) -> None:
    of_cup = {TOTAL: Allowed(3, "budget_spent"), CUP: Allowed(1, "item_cap")}
    of_lamp = {TOTAL: Allowed(3, "budget_spent"), LAMP: Allowed(5, "item_cap")}
    found = taken(database, [of_cup, of_cup, of_lamp, of_lamp, of_lamp, {}])
    assert found.refused == [None, "item_cap", None, None, "budget_spent", None]
    assert found.used == used(database) == {TOTAL: 3, CUP: 1, LAMP: 2}


def test_what_was_never_shown_is_given_back(database: Database) -> None:
    offer = {TOTAL: Allowed(2, "budget_spent"), CUP: Allowed(2, "item_cap")}
    taken(database, [offer, offer])
    with database.writing() as connection:
        budgets.give_back(Hot(connection), TENANT, [offer])
    assert used(database) == {TOTAL: 1, CUP: 1}
    assert taken(database, [offer, offer]).refused == [None, "budget_spent"]


def test_threads_never_take_more_than_there_is(database: Database) -> None:
    """Two caps of items and a budget, which bind in turn: the sum is exact."""
    campaign = said(budget=Budget(total=100), rails=CampaignRails(item_cap_total=40))
    version = begun(database, campaign)
    items = ("cup", "lamp", "plate")

    def ask(number: int) -> list[tuple[str, str | None]]:
        found = []
        for turn in range(12):
            item = items[(number + turn) % 3]
            users = [f"user {number} {k}" for k in range(2)]
            refused = decide(database, version, users, item_id=item)
            found += [(item, because) for because in refused]
        return found

    with ThreadPoolExecutor(8) as threads:
        answers = [one for found in threads.map(ask, range(8)) for one in found]
    granted = {item: answers.count((item, None)) for item in items}
    with database.reading() as connection:
        counted = used_of(Hot(connection), TENANT, version.campaign_id)
    assert sum(granted.values()) == 100
    assert max(granted.values()) <= 40
    assert counted == {
        Limit(version.campaign_id, "all", "total"): 100,
        **{Limit(version.campaign_id, f"item:{item}", "total"): n for item, n in granted.items()},
    }
    sql = "SELECT item_id, COUNT(*) FROM decisions WHERE guided = 1 GROUP BY item_id"
    assert dict(rows(database, sql)) == granted


def test_limits_are_the_campaign_s() -> None:
    campaign = said(
        budget=Budget(total=9, per_day=4, time_zone="Europe/Berlin"),
        rails=CampaignRails(item_cap_total=3, item_cap_per_day=2),
    )
    late = at(2026, 5, 4, 23, 30, zone="UTC")  # the next day in Berlin
    assert limits_of("c", campaign, "cup", late) == {
        TOTAL: Allowed(9, "budget_spent"),
        Limit("c", "all", "2026-05-05"): Allowed(4, "budget_spent"),
        CUP: Allowed(3, "item_cap"),
        Limit("c", "item:cup", "2026-05-05"): Allowed(2, "item_cap"),
    }
    assert limits_of("c", said(), "cup", late) == {}


@pytest.mark.parametrize(
    ("when", "day"),
    [
        ((2026, 3, 28, 23, 59), 28),
        ((2026, 3, 29, 0, 0), 29),
        ((2026, 3, 29, 23, 59), 29),
        ((2026, 3, 30, 0, 0), 30),
    ],
)
def test_a_day_is_the_calendar_s(when: tuple[int, ...], day: int) -> None:
    assert day_of(at(*when), ZoneInfo("Europe/Berlin")) == date(2026, 3, day)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("Europe/Berlin", (2026, 5, 4), 24),
        ("America/Havana", (2026, 11, 1), 25),  # whose first hour comes twice
        ("America/Havana", (2026, 3, 8), 23),  # which begins at one
    ],
)
def test_pacing_is_even_over_days_of_any_length(
    zone: str, day: tuple[int, int, int], hours: int
) -> None:
    per_day = hours * 10
    budget = Budget(per_day=per_day, pacing="even", time_zone=zone)
    campaign = said(budget=budget)
    begin = at(*day, zone=zone)
    hour = 3600 * SECOND
    found = [paced_to(per_day, begin + k * hour, campaign) for k in range(hours)]
    assert found == [10 * k + 1 for k in range(hours)]
    assert day_of(begin, budget.zone) == day_of(begin + hours * hour - 1, budget.zone)
    assert paced_to(per_day, begin + hours * hour - SECOND, campaign) == per_day
    assert paced_to(per_day, begin + hours * hour, campaign) == 1


def test_who_comes_before_their_time_is_told_that_it_is_pacing(database: Database) -> None:
    campaign: Campaign = said(budget=Budget(per_day=4, pacing="even"))
    version = begun(database, campaign)  # 3 by noon
    refused = decide(database, version, list("abcd"), at=NOON)
    assert refused == [None, None, None, "pacing"]
    evening = NOON + 11 * 3600 * SECOND
    assert decide(database, version, list("ef"), at=evening) == [None, "budget_spent"]
