"""What became of a campaign's users: sums in SQL are those of a fold over the log."""

import json
from typing import Any

import numpy as np
import pytest

from proactrec.store import campaigns, log
from proactrec.store.campaign import Campaign, Goal, Measure
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.erasing import erase
from proactrec.store.log import Change
from proactrec.store.outcomes import (
    COLUMNS,
    FIGURES,
    LAYOUT,
    MOST,
    Outcomes,
    matured_before,
    outcomes,
)
from proactrec.store.people import NOBODY, SECOND, TAKEN, Event, Person, answer_of
from proactrec.store.rebuild import differences

from .shop import NOON, TENANT, begun, decided, event, made, rows, said

HOUR = 3600 * SECOND
WINDOW = 48 * HOUR
ITEMS = ("lamp", "cup", "plate", "vase")


def campaign(**more: Any) -> Campaign:
    return said(hold_out=0.3, measure=Measure(window_hours=48, **more))


def lived(database: Database, version: Version, n: int, seed: int) -> dict[str, Person]:
    """Users who come at different times, with what they did before, and answer or not."""
    rng = np.random.default_rng(seed)
    people = {}
    for number in range(n):
        before = Person(TENANT, f"user {number:03}")
        after, said_at = before, NOON - 300 * HOUR
        changes = []
        if rng.random() < 0.3:
            said_at = NOON - int(rng.integers(1, 100)) * HOUR
            after = before.belonging([["new"], ["old", "shy"], []][rng.integers(3)])
            changes.append(Change(before, after, said_at=said_at))
        for k in range(rng.integers(0, 4)):
            one = Event(f"p{k}", 0, ITEMS[rng.integers(4)], "purchase", NOON - k * HOUR, NOON)
            changes.append(Change(after, after.after(events=[one]), events=[one]))
            after = changes[-1].after
        at = NOON + int(rng.integers(0, 100)) * HOUR
        arm = version.arm_of(before.user_id)
        for k in range(rng.integers(1, 6)):
            whose = {"campaign_id": version.campaign_id, "version": version.version, "arm": arm}
            guided = int(arm != "hold-out")
            when = at + k * 20 * HOUR
            one_made = made(after, ITEMS[rng.integers(4)], guided=guided, at=when, **whose)
            changes.append(Change(after, after.after(made=[one_made]), [decided(one_made)]))
            after = changes[-1].after
            kinds = [("accept",), ("skip",), ("impression", "expired"), ("expired",), ("lapsed",),
                     ("purchase", "complaint"), ()][rng.integers(7)]  # fmt: skip
            events = [event(f"e{k}{kind}", one_made, kind, when + 60 * SECOND) for kind in kinds]
            changes.append(Change(after, after.after(events=events), events=events))
            after = changes[-1].after
        if rng.random() < 0.2:
            out_at = at + int(rng.integers(-10, 60)) * HOUR
            changes.append(Change(after, after.consenting(guided=False), said_at=out_at))
            after = changes[-1].after
        with database.writing() as connection:
            for change in changes:
                if change.after.revision > change.before.revision:
                    log.write(Hot(connection), TENANT, [change])
        people[before.user_id] = after
    return people


def row_of(person: Person, opted_out_at: int | None) -> list[int]:
    """A user's numbers as a fold says."""
    since = person.made[0].at

    def is_within(at: int) -> bool:
        return since <= at < since + WINDOW

    at = {made.number: made.at for made in person.made}
    events = [(e, at.get(e.decision, e.at)) for e in person.events.values()]
    taken = [(e.item_id, when) for e, when in events if e.kind in TAKEN]
    answers = [
        (made, answer_of(person.kinds.get(made.number, frozenset()))) for made in person.made
    ]
    answers = [(made, answer) for made, answer in answers if answer in (0, 1)]
    inside = [answer for made, answer in answers if is_within(made.at)]
    objects = any(e.kind == "complaint" and is_within(when) for e, when in events)
    numbers = {
        "taken_before": len({item for item, when in taken if when < since}),
        "target_before": int(any(item == "lamp" and when < since for item, when in taken)),
        "answered_before": len([made for made, _ in answers if made.at < since]),
        "accepted_before": len([made for made, a in answers if made.at < since and a == 1]),
        "target": int(any(item == "lamp" and is_within(when) for item, when in taken)),
        "taken": len({item for item, when in taken if is_within(when)}),
        "purchases": sum(e.kind == "purchase" and is_within(when) for e, when in events),
        "objected": int(objects or (opted_out_at is not None and is_within(opted_out_at))),
        "accepted": inside.count(1),
        "answered": len(inside),
        "targets": len({item for item, when in taken if item == "lamp" and is_within(when)}),
    }
    return [numbers[name] for name in COLUMNS]


def seen(database: Database, version: Version, now: int) -> Outcomes:
    with database.reading() as connection:
        return outcomes(connection, version, now)


@pytest.mark.parametrize("most", [None, 25])
def test_sums_are_those_of_a_fold_over_the_log(database: Database, most: int | None) -> None:
    version = begun(database, campaign(users=most))
    people = lived(database, version, 60, seed=3)
    now = NOON + 150 * HOUR
    with database.reading() as connection:
        rows = Hot(connection).rows("SELECT user_id, at FROM consents WHERE guided = 0")
        memberships = dict(Hot(connection).rows("SELECT user_id, groups FROM memberships"))
    opted_out = dict(rows)
    ripe = sorted(
        (person.made[0].at, user_id)
        for user_id, person in people.items()
        if person.made[0].at <= matured_before(version.said, now)
    )
    assert 25 < len(ripe) < 60
    expected: dict[tuple[str, frozenset[str]], Any] = {}
    for _, user_id in ripe[:most]:
        person = people[user_id]
        key = version.arm_of(user_id), person.groups if user_id in memberships else frozenset()
        v = np.array([1, *row_of(person, opted_out.get(user_id))], float)
        expected[key] = expected.get(key, 0) + np.outer(v, v)
    found = {(cell.arm, cell.groups): cell.table for cell in seen(database, version, now).cells}
    assert found.keys() == expected.keys()
    for key, table in found.items():
        assert table.tolist() == expected[key].tolist(), key
    assert all(sum(table[0, 1:]) for table in found.values())


def test_other_shares_begin_another_epoch(database: Database) -> None:
    version = begun(database, campaign())
    lived(database, version, 12, seed=1)
    how = {"by": "test", "at": NOON, "reason": "more"}
    with database.writing() as connection:
        same = campaigns.changed(connection, version, said=campaign(users=9), **how)
        other = campaigns.changed(
            connection, same, said=campaign().model_copy(update={"hold_out": 0.5}), **how
        )
    found = seen(database, other, NOON + 150 * HOUR)
    assert {epoch: sum(n.values()) for epoch, n in found.n_users.items()} == {1: 12}
    assert found.shares == {1: campaign().shares}
    late = Person(TENANT, "late")
    whose = {"campaign_id": other.campaign_id, "version": other.version, "arm": "guided"}
    one = made(late, "cup", **whose)
    with database.writing() as connection:
        log.write(Hot(connection), TENANT, [Change(late, late.after(made=[one]), [decided(one)])])
    found = seen(database, other, NOON)
    assert found.n_users[4] == {"guided": 1}
    assert found.shares[4] == {"hold-out": 0.5, "guided": 0.5}


def test_a_robot_s_counts_are_cut_off(database: Database) -> None:
    version = begun(database, campaign())
    robot = Person(TENANT, "robot")
    whose = {"campaign_id": version.campaign_id, "version": version.version, "arm": "guided"}
    one = made(robot, "cup", **whose)
    events = [Event(f"e{k}", 0, "cup", "purchase", NOON + k, NOON) for k in range(MOST + 9)]
    first = robot.after(made=[one])
    with database.writing() as connection:
        hot = Hot(connection)
        log.write(hot, TENANT, [Change(robot, first, [decided(one)])])
        log.write(hot, TENANT, [Change(first, first.after(events=events), events=events)])
    (cell,) = seen(database, version, NOON + 150 * HOUR).cells
    assert cell.table[0, 1 + COLUMNS.index("purchases")] == MOST


def test_figures_have_their_columns() -> None:
    names = ("1", *COLUMNS)
    told = {
        name: (names[top], names[bottom])
        for name, top, bottom in zip(FIGURES, LAYOUT.numerators, LAYOUT.denominators, strict=True)
    }
    assert told["acceptance"] == ("accepted", "answered")
    assert told["target"] == ("target", "1")
    assert told["target_share"] == ("targets", "taken")
    assert LAYOUT.n_covariates == 4


def alone(
    database: Database, version: Version, people: dict[str, Person], seed: int
) -> dict[str, Person]:
    """What users do by themselves and elsewhere: before their window, in it and after it."""
    rng, found = np.random.default_rng(seed), dict[str, Person]()
    items = (*ITEMS, "rug", "bowl")  # which no campaign shows
    for n, (user_id, before) in enumerate(people.items()):
        since = before.made[0].at
        of_it: dict[str, Any] = {"campaign_id": "", "target_id": "", "version": 0, "arm": ""}
        if n % 2:
            of_it = {"campaign_id": version.campaign_id, "target_id": "vase"}
            of_it |= {"version": version.version, "arm": version.arm_of(user_id)}
        at = since + int(rng.integers(-20, 60)) * HOUR + SECOND
        one = made(before, items[rng.integers(4 if n % 2 else 6)], guided=0, at=at, **of_it)
        events = [event("elsewhere", one, ("accept", "skip", "complaint")[rng.integers(3)], at)]
        for k, hours in enumerate(rng.integers(-60, 90, size=6).tolist()):
            kind = ("purchase", "accept", "accept", "skip", "complaint")[rng.integers(5)]
            when = since + hours * HOUR + 7
            events.append(Event(f"alone {k}", 0, items[rng.integers(6)], kind, when, when))
        after = before.after(made=[one])
        with database.writing() as connection:
            hot = Hot(connection)
            log.write(hot, TENANT, [Change(before, after, [decided(one)])])
            log.write(hot, TENANT, [Change(after, after.after(events=events), events=events)])
        found[user_id] = after
    return found


def told(database: Database, version: Version) -> tuple[Any, ...]:
    """All that is measured, by segments that the campaign looks at."""
    found = seen(database, version, NOON + 250 * HOUR)
    cells = found.as_json(version.said.measure.segments)["cells"]
    tables = {(epoch, arm, tuple(groups)): table for epoch, arm, groups, table in cells}
    return found.shares, found.n_users, tables


@pytest.mark.parametrize("most", [None, 25])
def test_figures_stay_as_they_were_when_users_are_erased(
    database: Database, most: int | None
) -> None:
    """Of the held out too, who took items by themselves; and of who came at the same time."""
    version = begun(database, campaign(users=most, segments=("new", "shy")))
    short = Measure(window_hours=10, segments=("old",))
    other = begun(database, said(goal=Goal(items=("vase",)), hold_out=0.5, measure=short))
    people = lived(database, version, 40, seed=3)
    people = alone(database, other, people, seed=4)
    both = version, other
    before = [told(database, one) for one in both]
    assert all(len(tables) > 1 for _, _, tables in before)
    places = {edge for person in people.values() for edge in edges_of(person)}
    for users in (list(people)[::2], list(people)[1::2]):
        for user_id in users:
            with database.writing() as connection:
                erase(connection, TENANT, user_id, by="test", at=NOON)
        assert [told(database, one) for one in both] == before
        assert differences(database, TENANT) == []
    beside = rows(database, "SELECT item_id, at, received_at FROM events WHERE decision = 0")
    assert {item for item, _, _ in beside if item[:8] != NOBODY} <= set(ITEMS)
    assert {at for _, *times in beside for at in times} <= places
    groups = [json.loads(names) for (names,) in rows(database, "SELECT groups FROM memberships")]
    assert ["new"] in groups  # as somebody was whom the campaign tells apart
    assert ["old", "shy"] not in groups


def edges_of(person: Person) -> list[int]:
    """Where windows begin and end; and before all."""
    since = person.made[0].at
    found = [since, since + WINDOW, since - 1]
    last = person.made[-1].at
    return [*found, last, last + 10 * HOUR, last - 1]


def test_who_was_among_the_first_stays_so_once_erased(database: Database) -> None:
    """Though all came at once, and order by id would be another one then."""
    version = begun(database, campaign(users=4))
    users = [f"user {n}" for n in range(8)]
    for n, user_id in enumerate(users):
        before = Person(TENANT, user_id)
        whose = {"campaign_id": version.campaign_id, "version": version.version, "arm": "guided"}
        one = made(before, "lamp", **whose)
        after = before.after(made=[one])
        events = [event("e", one, "accept" if n < 4 else "skip")]
        with database.writing() as connection:
            hot = Hot(connection)
            log.write(hot, TENANT, [Change(before, after, [decided(one)])])
            log.write(hot, TENANT, [Change(after, after.after(events=events), events=events)])
    before_all = told(database, version)
    for user_id in users:
        with database.writing() as connection:
            erase(connection, TENANT, user_id, by="test", at=NOON)
    assert told(database, version) == before_all
