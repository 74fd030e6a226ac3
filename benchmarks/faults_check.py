"""What shops saw acknowledged, held against the database: each once, and no limit exceeded."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from faults_load import Seen
from proactrec.store import campaigns
from proactrec.store.budgets import limits_of
from proactrec.store.campaigns import Version
from proactrec.store.database import Database
from proactrec.store.people import EXPIRED, day_of, id_of
from proactrec.store.rebuild import differences
from proactrec.store.tables import DECISIONS, EVENTS

TENANT = "default"
MOST_TOLD = 5
"""Examples of what is wrong."""


def checked(database: Database, seen: Seen) -> dict[str, Any]:
    """Figures, and `wrong`: sentences on whatever is not as promised, none if all is well."""
    with database.reading() as connection:
        decisions = list(connection.execute(select(DECISIONS).order_by(DECISIONS.c.seq)))
        events = list(connection.execute(select(EVENTS)))
        all_campaigns = [
            version
            for one in campaigns.all_current(connection, TENANT)
            for version in campaigns.history(connection, TENANT, one.campaign_id)
        ]
    told = [event for event in events if not event.event_id.startswith("~")]
    expired = {(event.user_id, event.decision) for event in events if event.kind == EXPIRED}
    offered = [row for row in decisions if row.guided]
    kept = [row for row in offered if (row.user_id, row.number) not in expired]
    limits, over = used(kept, all_campaigns)
    wrong = [*_decisions(decisions, seen), *_events(told, seen), *_back_in_time(decisions), *over]
    wrong += [f"unlike the fold of the log: {one}" for one in differences(database, TENANT)]
    wrong += seen.contradictions + [f"never acknowledged: {one}" for one in seen.unanswered]
    return {
        "decisions": len(seen.decisions),
        "events": len(seen.events),
        "guided": len(offered),
        "given_back": len(offered) - len(kept),
        **limits,
        "n_wrong": len(wrong),
        "wrong": wrong[:MOST_TOLD],
    }


def used(kept: Iterable[Any], versions: Iterable[Version]) -> tuple[dict[str, int], list[str]]:
    """How many limits were reached by offers that stand, and sentences on those exceeded.

    Counted from the log, not from what the service counted.
    """
    said = {(one.campaign_id, one.version): one.said for one in versions}
    n, most = Counter[tuple[Any, ...]](), dict[tuple[Any, ...], int]()
    for row in kept:
        campaign = said[row.campaign_id, row.version]
        zone, cap = campaign.budget.zone, campaign.rails.daily_cap
        found = limits_of(row.campaign_id, campaign, row.item_id, row.at)
        for limit, allowed in found.items():
            n[limit] += 1
            most[limit] = allowed.n
        if cap is not None:
            of_user = row.campaign_id, f"user:{row.user_id}", str(day_of(row.at, zone))
            n[of_user] += 1
            most[of_user] = cap
    reached = [limit for limit, number in n.items() if number == most[limit]]
    over = [f"{limit}: {number} of {most[limit]}" for limit, number in n.items()
            if number > most[limit]]  # fmt: skip
    return {
        "budgets_reached": sum(limit[1] == "all" for limit in reached),
        "item_caps_reached": sum(limit[1].startswith("item:") for limit in reached),
        "daily_caps_reached": sum(limit[1].startswith("user:") for limit in reached),
    }, over


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
