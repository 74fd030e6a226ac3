"""What is left of an erased user for measurement: their part in its sums, which names nobody.

What somebody took by themselves counts in every campaign that drew an arm for them: before their
window as a covariate, in it as an outcome. Of this the place relative to windows is kept, not the
time; items only where they are targets, or were shown by a campaign; and of groups those that a
campaign looks at apart.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from proactrec.store import campaigns
from proactrec.store.outcomes import window_of
from proactrec.store.people import NOBODY, OWN, TAKEN, Event, Person
from proactrec.store.tables import JOURNEYS, MEMBERSHIPS

COUNTED = TAKEN | {"complaint"}
"""Events that count also where they answer no decision."""


class Look(NamedTuple):
    """How a campaign looks at a user whom it drew an arm for."""

    since: int
    until: int
    targets: frozenset[str]  # none where nothing is compared with them
    segments: frozenset[str]


def looks_at(connection: Connection, person: Person) -> list[Look]:
    """Those of all campaigns that decided for a user, the first one first."""
    first: dict[str, int] = {}
    for made in person.made:
        if made.campaign_id:
            first.setdefault(made.campaign_id, made.at)
    has_own = any(not _is_of_campaign(person, event) for event in person.events.values())
    found = []
    for campaign_id, since in first.items():
        said = campaigns.current(connection, person.tenant, campaign_id).said
        decided = _targets(connection, person.tenant, campaign_id) if has_own else ()
        targets = frozenset((*said.goal.items, *decided))
        segments = frozenset(said.measure.segments)
        found.append(Look(since, since + window_of(said), targets, segments))
    return sorted(found, key=lambda look: look.since)


def events_left(person: Person, looks: Sequence[Look]) -> list[Event]:
    """Those that answer decisions or are counted, under ids that nobody else gave."""
    told = sorted(person.events.values(), key=lambda event: (event.received_at, event.event_id))
    counted = {event.event_id for event in told if _is_counted(person, event, looks)}
    names = _names(person, (event for event in told if event.event_id in counted), looks)
    left = [
        _left(person, event, names if event.event_id in counted else {}, looks)
        for event in told
        if event.decision or event.event_id in counted
    ]
    left.sort(key=lambda event: (not event.decision, event.received_at))
    return [
        event if event.event_id.startswith(OWN) else event._replace(event_id=f"{NOBODY}{n}")
        for n, event in enumerate(left)
    ]


def groups_left(
    connection: Connection, person: Person, looks: Iterable[Look]
) -> list[tuple[int, str, int]]:
    """Segments that a user was in when campaigns first decided: number, names and time."""
    row = MEMBERSHIPS.c
    query = select(row.at, row.groups).where(
        row.tenant == person.tenant, row.user_id == person.user_id
    )
    said = connection.execute(query.order_by(row.number.desc())).all()
    found: dict[int, set[str]] = {}
    for look in looks:
        names = next((names for at, names in said if at <= look.since), "[]")
        groups = look.segments.intersection(json.loads(names))
        found.setdefault(look.since, set()).update(groups)
    if not any(found.values()):
        return []
    return [(n, json.dumps(sorted(some)), at) for n, (at, some) in enumerate(found.items(), 1)]


def _targets(connection: Connection, tenant: str, campaign_id: str) -> list[str]:
    """Items that a campaign led anybody to."""
    row = JOURNEYS.c
    of_it = row.tenant == tenant, row.campaign_id == campaign_id
    return list(connection.execute(select(row.target_id).where(*of_it).distinct()).scalars())


def _is_of_campaign(person: Person, event: Event) -> bool:
    return bool(event.decision and person.made[event.decision - 1].campaign_id)


def _is_counted(person: Person, event: Event, looks: Iterable[Look]) -> bool:
    """Whether it lies in a window, or before one."""
    at = person.made[event.decision - 1].at if event.decision else event.at
    return event.kind in COUNTED and any(at < look.until for look in looks)


def _names(person: Person, counted: Iterable[Event], looks: Iterable[Look]) -> dict[str, str]:
    """What stands for every item that is counted: the same for the same one of this user."""
    meant = {made.item_id for made in person.made if made.campaign_id}
    meant = meant.union(*(look.targets for look in looks))
    items = dict.fromkeys(event.item_id for event in counted)
    return {
        item_id: item_id if item_id in meant else f"{NOBODY}{n}" for n, item_id in enumerate(items)
    }


def _left(person: Person, event: Event, names: Mapping[str, str], looks: Iterable[Look]) -> Event:
    if _is_of_campaign(person, event):
        return event
    other = event._replace(item_id=names.get(event.item_id, ""))
    if event.decision:
        return other
    edges = [edge for look in looks for edge in (look.since, look.until)]
    at = max((edge for edge in edges if edge <= event.at), default=min(edges) - 1)
    return other._replace(at=at, received_at=at)
