"""Users are what the log tells of them, in whatever order and however often it was told."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN
from proactrec.store import log
from proactrec.store.database import Database, Hot
from proactrec.store.log import Change
from proactrec.store.people import KINDS, Event, Person, answer_of, id_of

from .shop import (
    MINUTE,
    NOON,
    TENANT,
    begun,
    decide,
    decided,
    event,
    happened,
    known,
    made,
    rows,
    said,
)

ITEMS = ("lamp", "cup", "plate")
NUMBERS = count()
WORDS = (*KINDS, "expired", "lapsed")


def told(person: Person) -> tuple[object, ...]:
    """All that is known of a user, and all that follows from it."""
    said = (person.revision, person.is_guided, person.n_consents, person.n_memberships)
    state = (person.groups, person.standing, person.acquired, dict(person.kinds))
    return (*said, *state, person.made, dict(person.events), log.journeys(person))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Person, list[Event], list[list[Event]]]:
    """A user with decisions, events, and the same events disordered, doubled and in parts."""
    person = Person("toy", "ada")
    for number in range(draw(st.integers(1, 5))):
        fields = {
            "campaign_id": draw(st.sampled_from("ab")),
            "target_id": draw(st.sampled_from(ITEMS)),
        }
        item, guided = draw(st.sampled_from(ITEMS)), draw(st.integers(0, 1))
        one = made(person, item, guided=guided, at=NOON + number * MINUTE, **fields)
        person = person.after(made=[one])
    n = len(person.made)
    facts = st.tuples(st.integers(0, n), st.sampled_from(WORDS), st.integers(0, 3))
    events = [
        Event(f"e{i}", number, person.made[number - 1].item_id if number else "cup", kind, at, at)
        for i, (number, kind, at) in enumerate(draw(st.lists(facts, max_size=12)))
    ]
    repeated = draw(st.permutations(events + draw(st.lists(st.sampled_from(events or [None])))))
    repeated = [one for one in repeated if one is not None]
    cut = draw(st.integers(0, len(repeated)))
    return person, events, [repeated[:cut], repeated[cut:]]


@given(histories())
def test_order_and_repetition_of_events_change_nothing(
    drawn: tuple[Person, list[Event], list[list[Event]]],
) -> None:
    person, events, parts = drawn
    other = person
    for part in parts:
        other = other.after(events=part)
    assert told(other) == told(person.after(events=events))


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=histories())
def test_the_database_tells_the_same_whatever_the_order(
    database: Database, drawn: tuple[Person, list[Event], list[list[Event]]]
) -> None:
    whole, events, parts = drawn
    user = f"user {next(NUMBERS)}"
    person = before = Person(TENANT, user)
    person = person.after(made=whole.made)
    with database.writing() as connection:
        log.write(Hot(connection), TENANT, [Change(before, person, list(map(decided, whole.made)))])
    for part in parts:
        happened(database, user, *part)
    expected = person.after(events=events)
    assert told(known(database, user)[user]) == told(expected)
    stored = "SELECT * FROM {} WHERE user_id = ? ORDER BY campaign_id, 4"
    assert rows(database, stored.format("journeys"), [user]) == log.journeys(expected)
    assert sorted(rows(database, stored.format("assignments"), [user])) == sorted(
        log.assignments(expected)
    )


def test_of_events_that_share_an_id_the_first_one_counts(database: Database) -> None:
    person = Person(TENANT, "ada")
    one = made(person, "cup")
    person = person.after(made=[one])
    first, second = event("e", one, "accept"), event("e", one, "skip")
    assert person.after(events=[first, second]).events["e"] == first
    assert person.after(events=[first]).after(events=[second]).events["e"] == first
    with database.writing() as connection:
        log.write(Hot(connection), TENANT, [Change(Person(TENANT, "ada"), person, [decided(one)])])
    happened(database, "ada", first, second)
    happened(database, "ada", second)
    assert known(database, "ada")["ada"].standing[0].answer == ACCEPTED
    assert known(database, "ada")["ada"].revision == 2


def test_what_was_written_of_several_users_is_read_again(database: Database) -> None:
    names = ("ada", "böb", "c\U0001f600", 'O\'Hara %s ? \\ "x"')
    changes, after = [], {}
    for user_id in names:
        before = Person(TENANT, user_id)
        one = made(before, f"item of {user_id}")
        person = before.after(made=[one], events=[event("e", one, "skip")])
        person = person.consenting(False).belonging(["b", "a"])
        changes.append(
            Change(before, person, [decided(one, "once")], [event("e", one, "skip")], NOON)
        )
        after[user_id] = person
    with database.writing() as connection:
        log.write(Hot(connection), TENANT, changes)
    found = known(database, *names, "nobody")
    assert {user: told(found[user]) for user in names} == {u: told(p) for u, p in after.items()}
    assert found["nobody"].revision == 0
    seqs = [seq for (seq,) in rows(database, "SELECT seq FROM decisions ORDER BY seq")]
    assert len(set(seqs)) == len(names)


def test_the_last_word_on_guidance_and_groups_holds(database: Database) -> None:
    person = Person(TENANT, "ada")
    for guided, groups in ((False, ["a"]), (True, ["b"]), (False, [])):
        after = person.consenting(guided).belonging(groups)
        with database.writing() as connection:
            log.write(Hot(connection), TENANT, [Change(person, after, said_at=NOON)])
        person = after
    found = known(database, "ada")["ada"]
    assert (found.is_guided, found.groups, found.revision) == (False, frozenset(), 6)


def test_threads_that_decide_for_one_user_wait_for_each_other(database: Database) -> None:
    version = begun(database, said())
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(decide, database, version, ["ada", "bob"]) for _ in range(24)]
        assert [job.result() for job in jobs] == [[None, None]] * 24
    for person in known(database, "ada", "bob").values():
        assert [one.number for one in person.made] == list(range(1, 25))
        assert person.revision == 24
    assert rows(database, "SELECT user_id, revision FROM users ORDER BY user_id") == [
        ("ada", 24),
        ("bob", 24),
    ]


def test_a_request_that_is_repeated_can_not_decide_twice(database: Database) -> None:
    person = Person(TENANT, "ada")
    for number in range(2):
        one = made(person, "cup")
        after = person.after(made=[one])
        change = Change(person, after, [decided(one, "key")])
        if number:
            with pytest.raises(IntegrityError), database.writing() as connection:
                log.write(Hot(connection), TENANT, [change])
        else:
            with database.writing() as connection:
                log.write(Hot(connection), TENANT, [change])
        person = after
    assert known(database, "ada")["ada"].revision == 1


def test_many_users_are_read_and_locked_at_once(database: Database) -> None:
    names = [f"user {n}" for n in range(1203)]
    version = begun(database, said())
    assert decide(database, version, names) == [None] * len(names)
    with database.writing() as connection:
        assert log.locked(Hot(connection), TENANT, names) == dict.fromkeys(names, 1)
    assert all(person.made for person in known(database, *names).values())
    parts = rows(database, "SELECT COUNT(*) FROM decisions")
    assert parts == [(1203,)]


@pytest.mark.parametrize("kind", ["partitioned"], indirect=True)
def test_users_are_in_both_parts(database: Database) -> None:
    decide(database, begun(database, said()), [f"user {n}" for n in range(100)])
    for table in ("users", "assignments", "journeys", "decisions"):
        counts = [rows(database, f"SELECT COUNT(*) FROM {table}_{n}")[0][0] for n in range(2)]
        assert sum(counts) == 100
        assert min(counts) > 20


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        ((), UNKNOWN),
        (("impression",), UNKNOWN),
        (("skip", "accept"), ACCEPTED),
        (("expired", "purchase"), ACCEPTED),
        (("impression", "complaint"), REFUSED),
        (("impression", "lapsed"), REFUSED),
        (("expired",), None),
        (("expired", "impression"), REFUSED),
    ],
)
def test_an_answer_follows_from_the_set_of_what_was_said(
    kinds: tuple[str, ...], answer: int | None
) -> None:
    assert answer_of(frozenset(kinds)) == answer


def test_a_decision_is_found_by_its_id_by_its_user_alone() -> None:
    ada = Person(TENANT, "ada").after(made=[made(Person(TENANT, "ada"), "cup")])
    bob = Person(TENANT, "bob").after(made=[made(Person(TENANT, "bob"), "cup")])
    found = id_of(TENANT, "ada", 1)
    assert ada.decision_of(found) == ada.made[0]
    for wrong in (found, "", "1", "1-", "²-0", "99999999999-0", id_of(TENANT, "bob", 2)):
        assert bob.decision_of(wrong) is None


def test_locks_leave_no_row_of_whom_nothing_is_told(database: Database) -> None:
    decide(database, begun(database, said()), ["ada"])
    with database.writing() as connection:
        hot = Hot(connection)
        assert log.locked(hot, TENANT, ["ada", "bob"], new=()) == {"ada": 1, "bob": 0}
        assert rows(database, "SELECT user_id FROM users") == [("ada",)]
        assert log.locked(hot, TENANT, ["eve", "bob", "ada"], new=["eve"])["eve"] == 0
        log.let_go(hot, TENANT, ["ada", "eve"])
        log.let_go(hot, TENANT, [])
    assert rows(database, "SELECT user_id, revision FROM users") == [("ada", 1)]
