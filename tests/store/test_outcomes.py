"""What became of a campaign's users: sums in SQL are those of a fold over the log."""

from typing import Any

import numpy as np
import pytest

from proactrec.store import campaigns, log
from proactrec.store.campaign import Campaign, Measure
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
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
from proactrec.store.people import SECOND, TAKEN, Event, Person, answer_of

from .shop import NOON, TENANT, begun, decided, event, made, said

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
    assert LAYOUT.n_covariates == 4
