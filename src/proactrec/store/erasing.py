"""Erasure of a user: the log keeps what measurement, budgets and learning need, of nobody.

Decisions, the events that answer them, arms and journeys go on under a token that is drawn by
chance and that nothing leads back from, and of what else the user did and was as much as
measurement counts, see :mod:`proactrec.store.remains`. All words of the user's own (ids of events,
keys of requests, groups) and what they were shown outside campaigns are gone.
"""

import json
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, update

from proactrec.store import audit, campaigns, log
from proactrec.store.campaign import Campaign
from proactrec.store.campaigns import Version, of_version
from proactrec.store.database import Hot
from proactrec.store.erased import KnownTo, mark
from proactrec.store.people import NOBODY, Person
from proactrec.store.remains import events_left, groups_left, looks_at
from proactrec.store.tables import (
    ASSIGNMENTS,
    CAMPAIGN_VERSIONS,
    CONSENTS,
    DECISIONS,
    EVENTS,
    JOURNEYS,
    MEMBERSHIPS,
    USERS,
)

OF_USERS = (USERS, CONSENTS, MEMBERSHIPS, ASSIGNMENTS, JOURNEYS, DECISIONS, EVENTS)
KEPT = (CONSENTS, ASSIGNMENTS, JOURNEYS, DECISIONS)
"""Tables whose rows go on as nobody's; events and groups are written anew."""
NOTHING = {"target_id": "", "item_id": "", "plain_id": "", "proposed_id": "", "among": None}


class Receipt(NamedTuple):
    """What became of a user, without saying of whom."""

    receipt_id: str
    at: int
    erased: dict[str, int]  # rows that held the user, by table
    kept: dict[str, int]  # of these, rows that go on as nobody's
    guides: tuple[str, ...]  # folders that hold the user's history until they are written anew


def erase(
    connection: Connection,
    tenant: str,
    user_id: str,
    *,
    by: str,
    at: int,
    known: Sequence[KnownTo] = (),
) -> Receipt:
    """Erase a user; of one whom nobody knows nothing is erased.

    Parameters
    ----------
    known : sequence of KnownTo
        The guides that know the user, who is unknown to them from now on.
    """
    hot = Hot(connection)
    if hot.is_sqlite:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    person = log.people(hot, tenant, log.locked(hot, tenant, [user_id]))[user_id]
    counts = _counts(connection, tenant, user_id)
    nobody = f"{NOBODY}{secrets.token_hex(16)}"
    kept = _as_nobody(connection, person, nobody) if person.made else {}
    for table in OF_USERS:
        connection.execute(delete(table).where(*_of(table, tenant, user_id)))
    counts["audiences"] = _leave_audiences(connection, tenant, user_id, nobody, at)
    mark(connection, tenant, known)
    folders = tuple(one.folder for one in known)
    receipt = Receipt(secrets.token_hex(12), at, counts, kept, folders)
    detail = {"erased": counts, "kept": kept, "guides": folders}
    about = receipt.receipt_id
    audit.note(connection, tenant, by=by, at=at, what="erasure", about=about, detail=detail)
    return receipt


def _of(table: Table, tenant: str, user_id: str) -> tuple[ColumnElement[bool], ...]:
    return table.c.tenant == tenant, table.c.user_id == user_id


def _counts(connection: Connection, tenant: str, user_id: str) -> dict[str, int]:
    """Rows of a user, by table; a row that only locks is none."""
    found = {}
    for table in OF_USERS:
        query = select(func.count()).select_from(table).where(*_of(table, tenant, user_id))
        if table is USERS:
            query = query.where(USERS.c.revision > 0)
        found[table.name] = int(connection.execute(query).scalar_one())
    return found


def _as_nobody(connection: Connection, person: Person, nobody: str) -> dict[str, int]:
    """Go on with what is needed of a user under another id; rows by table."""
    looks = looks_at(connection, person)
    events, groups = events_left(person, looks), groups_left(connection, person, looks)
    connection.execute(delete(EVENTS).where(*_of(EVENTS, person.tenant, person.user_id)))
    of_none = (*_of(DECISIONS, person.tenant, person.user_id), DECISIONS.c.campaign_id == "")
    connection.execute(update(DECISIONS).where(*of_none).values(**NOTHING))
    changes = {table: {"user_id": nobody} for table in KEPT}
    changes[DECISIONS] = {"user_id": nobody, "request_key": None}  # type: ignore[dict-item]
    kept = {}
    for table, values in changes.items():
        of_it = _of(table, person.tenant, person.user_id)
        kept[table.name] = connection.execute(update(table).where(*of_it).values(**values)).rowcount
    hot = Hot(connection)
    hot.insert(EVENTS, [(person.tenant, nobody, *event) for event in events])
    hot.insert(MEMBERSHIPS, [(person.tenant, nobody, *row) for row in groups])
    revision = len(person.made) + len(events) + person.n_consents + len(groups)
    hot.insert(USERS, [(person.tenant, nobody, revision, person.due_at)])
    return {**kept, MEMBERSHIPS.name: len(groups), EVENTS.name: len(events)}


def _leave_audiences(
    connection: Connection, tenant: str, user_id: str, nobody: str, at: int
) -> int:
    """Put nobody into a user's place in the audiences that name them; in so many versions.

    Of a campaign that still goes on it makes a version, so that whoever is about to write the old
    audience again is told to look first.
    """
    campaigns.hold(connection, tenant)
    naming = versions_naming(connection, tenant, user_id)
    for version in naming:
        _rewrite(connection, version, user_id, nobody)
    for campaign_id in sorted({version.campaign_id for version in naming}):
        now = campaigns.current(connection, tenant, campaign_id)
        if now.state not in ("finished", "stopped"):
            campaigns.changed(connection, now, by="erasure", at=at, reason="a user was erased")
    return len(naming)


def versions_naming(connection: Connection, tenant: str, user_id: str) -> list[Version]:
    """Versions of campaigns whose audience names a user."""
    row = CAMPAIGN_VERSIONS.c
    quoted = json.dumps(user_id, ensure_ascii=False)
    found = connection.execute(
        select(row.campaign_id, row.version)
        .where(row.tenant == tenant, row.said.contains(quoted, autoescape=True))
        .order_by(row.campaign_id, row.version)
    )
    versions = (of_version(connection, tenant, *one) for one in found.all())
    return [one for one in versions if user_id in one.said.audience.users]


def _rewrite(connection: Connection, version: Version, user_id: str, nobody: str) -> None:
    row, said = CAMPAIGN_VERSIONS.c, version.said
    users = tuple(nobody if one == user_id else one for one in said.audience.users)
    audience = said.audience.model_copy(update={"users": users})
    other: Campaign = said.model_copy(update={"audience": audience})
    connection.execute(
        update(CAMPAIGN_VERSIONS)
        .where(
            row.tenant == version.tenant,
            row.campaign_id == version.campaign_id,
            row.version == version.version,
        )
        .values(said=other.model_dump_json())
    )
