"""A shop whose users are decided for, as a service does it: every batch in one transaction."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from argon2 import PasswordHasher

from proactrec.store import budgets, campaigns, log
from proactrec.store.budgets import Taken, limits_of
from proactrec.store.campaign import Campaign, Goal
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.log import Change, Decided
from proactrec.store.people import SECOND, Event, Made, Person

TENANT = "shop"
NOON = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()) * SECOND
MINUTE = 60 * SECOND
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""For keys of tests: the store's own hashing takes a sixth of a second, as it should."""


def said(**options: Any) -> Campaign:
    """A campaign for the item `lamp`."""
    return Campaign(**{"name": "lamps", "goal": Goal(items=("lamp",)), **options})


def begun(database: Database, campaign: Campaign) -> Version:
    """The campaign, running."""
    with database.writing() as connection:
        draft = campaigns.create(connection, TENANT, campaign, by="test", at=NOON)
        return campaigns.changed(
            connection, draft, by="test", at=NOON, reason="go", state="running"
        )


def made(person: Person, item_id: str, *, guided: int = 1, **fields: Any) -> Made:
    """The next decision of a user."""
    at = fields.pop("at", NOON)
    what = {"campaign_id": "c", "version": 1, "arm": "guided", "target_id": "lamp", **fields}
    ends = {"expires_at": at + 60 * MINUTE, "closes_at": at + 1440 * MINUTE}
    rest = {"item_id": item_id, "guided": guided, "knowledge": 0, "at": at, **ends}
    return Made(number=person.next_number, **what, **rest)


def decided(one: Made, request_key: str | None = None) -> Decided:
    """All that the log keeps of a decision."""
    return Decided(one, "plain", "", "reason", "", ("lamp", "plain"), request_key)


def event(event_id: str, one: Made, kind: str, at: int = NOON) -> Event:
    """What happened to a decision."""
    return Event(event_id, one.number, one.item_id, kind, at, at)


def decide(
    database: Database,
    version: Version,
    user_ids: Sequence[str],
    *,
    item_id: str = "lamp",
    at: int = NOON,
    take: Callable[..., Taken] = budgets.take,
) -> list[str | None]:
    """Why each user was not guided to an item; None: they were."""
    with database.writing() as connection:
        hot = Hot(connection)
        locked = log.locked(hot, TENANT, user_ids)
        user_ids = [user_id for user_id in user_ids if locked[user_id] >= 0]
        known = log.people(hot, TENANT, locked)
        limits = limits_of(version.campaign_id, version.said, item_id, at)
        refused = take(hot, TENANT, [limits for _ in user_ids]).refused
        changes = []
        for user_id, because in zip(user_ids, refused, strict=True):
            before, of_it = known[user_id], {"version": version.version, "at": at}
            one = made(
                before,
                item_id if because is None else "plain",
                guided=int(because is None),
                campaign_id=version.campaign_id,
                **of_it,
            )
            changes.append(Change(before, before.after(made=[one]), [decided(one)]))
        log.write(hot, TENANT, changes)
    return refused


def known(database: Database, *user_ids: str) -> dict[str, Person]:
    """Users as the log tells of them."""
    with database.reading() as connection:
        hot = Hot(connection)
        return log.people(hot, TENANT, log.revisions(hot, TENANT, user_ids))


def happened(database: Database, user_id: str, *events: Event) -> None:
    """Write what is new of some events."""
    with database.writing() as connection:
        hot = Hot(connection)
        before = log.people(hot, TENANT, log.locked(hot, TENANT, [user_id]))[user_id]
        new = {e.event_id: e for e in reversed(events) if e.event_id not in before.events}
        log.write(
            hot, TENANT, [Change(before, before.after(events=new.values()), (), [*new.values()])]
        )


def rows(database: Database, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with database.reading() as connection:
        return Hot(connection).rows(sql, values)
