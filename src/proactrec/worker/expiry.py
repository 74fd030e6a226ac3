"""What nobody answered: offers never shown are given back, those shown count as skipped.

Both are events like others, told by the worker under ids of their own, so that doing it again
changes nothing. What a user does later is still taken in.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from proactrec.store import campaigns, log
from proactrec.store.budgets import give_back
from proactrec.store.database import Database, Hot
from proactrec.store.log import Change
from proactrec.store.people import EXPIRED, LAPSED, SECOND, Event, Made, Person
from proactrec.store.recounts import Counting
from proactrec.store.tables import USERS

GRACE = 60 * SECOND
"""How long after its time an event may still be on its way."""
PAGE = 200
"""Users of a transaction."""


class Settled(NamedTuple):
    """Decisions that were waited for in vain."""

    n_expired: int = 0
    n_lapsed: int = 0

    def __add__(self, other: "Settled") -> "Settled":  # type: ignore[override]
        return Settled(self.n_expired + other.n_expired, self.n_lapsed + other.n_lapsed)


def settle(database: Database, now: int, *, seconds: float = math.inf) -> Settled:
    """Settle what is due, in transactions of a few users each, for so many seconds.

    Killed, it goes on.
    """
    total, end = Settled(), time.monotonic() + seconds
    while due := _due(database, now):
        for tenant, user_ids in due.items():
            with database.writing() as connection:
                total += _settle_page(connection, tenant, user_ids, now)
        if time.monotonic() >= end:
            break
    return total


def _due(database: Database, now: int) -> dict[str, list[str]]:
    """Users of whom a decision must be settled, by tenant; at most a page."""
    query = select(USERS.c.tenant, USERS.c.user_id).where(USERS.c.due_at <= now - GRACE)
    found: dict[str, list[str]] = {}
    with database.reading() as connection:
        for tenant, user_id in connection.execute(query.order_by(USERS.c.due_at).limit(PAGE)):
            found.setdefault(tenant, []).append(user_id)
    return found


def _settle_page(connection: Connection, tenant: str, user_ids: Sequence[str], now: int) -> Settled:
    hot = Hot(connection)
    people = log.people(hot, tenant, log.locked(hot, tenant, user_ids, new=()))
    changes = [_change(person, now) for person in people.values()]
    log.write(hot, tenant, [change for change in changes if change.events])
    given_back = [
        change.after.made[event.decision - 1]
        for change in changes
        for event in change.events
        if event.kind == EXPIRED
    ]
    _give_back(connection, tenant, [made for made in given_back if made.guided])
    _set_due(connection, tenant, [change.after for change in changes if not change.events])
    kinds = [event.kind for change in changes for event in change.events]
    return Settled(kinds.count(EXPIRED), kinds.count(LAPSED))


def _change(person: Person, now: int) -> Change:
    """What is told of a user's decisions whose time is over."""
    told = [
        _event(made, EXPIRED if made.number not in person.kinds else LAPSED, until, now)
        for made, until in person.waiting
        if until <= now - GRACE
    ]
    return Change(person, person.after(events=told), events=told)


def _event(made: Made, kind: str, until: int, now: int) -> Event:
    return Event(f"~{kind}:{made.number}", made.number, made.item_id, kind, until, now)


def _give_back(connection: Connection, tenant: str, guided: Sequence[Made]) -> None:
    """Take offers off what they were counted against, by all versions since they were made."""
    first: dict[str, int] = {}
    for made in guided:
        first[made.campaign_id] = min(made.version, first.get(made.campaign_id, made.version))
    counting = {
        campaign_id: Counting(campaigns.history(connection, tenant, campaign_id, since))
        for campaign_id, since in first.items()
    }
    offers = [counting[made.campaign_id].limits(made) for made in guided]
    if any(offers):
        give_back(Hot(connection), tenant, offers)


def _set_due(connection: Connection, tenant: str, people: Sequence[Person]) -> None:
    """Say when users are due of whom nothing was told; whoever is written has it said."""
    if not people:
        return
    row = USERS.c
    same = (row.tenant == tenant) & (row.user_id == bindparam("whose"))
    connection.execute(
        update(USERS).where(same).values(due_at=bindparam("until")),
        [{"whose": person.user_id, "until": person.due_at} for person in people],
    )
