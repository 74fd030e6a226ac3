"""The log of users, read and written by the statements that every decision takes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from proactrec.store.database import Hot
from proactrec.store.people import Event, Made, Person
from proactrec.store.tables import (
    ASSIGNMENTS,
    CONSENTS,
    DECISIONS,
    EVENTS,
    JOURNEYS,
    MEMBERSHIPS,
    USERS,
)

MADE = ", ".join(Made._fields)
EVENT = ", ".join(Event._fields)
NEWER = (
    "ON CONFLICT (tenant, user_id) DO UPDATE SET revision = excluded.revision, "
    "due_at = excluded.due_at "
    "WHERE users.revision < excluded.revision"
)
OF_JOURNEY = ("n_rounds", "n_guided", "n_answered", "n_accepted", "accepted_in", "last_at")
GROWN = "ON CONFLICT (tenant, user_id, campaign_id, target_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in OF_JOURNEY
)


class Decided(NamedTuple):
    """A decision with all that the log keeps of it."""

    made: Made
    plain_id: str
    proposed_id: str
    reason: str
    not_guided_because: str
    among: Sequence[str] | None
    request_key: str | None
    guide: str | None = None  # name of the one that decided

    def row(self, tenant: str, user_id: str) -> tuple[object, ...]:
        """As the table of decisions has it."""
        m = self.made
        among = None if self.among is None else json.dumps(list(self.among))
        what = (m.campaign_id, m.version, m.arm, m.target_id, m.item_id)
        why = (self.plain_id, self.proposed_id, m.guided, self.reason, self.not_guided_because)
        when = (among, m.knowledge, m.at, m.expires_at, m.closes_at)
        return (tenant, user_id, m.number, *what, *why, *when, self.request_key, self.guide)


class Change(NamedTuple):
    """What a transaction adds to the log of one user, who was at a revision before.

    That is at most one word on being guided, and one on groups.
    """

    before: Person
    after: Person
    decided: Sequence[Decided] = ()
    events: Sequence[Event] = ()
    said_at: int = 0


def revisions(hot: Hot, tenant: str, user_ids: Sequence[str]) -> dict[str, int]:
    """How far the log of each user is; 0 where there is none."""
    sql = "SELECT user_id, revision FROM users WHERE tenant = ? AND user_id IN (?ids)"
    found: dict[str, int] = dict.fromkeys(user_ids, 0)
    found.update(hot.rows_of(sql, user_ids, (tenant,)))
    return found


def locked(
    hot: Hot, tenant: str, user_ids: Sequence[str], *, new: Sequence[str] | None = None
) -> dict[str, int]:
    """Revisions of users whom nobody else may change until the transaction ends.

    They are locked in the order of their ids, so that no two transactions wait for each other. Of
    whom nothing is there it is 0. Rows are made, and locked, for the `new` of these alone, by
    default all; whoever is not written in the end must be let go. Of a new one whom another one
    erases just now it is -1: they are not locked, and nothing may be written.
    """
    ids = sorted(user_ids)
    if hot.is_sqlite:  # the only writer
        return revisions(hot, tenant, ids)
    made = ids if new is None else sorted(new)
    hot.insert(USERS, [(tenant, user_id, 0, None) for user_id in made], "ON CONFLICT DO NOTHING")
    sql = (
        "SELECT user_id, revision FROM users WHERE tenant = ? AND user_id IN (?ids) "
        "ORDER BY user_id FOR UPDATE"
    )
    found = dict(hot.rows_of(sql, ids, (tenant,)))
    return {**dict.fromkeys(ids, 0), **dict.fromkeys(made, -1), **found}


def let_go(hot: Hot, tenant: str, user_ids: Sequence[str]) -> None:
    """Leave no row of those who are locked if the log says nothing of them: nor their ids."""
    sql = "DELETE FROM users WHERE tenant = ? AND revision = 0 AND user_id IN (?ids) RETURNING 1"
    hot.rows_of(sql, user_ids, (tenant,))


def alone(connection: Connection) -> None:
    """Wait for all who change users, whom nobody else may change until the transaction ends.

    It comes before any other lock, as locks of users do.
    """
    if connection.dialect.name != "sqlite":  # the only writer
        connection.exec_driver_sql("LOCK TABLE users IN SHARE MODE")


def people(hot: Hot, tenant: str, at: Mapping[str, int]) -> dict[str, Person]:
    """Users as the log tells of them, who are at these revisions."""
    ids = [user_id for user_id, revision in at.items() if revision > 0]
    found = {user_id: Person(tenant, user_id) for user_id in at}
    made, events, consents, groups = (
        _by_user(hot, sql, tenant, ids)
        for sql in (
            f"SELECT user_id, {MADE} FROM decisions",
            f"SELECT user_id, {EVENT} FROM events",
            "SELECT user_id, number, guided FROM consents",
            "SELECT user_id, number, groups FROM memberships",
        )
    )
    for user_id in ids:
        of_user = sorted(Made(*row) for row in made.get(user_id, ()))
        person = found[user_id].after(
            made=of_user, events=(Event(*row) for row in events.get(user_id, ()))
        )
        for _, guided in sorted(consents.get(user_id, ())):
            person = person.consenting(bool(guided))
        for _, names in sorted(groups.get(user_id, ())):
            person = person.belonging(json.loads(names))
        found[user_id] = person
    return found


def decided_by(hot: Hot, tenant: str, user_id: str, request_key: str) -> Decided | None:
    """The decision that a request with this key got before."""
    sql = (
        f"SELECT {MADE}, plain_id, proposed_id, reason, not_guided_because, among, request_key, "
        "guide FROM decisions WHERE tenant = ? AND user_id = ? AND request_key = ?"
    )
    found = hot.rows(sql, (tenant, user_id, request_key))
    if not found:
        return None
    *made, plain, proposed, reason, because, among, key, guide = found[0]
    drawn = None if among is None else json.loads(among)
    return Decided(Made(*made), plain, proposed, reason, because, drawn, key, guide)


def write(hot: Hot, tenant: str, changes: Iterable[Change]) -> None:
    """Add to the log, and bring what follows from it along."""
    changes = list(changes)

    def rows(parts: Iterable[Iterable[tuple[object, ...]]]) -> list[tuple[object, ...]]:
        return [row for part in parts for row in part]

    hot.insert(EVENTS, rows(_events(tenant, change) for change in changes))
    hot.insert(
        DECISIONS,
        rows((d.row(tenant, c.after.user_id) for d in c.decided) for c in changes),
    )
    hot.insert(CONSENTS, rows(_consents(tenant, change) for change in changes))
    hot.insert(MEMBERSHIPS, rows(_memberships(tenant, change) for change in changes))
    people = [change.after for change in changes]
    hot.insert(USERS, [(tenant, p.user_id, p.revision, p.due_at) for p in people], NEWER)
    hot.insert(
        ASSIGNMENTS, rows(assignments(c.after, c.before) for c in changes), "ON CONFLICT DO NOTHING"
    )
    hot.insert(JOURNEYS, rows(journeys(c.after, touched(c)) for c in changes), GROWN)


def _by_user(
    hot: Hot, sql: str, tenant: str, ids: Sequence[str]
) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    if ids:
        for row in hot.rows_of(f"{sql} WHERE tenant = ? AND user_id IN (?ids)", ids, (tenant,)):
            found.setdefault(row[0], []).append(row[1:])
    return found


def _events(tenant: str, change: Change) -> list[tuple[object, ...]]:
    return [(tenant, change.after.user_id, *event) for event in change.events]


def _consents(tenant: str, change: Change) -> list[tuple[object, ...]]:
    one = change.after
    if one.n_consents == change.before.n_consents:
        return []
    return [(tenant, one.user_id, one.n_consents, int(one.is_guided), change.said_at)]


def _memberships(tenant: str, change: Change) -> list[tuple[object, ...]]:
    one = change.after
    if one.n_memberships == change.before.n_memberships:
        return []
    names = json.dumps(sorted(one.groups))
    return [(tenant, one.user_id, one.n_memberships, names, change.said_at)]


def touched(change: Change) -> set[tuple[str, str]]:
    """Campaign and target of the journeys that a change bears on."""
    numbers = {event.decision for event in change.events if event.decision}
    made = [change.after.made[number - 1] for number in numbers]
    made += [one.made for one in change.decided]
    return {(one.campaign_id, one.target_id) for one in made if one.campaign_id}


def assignments(person: Person, before: Person | None = None) -> list[tuple[object, ...]]:
    """Rows of the arms that a user was assigned to, by the first decision of each campaign."""
    known = set() if before is None else {made.campaign_id for made in before.made}
    found: dict[str, tuple[object, ...]] = {}
    for made in person.made if before is None else person.made[len(before.made) :]:
        if made.campaign_id and made.campaign_id not in known:
            row = (person.tenant, person.user_id, made.campaign_id, made.arm, made.at)
            found.setdefault(made.campaign_id, row)
    return list(found.values())


def journeys(
    person: Person, which: Iterable[tuple[str, str]] | None = None
) -> list[tuple[object, ...]]:
    """Rows of a user's journeys; all of them by default."""
    if which is None:
        which = {(m.campaign_id, m.target_id) for m in person.made if m.campaign_id}
    return [_journey(person, *one) for one in sorted(which)]


def _journey(person: Person, campaign_id: str, target_id: str) -> tuple[object, ...]:
    rounds = person.rounds(campaign_id, target_id)
    of_it = [
        made
        for made in person.made
        if (made.campaign_id, made.target_id) == (campaign_id, target_id)
    ]
    taken = [n for n, (made, answer) in enumerate(rounds, 1) if answer == 1]
    arrived = [n for n in taken if rounds[n - 1].made.item_id == target_id]
    return (
        person.tenant,
        person.user_id,
        campaign_id,
        target_id,
        of_it[0].arm,
        len(rounds),
        sum(made.guided for made, _ in rounds),
        sum(answer >= 0 for _, answer in rounds),
        len(taken),
        arrived[0] if arrived else 0,
        of_it[0].at,
        of_it[-1].at,
    )
