"""What happened in a campaign so far, counted in SQL."""

from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from proactrec.serving.schemas import Agreement, ArmCounts, BudgetUsed, Journey, Journeys, moment
from proactrec.store.budgets import ALL, TOTAL, Limit
from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.store.leases import offered
from proactrec.store.people import day_of
from proactrec.store.tables import ASSIGNMENTS, DECISIONS, JOURNEYS


def arm_counts(connection: Connection, version: Version) -> dict[str, ArmCounts]:
    """By arm in which there is anybody."""
    found: dict[str, dict[str, int]] = {}
    for arm, users in connection.execute(_by_arm(version)):
        found.setdefault(arm, {})["users"] = users
    for arm, answered, accepted, targets in connection.execute(_answers(version)):
        counts = {"answered": answered, "accepted": accepted, "targets_accepted": targets}
        found.setdefault(arm, {}).update(counts)
    because: dict[str, dict[str, int]] = {}
    for arm, guided, why, n in connection.execute(_reasons(version)):
        counts = found.setdefault(arm, {})
        counts["decisions"] = counts.get("decisions", 0) + n
        if guided:
            counts["guided"] = counts.get("guided", 0) + n
        else:
            because.setdefault(arm, {})[why] = n
    return {
        arm: ArmCounts(**counts, not_guided_because=because.get(arm, {}))
        for arm, counts in found.items()
    }


def budget_used(connection: Connection, version: Version, at: int) -> BudgetUsed:
    """In all, and on the day of a time."""
    budget = version.said.budget
    periods = (TOTAL, str(day_of(at, budget.zone)))
    total, today = (Limit(version.campaign_id, ALL, period) for period in periods)
    used = offered(Hot(connection), version.tenant, (total, today))
    return BudgetUsed(
        total=None if budget.total is None else used[total],
        today=None if budget.per_day is None else used[today],
    )


def agreement(connection: Connection, version: Version) -> Agreement | None:
    """Of an apprentice with its callers; None: it proposed nothing."""
    row = DECISIONS.c
    agreed = func.sum(case((row.proposed_id == row.item_id, 1), else_=0))
    query = select(func.count(), agreed).where(
        row.tenant == version.tenant,
        row.campaign_id == version.campaign_id,
        row.proposed_id != "",
    )
    n, same = connection.execute(query).one()
    return Agreement(decisions=n, agreed=int(same)) if n else None


def journeys_after(
    connection: Connection, version: Version, after: str | None, most: int
) -> Journeys:
    """Those of so many users behind one, by their ids."""
    row = JOURNEYS.c
    of_campaign = (row.tenant == version.tenant, row.campaign_id == version.campaign_id)
    users = select(row.user_id).where(*of_campaign).distinct().order_by(row.user_id)
    if after is not None:
        users = users.where(row.user_id > after)
    ids = list(connection.execute(users.limit(most + 1)).scalars())
    page = ids[:most]
    query = select(JOURNEYS).where(*of_campaign, row.user_id.in_(page))
    found = connection.execute(query.order_by(row.user_id, row.first_at, row.target_id))
    journeys = tuple(map(journey_of, found))
    return Journeys(journeys=journeys, next=page[-1] if len(ids) > most else None)


def journey_of(row: Any) -> Journey:
    """A row of the table of journeys, as it is told."""
    return Journey(
        user_id=row.user_id,
        target_id=row.target_id,
        arm=row.arm,
        rounds=row.n_rounds,
        guided=row.n_guided,
        answered=row.n_answered,
        accepted=row.n_accepted,
        target_accepted_in=row.accepted_in or None,
        first_at=moment(row.first_at),
        last_at=moment(row.last_at),
    )


def _by_arm(version: Version) -> Select[str, int]:
    row = ASSIGNMENTS.c
    return (
        select(row.arm, func.count())
        .where(row.tenant == version.tenant, row.campaign_id == version.campaign_id)
        .group_by(row.arm)
    )


def _answers(version: Version) -> Select[str, int, int, int]:
    row = JOURNEYS.c
    arrived = func.sum(case((row.accepted_in > 0, 1), else_=0))
    return (
        select(row.arm, func.sum(row.n_answered), func.sum(row.n_accepted), arrived)
        .where(row.tenant == version.tenant, row.campaign_id == version.campaign_id)
        .group_by(row.arm)
    )


def _reasons(version: Version) -> Select[str, int, str, int]:
    row = DECISIONS.c
    return (
        select(row.arm, row.guided, row.not_guided_because, func.count())
        .where(row.tenant == version.tenant, row.campaign_id == version.campaign_id)
        .group_by(row.arm, row.guided, row.not_guided_because)
    )
