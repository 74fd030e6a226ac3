"""The state equals a fold of the log; where it does not, that is told and put right."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from proactrec.store import budgets
from proactrec.store import rebuild as rebuilding
from proactrec.store.budgets import limits_of
from proactrec.store.campaign import Budget, CampaignRails
from proactrec.store.campaigns import Version, changed
from proactrec.store.database import Database, Hot
from proactrec.store.people import Event
from proactrec.store.rebuild import Difference, differences, rebuild

from .shop import MINUTE, NOON, TENANT, begun, decide, happened, known, said

USERS = [f"user {n:02}" for n in range(23)]
WRONG = [
    ("UPDATE users SET revision = 99 WHERE user_id = 'user 03' RETURNING 1", "users"),
    ("UPDATE users SET due_at = 7 WHERE user_id = 'user 03' RETURNING 1", "users"),
    ("DELETE FROM users WHERE user_id = 'user 04' RETURNING 1", "users"),
    ("UPDATE assignments SET arm = 'x' WHERE user_id = 'user 05' RETURNING 1", "assignments"),
    ("DELETE FROM assignments WHERE user_id = 'user 06' RETURNING 1", "assignments"),
    ("UPDATE journeys SET n_guided = 77 WHERE user_id = 'user 07' RETURNING 1", "journeys"),
    ("UPDATE journeys SET user_id = 'nobody' WHERE user_id = 'user 08' RETURNING 1", "journeys"),
    ("UPDATE budgets SET used = used + 1 WHERE scope = 'all' RETURNING 1", "budgets"),
    ("DELETE FROM budgets WHERE scope = 'item:cup' RETURNING 1", "budgets"),
    ("INSERT INTO budgets VALUES ('shop', 'c', 'all', 'total', 3) RETURNING 1", "budgets"),
    ("INSERT INTO users VALUES ('shop', 'zoe', 3, NULL) RETURNING 1", "users"),
]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "PAGE", 5)


def expire(database: Database, version: Version, user_id: str) -> None:
    """Give a user's last decision back, as the worker does."""
    one = known(database, user_id)[user_id].made[-1]
    event = Event(f"expired {one.number}", one.number, one.item_id, "expired", NOON, NOON)
    happened(database, user_id, event)
    if one.guided:
        limits = limits_of(version.campaign_id, version.said, one.item_id, one.at)
        with database.writing() as connection:
            budgets.give_back(Hot(connection), TENANT, [limits])


@pytest.fixture
def lived(database: Database) -> Version:
    """A campaign of some days, changed once, with answers and expired offers."""
    rng = random.Random(3)
    campaign = said(budget=Budget(total=60, per_day=20), rails=CampaignRails(item_cap_total=25))
    version = begun(database, campaign)
    for day in range(4):
        if day == 2:
            with database.writing() as connection:
                version = changed(
                    connection,
                    version,
                    by="ada",
                    at=NOON,
                    reason="no more of an item",
                    said=said(budget=Budget(total=60, per_day=20)),
                )
        for item in ("cup", "lamp"):
            users = rng.sample(USERS, 9)
            decide(database, version, users, item_id=item, at=NOON + day * 1440 * MINUTE)
            for user in users[:4]:
                one = known(database, user)[user].made[-1]
                kind = rng.choice(("accept", "skip", "impression"))
                happened(database, user, Event(f"{day}{item}", one.number, item, kind, NOON, NOON))
            for user in users[7:]:
                expire(database, version, user)
    decide(database, version, USERS, item_id="lamp", at=NOON + 4 * 1440 * MINUTE)
    return version


def spoil(database: Database, sql: str) -> None:
    with database.writing() as connection:
        assert Hot(connection).rows(sql)


def test_the_state_is_a_fold_of_the_log(database: Database, lived: Version) -> None:
    assert lived.version == 3
    assert differences(database, TENANT) == []
    assert rebuild(database, TENANT) == []


@pytest.mark.parametrize(("sql", "table"), WRONG, ids=lambda value: value[:40])
def test_what_differs_is_told_and_put_right(
    database: Database, lived: Version, sql: str, table: str
) -> None:
    spoil(database, sql)
    found = differences(database, TENANT)
    assert found
    assert {one.table for one in found} == {table}
    assert all(one.stored != one.folded for one in found)
    assert rebuild(database, TENANT) == found
    assert differences(database, TENANT) == []


def test_a_difference_says_where_and_what(database: Database, lived: Version) -> None:
    spoil(database, WRONG[0][0])
    one = known(database, "user 03")["user 03"]
    stored, folded = ((TENANT, "user 03", n, one.due_at) for n in (99, one.revision))
    assert differences(database, TENANT) == [Difference("users", ("user 03",), stored, folded)]
    assert differences(database, "other shop") == []


def test_the_whole_state_comes_from_the_log(database: Database, lived: Version) -> None:
    for table in ("users", "assignments", "journeys", "budgets"):
        spoil(database, f"DELETE FROM {table} RETURNING 1")
    told = []
    rebuild(database, TENANT, lambda *what: told.append(what[:3]))
    assert differences(database, TENANT) == []
    assert told[-1] == ("budgets", 23, 23)


def test_a_rebuild_that_was_killed_leaves_less_to_the_next_one(
    database: Database, lived: Version
) -> None:
    def kill(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 10:
            raise KeyboardInterrupt

    spoil(database, "UPDATE users SET revision = 99 RETURNING 1")
    with pytest.raises(KeyboardInterrupt):
        rebuild(database, TENANT, kill)
    left = differences(database, TENANT)
    assert [one.key[0] for one in left] == USERS[10:]
    assert rebuild(database, TENANT) == left


def test_instances_may_decide_while_it_goes_on(database: Database, lived: Version) -> None:
    spoil(database, "UPDATE users SET revision = 99 RETURNING 1")
    spoil(database, "UPDATE budgets SET used = used + 3 RETURNING 1")
    day = NOON + 5 * 1440 * MINUTE

    def decides(number: int) -> None:
        for turn in range(5):
            decide(database, lived, [USERS[(number * 5 + turn) % 23]], at=day)

    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(decides, number) for number in range(3)]
        threads.submit(rebuild, database, TENANT).result()
        for job in jobs:
            job.result()
    assert differences(database, TENANT) == []
