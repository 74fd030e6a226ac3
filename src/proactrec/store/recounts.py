"""What guided decisions count against, by all versions of their campaign.

That is the limits of their own version, and those that came, or came back, by a later change: in
its transaction they are counted from the log, so that what was offered before counts too. Of limits
by day these are days that had not ended then, in the time zone that the change says.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from proactrec.store.budgets import (
    ALL,
    ITEM,
    NEVER,
    TOTAL,
    Limit,
    limits_of,
    locked,
    midnight,
    put,
    used_of,
)
from proactrec.store.database import Hot
from proactrec.store.leases import unused
from proactrec.store.people import EXPIRED, SECOND, Made, day_of

if TYPE_CHECKING:
    from proactrec.store.campaigns import Version

QUARTER = 900 * SECOND
"""Days of all time zones begin with one."""
OFFERED = (
    "SELECT d.item_id, {quarter}, COUNT(*) FROM decisions d "
    "WHERE d.tenant = ? AND d.campaign_id = ? AND d.at >= ? AND d.guided = 1 AND NOT EXISTS ("
    "SELECT 1 FROM events e WHERE e.tenant = d.tenant AND e.user_id = d.user_id "
    f"AND e.decision = d.number AND e.kind = '{EXPIRED}') GROUP BY 1, 2"
)
"""Guided offers that were not given back."""


class Counting:
    """What decisions of a campaign count against.

    Parameters
    ----------
    versions : sequence of Version
        All that followed the first one given, in their order.
    """

    def __init__(self, versions: Sequence["Version"]) -> None:
        self._said = {one.version: one.said for one in versions}
        changes = ((after, came(before, after)) for before, after in pairwise(versions))
        self._changes = [(after, limits) for after, limits in changes if limits]

    def limits(self, made: Made) -> set[Limit]:
        """Those of a guided decision that was made under one of the versions."""
        said = self._said[made.version]
        found = set(limits_of(made.campaign_id, said, made.item_id, made.at))
        for after, limits in self._changes:
            if after.version > made.version:
                for limit in limits:
                    found = {one for one in found if not _covers(limit, one)}
                    found.update(_against(after, limit, made.item_id, made.at))
        return found


def came(before: "Version", after: "Version") -> Collection[Limit]:
    """Limits that a change brings, of days those from its own on; of items: of no item."""
    if before.state == "draft":  # nothing was offered
        return ()
    old = limits_of(before.campaign_id, before.said, "", after.at)
    new = limits_of(after.campaign_id, after.said, "", after.at)
    is_same_day = before.said.budget.time_zone == after.said.budget.time_zone
    return [one for one in new if one not in old or not (is_same_day or one.period == TOTAL)]


def fill(connection: Connection, before: "Version", after: "Version") -> None:
    """Count what was offered until now against the limits that a change brings.

    Nobody else may change users until the transaction ends, see :func:`proactrec.store.log.alone`.
    """
    hot, tenant, limits = Hot(connection), after.tenant, came(before, after)
    old = used_of(hot, tenant, after.campaign_id)
    used = Counter({one: 0 for one in old if any(_covers(limit, one) for limit in limits)})
    used.update(_offered(hot, after, limits))
    locked(hot, tenant, used)
    for limit, n in unused(hot, tenant).items():
        if limit in used:
            used[limit] += n
    put(hot, tenant, used)


def _offered(hot: Hot, after: "Version", limits: Collection[Limit]) -> Counter[Limit]:
    found: Counter[Limit] = Counter()
    for period in sorted({limit.period for limit in limits}):
        quarter, since = "0", -NEVER
        if period != TOTAL:
            begin = midnight(after.at, after.said.budget.zone)
            quarter, since = f"d.at / {QUARTER}", int(begin.timestamp()) * SECOND
        of_it = (after.tenant, after.campaign_id, since)
        for item_id, number, n in hot.rows(OFFERED.format(quarter=quarter), of_it):
            for limit in limits:
                if limit.period == period:
                    for one in _against(after, limit, item_id, number * QUARTER):
                        found[one] += n
    return found


def _against(after: "Version", limit: Limit, item_id: str, at: int) -> list[Limit]:
    """Against what an offer counts by a limit that a change brought, if it does."""
    scope = ALL if limit.scope == ALL else f"{ITEM}{item_id}"
    period = TOTAL if limit.period == TOTAL else str(day_of(at, after.said.budget.zone))
    found = Limit(limit.campaign_id, scope, period)
    return [found] if _covers(limit, found) else []


def _covers(limit: Limit, one: Limit) -> bool:
    """Whether it is counted anew by a limit that a change brought."""
    is_alike = (one.period == TOTAL) == (limit.period == TOTAL)
    return one.scope.startswith(limit.scope) and is_alike and one.period >= limit.period
