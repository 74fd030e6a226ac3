"""What shops saw acknowledged, held against the database: each once, and no limit exceeded."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import select

from faults_parts.load import Seen
from proactrec.store import campaigns
from proactrec.store.budgets import ALL, limits_of
from proactrec.store.campaign import Campaign
from proactrec.store.database import Database
from proactrec.store.people import EXPIRED, day_of, id_of
from proactrec.store.tables import DECISIONS, EVENTS
from shared.child import PROACTREC

TENANT = "default"
MOST_TOLD = 5
"""Examples of what is wrong."""


def checked(database: Database, seen: Seen) -> dict[str, Any]:
    """Figures, and `wrong`: sentences on whatever is not as promised, none if all is well."""
    with database.reading() as connection:
        decisions = list(connection.execute(select(DECISIONS).order_by(DECISIONS.c.seq)))
        events = list(connection.execute(select(EVENTS)))
        said = {
            (version.campaign_id, version.version): version.said
            for one in campaigns.all_current(connection, TENANT)
            for version in campaigns.history(connection, TENANT, one.campaign_id)
        }
    told = [event for event in events if not event.event_id.startswith("~")]
    expired = {(event.user_id, event.decision) for event in events if event.kind == EXPIRED}
    offered = [row for row in decisions if row.guided]
    kept = [row for row in offered if (row.user_id, row.number) not in expired]
    asked, standing = counted(offered, said), counted(kept, said)
    wrong = [*_decisions(decisions, seen), *_events(told, seen), *_back_in_time(decisions)]
    wrong += [f"{n} guided by {bound}" for bound, n in standing.items() if n > bound.most]
    wrong += _unlike_the_log(database)
    wrong += seen.contradictions + [f"never acknowledged: {one}" for one in seen.unanswered]
    return {
        "decisions": len(seen.decisions),
        "events": len(seen.events),
        "guided": len(offered),
        "given_back": len(offered) - len(kept),
        **{
            f"{name}_reached": sum(
                bound.of == name and n >= bound.most for bound, n in asked.items()
            )
            for name in ("budgets", "item_caps", "daily_caps")
        },
        "n_wrong": len(wrong),
        "wrong": wrong[:MOST_TOLD],
    }


class Bound(NamedTuple):
    """A limit on guided items."""

    of: str  # budgets, item_caps or daily_caps
    key: tuple[str, ...]
    most: int


def counted(rows: Iterable[Any], said: Mapping[tuple[str, int], Campaign]) -> Counter[Bound]:
    """How often each limit is used by these decisions: by the log, not by the service's counts."""
    return Counter(bound for row in rows for bound in _bounds(row, said))


def _bounds(row: Any, said: Mapping[tuple[str, int], Campaign]) -> Iterator[Bound]:
    campaign = said[row.campaign_id, row.version]
    for limit, allowed in limits_of(row.campaign_id, campaign, row.item_id, row.at).items():
        yield Bound("budgets" if limit.scope == ALL else "item_caps", tuple(limit), allowed.n)
    if campaign.rails.daily_cap is not None:
        day = str(day_of(row.at, campaign.budget.zone))
        yield Bound("daily_caps", (row.campaign_id, row.user_id, day), campaign.rails.daily_cap)


def _decisions(rows: Iterable[Any], seen: Seen) -> list[str]:
    """Decisions that are missing, doubled, other than acknowledged, or that nobody asked for."""
    by_key: dict[str, list[Any]] = {}
    for row in rows:
        by_key.setdefault(row.request_key, []).append(row)
    wrong = [
        f"decision that nobody was told of: {key}" for key in by_key if not _is_known(key, seen)
    ]
    for key, (user, answer) in seen.decisions.items():
        found = by_key.get(key, [])
        if len(found) != 1:
            wrong.append(f"decision {key} is there {len(found)} times")
        elif _said(found[0]) != (user, *(answer[name] for name in ("decision_id", *ANSWERED))):
            wrong.append(f"decision {key} is {found[0]}, acknowledged was {answer}")
    return wrong


ANSWERED = ("item_id", "guided", "campaign_id", "arm", "target_id", "not_guided_because")


def _said(row: Any) -> tuple[Any, ...]:
    """A stored decision as it is answered."""
    return (
        row.user_id,
        id_of(TENANT, row.user_id, row.number),
        row.item_id or None,
        bool(row.guided),
        row.campaign_id or None,
        row.arm or None,
        row.target_id or None,
        row.not_guided_because or None,
    )


def _unlike_the_log(database: Database) -> list[str]:
    """What `proactrec campaign rebuild --check` finds."""
    url = database.url.set(drivername=database.url.get_backend_name())
    store = url.render_as_string(hide_password=False)
    command = [*PROACTREC, "campaign", "rebuild", "--check", "--store", store]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines() if done.returncode else []


def _back_in_time(rows: Iterable[Any]) -> list[str]:
    """Decisions that are older than the user's one before."""
    by_user: dict[str, list[Any]] = {}
    for row in rows:
        by_user.setdefault(row.user_id, []).append(row)
    ordered = [sorted(of_user, key=lambda row: row.number) for of_user in by_user.values()]
    return [
        f"decision {one.number} of {one.user_id} was made before number {before.number}"
        for of_user in ordered
        for before, one in pairwise(of_user)
        if one.at < before.at or one.number != before.number + 1
    ]


def _is_known(key: str, seen: Seen) -> bool:
    return key in seen.decisions or any(key in one for one in seen.unanswered)


def _events(rows: Iterable[Any], seen: Seen) -> list[str]:
    """Likewise of events."""
    stored: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        decision = id_of(TENANT, row.user_id, row.decision)
        stored.setdefault(row.event_id, []).append((row.user_id, decision, row.item_id, row.kind))
    wrong = [
        f"event {key} is there {len(one)} times" for key, one in stored.items() if len(one) > 1
    ]
    for event_id, event in seen.events.items():
        if stored.get(event_id, [None])[0] != event:
            wrong.append(f"event {event_id} is {stored.get(event_id)}, acknowledged was {event}")
    told = set(seen.events)
    wrong += [
        f"event that nobody was told of: {key}"
        for key in stored.keys() - told
        if not any(key in one for one in seen.unanswered)
    ]
    return wrong
