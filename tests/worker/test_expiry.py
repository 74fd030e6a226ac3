"""What nobody answers is settled once, and given back where it was never shown."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from proactrec.store import campaigns, log
from proactrec.store.budgets import Limit, limits_of, take, used_of
from proactrec.store.campaign import Budget, Campaign, Goal
from proactrec.store.database import Database, Hot
from proactrec.store.erasing import erase
from proactrec.store.log import Change, Decided
from proactrec.store.people import NOBODY, SECOND, Event, Made, Person
from proactrec.worker import expiry
from proactrec.worker.expiry import GRACE, PAGE, Settled, settle

SAID = Campaign(name="c", goal=Goal(items=("i1",)), budget=Budget(total=1000))
TENANT, OFFER, ANSWER = "t", 3600 * SECOND, 86_400 * SECOND


@pytest.fixture
def campaign_id(database: Database) -> str:
    with database.writing() as connection:
        return campaigns.create(connection, TENANT, SAID, by="me", at=0).campaign_id


def decide(database: Database, user_ids: list[str], campaign_id: str, at: int) -> None:
    """One guided decision of every user, counted as the host counts it."""
    with database.writing() as connection:
        hot, changes = Hot(connection), []
        people = log.people(hot, TENANT, log.locked(hot, TENANT, user_ids))
        for before in people.values():
            number = before.next_number
            made = Made(number, campaign_id, 1, "guided", "i1", f"i{number}", 1, 0, at,
                        at + OFFER, at + OFFER + ANSWER)  # fmt: skip
            decided = Decided(made, "i9", "", "step", "", None, None)
            changes.append(Change(before, before.after(made=[made]), [decided]))
        log.write(hot, TENANT, changes)
        take(hot, TENANT, [limits_of(campaign_id, SAID, "i1", at) for _ in user_ids])


def report(database: Database, user_id: str, event: Event) -> None:
    with database.writing() as connection:
        hot = Hot(connection)
        before = log.people(hot, TENANT, log.locked(hot, TENANT, [user_id]))[user_id]
        log.write(hot, TENANT, [Change(before, before.after(events=[event]), events=[event])])


def person(database: Database, user_id: str) -> Person:
    with database.reading() as connection:
        hot = Hot(connection)
        return log.people(hot, TENANT, log.revisions(hot, TENANT, [user_id]))[user_id]


def n_used(database: Database, campaign_id: str) -> int:
    with database.reading() as connection:
        return used_of(Hot(connection), TENANT, campaign_id)[Limit(campaign_id, "all", "total")]


def shown(number: int, at: int, kind: str = "impression") -> Event:
    return Event(f"{kind} {number}", number, f"i{number}", kind, at, at)


def test_an_offer_never_shown_is_given_back_once(database: Database, campaign_id: str) -> None:
    decide(database, ["a"], campaign_id, 0)
    assert settle(database, OFFER + GRACE - 1) == Settled()
    assert n_used(database, campaign_id) == 1
    assert settle(database, OFFER + GRACE) == Settled(n_expired=1)
    assert settle(database, OFFER + GRACE) == Settled()
    assert n_used(database, campaign_id) == 0
    found = person(database, "a")
    assert found.events["~expired:1"].kind == "expired"
    assert found.rounds(campaign_id, "i1") == []
    assert found.n_guided(date(1970, 1, 1), ZoneInfo("UTC")) == 0


def test_what_was_shown_and_not_answered_counts_as_a_skip(
    database: Database, campaign_id: str
) -> None:
    decide(database, ["a"], campaign_id, 0)
    report(database, "a", shown(1, 5))
    assert settle(database, OFFER + GRACE) == Settled()
    assert settle(database, OFFER + ANSWER + GRACE) == Settled(n_lapsed=1)
    assert n_used(database, campaign_id) == 1
    assert [one.answer for one in person(database, "a").standing] == [0]


@pytest.mark.parametrize("kind", ["accept", "skip", "purchase", "complaint"])
def test_what_was_answered_is_left_alone(kind: str, database: Database, campaign_id: str) -> None:
    decide(database, ["a"], campaign_id, 0)
    report(database, "a", shown(1, 5, kind))
    assert settle(database, 10 * ANSWER) == Settled()


def test_a_late_answer_counts_and_never_takes_a_second_place(
    database: Database, campaign_id: str
) -> None:
    decide(database, ["a"], campaign_id, 0)
    settle(database, 10 * ANSWER)
    report(database, "a", shown(1, 11 * ANSWER, "accept"))
    assert settle(database, 20 * ANSWER) == Settled()
    assert [one.answer for one in person(database, "a").standing] == [1]
    assert n_used(database, campaign_id) == 0


def test_each_decision_of_a_user_is_due_by_itself(database: Database, campaign_id: str) -> None:
    decide(database, ["a"], campaign_id, 0)
    decide(database, ["a"], campaign_id, 100 * SECOND)
    report(database, "a", shown(2, 101 * SECOND))
    assert settle(database, OFFER + GRACE) == Settled(n_expired=1)
    later = OFFER + ANSWER + GRACE + 100 * SECOND
    assert settle(database, later - 1) == Settled()
    assert settle(database, later) == Settled(n_lapsed=1)
    assert person(database, "a").due_at is None


def test_many_users_are_settled_page_by_page(database: Database, campaign_id: str) -> None:
    ids = [f"u{n:04}" for n in range(2 * PAGE + 3)]
    decide(database, ids, campaign_id, 0)
    assert settle(database, ANSWER) == Settled(n_expired=len(ids))
    assert n_used(database, campaign_id) == 0


def test_a_due_time_that_is_wrong_is_put_right(database: Database, campaign_id: str) -> None:
    """As the migration leaves it, of stores that were older."""
    decide(database, ["a"], campaign_id, 0)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE users SET due_at = 0")
    assert settle(database, GRACE) == Settled()
    with database.reading() as connection:
        assert Hot(connection).rows("SELECT due_at FROM users") == [(OFFER,)]


def test_a_look_ends_in_time_and_the_next_one_goes_on(database: Database, campaign_id: str) -> None:
    ids = [f"u{n:04}" for n in range(PAGE + 3)]
    decide(database, ids, campaign_id, 0)
    assert settle(database, ANSWER, seconds=0) == Settled(n_expired=PAGE)
    assert settle(database, ANSWER, seconds=0) == Settled(n_expired=3)
    assert n_used(database, campaign_id) == 0


def test_who_is_erased_before_they_are_settled_is_not_brought_back(
    database: Database, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(database, ["a", "b"], campaign_id, 0)
    due = expiry._due(database, ANSWER)
    assert due == {TENANT: ["a", "b"]}
    with database.writing() as connection:
        erase(connection, TENANT, "a", by="test", at=0)
    pages = iter([due, {}])
    monkeypatch.setattr(expiry, "_due", lambda *_: next(pages))
    assert settle(database, ANSWER) == Settled(n_expired=1)
    with database.reading() as connection:
        ids = [user for (user,) in Hot(connection).rows("SELECT user_id FROM users")]
    assert [user for user in ids if not user.startswith(NOBODY)] == ["b"]
