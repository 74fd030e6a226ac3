"""What spans users: how often items and campaigns may still guide, settled where it is committed.

A limit is a row that counts what is used; what may be is the campaign's to say. Rows are locked in
the order of their keys, after those of users, so that no two transactions wait for each other;
whoever comes too late is told so in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proactrec.store.campaign import Campaign
from proactrec.store.database import Hot, replacing
from proactrec.store.people import SECOND, day_of, moment_in
from proactrec.store.tables import BUDGETS

TOTAL = "total"
ALL, ITEM = "all", "item:"
ITEM_CAP = "item_cap"
NEVER = 2**62


class Limit(NamedTuple):
    """Guided offers that are counted together."""

    campaign_id: str
    scope: str  # all, or item:ID
    period: str  # total, or a day


class Allowed(NamedTuple):
    """How many offers a limit allows by now, and why nobody is guided beyond."""

    n: int
    because: str


Limits = Mapping[Limit, Allowed]


def limits_of(campaign_id: str, campaign: Campaign, item_id: str, at: int) -> dict[Limit, Allowed]:
    """What an offer of an item counts against."""
    budget, rails = campaign.budget, campaign.rails
    day, item = str(day_of(at, budget.zone)), f"{ITEM}{item_id}"
    found = {
        (ALL, TOTAL): (budget.total, "budget_spent"),
        (ALL, day): (budget.per_day, "budget_spent"),
        (item, TOTAL): (rails.item_cap_total, ITEM_CAP),
        (item, day): (rails.item_cap_per_day, ITEM_CAP),
    }
    if budget.pacing == "even" and budget.per_day is not None:
        paced = paced_to(budget.per_day, at, campaign)
        found[ALL, day] = (paced, "pacing" if paced < budget.per_day else "budget_spent")
    return {
        Limit(campaign_id, *key): Allowed(n, because)
        for key, (n, because) in found.items()
        if n is not None
    }


def paced_to(per_day: int, at: int, campaign: Campaign) -> int:
    """How much of a day's budget may be used by a time of it, evenly: rounded up."""
    begin = midnight(at, campaign.budget.zone)
    end = begin + timedelta(days=1)
    length = end.timestamp() - begin.timestamp()  # of 23 to 25 hours
    return min(per_day, 1 + int(per_day * (at / SECOND - begin.timestamp()) / length))


def midnight(at: int, zone: ZoneInfo) -> datetime:
    """When the calendar day of a time began."""
    return moment_in(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


class Taken(NamedTuple):
    """What became of some offers."""

    refused: list[str | None]  # why each may not be guided; None: it may
    used: dict[Limit, int]  # of all limits asked for, after it


def take(hot: Hot, tenant: str, offers: Sequence[Limits], *, until: str | None = None) -> Taken:
    """Count offers, in their order, against all their limits or none.

    Rows stay locked until the transaction ends.

    Parameters
    ----------
    until : str, optional
        Once an offer is refused for this reason, so are all after it: they may be made otherwise.
    """
    used = locked(hot, tenant, {limit for limits in offers for limit in limits})
    taken = settled(offers, used, until=until)
    put(hot, tenant, {limit: n for limit, n in taken.used.items() if n > used[limit]})
    return taken


def settled(
    offers: Sequence[Limits], used: Mapping[Limit, int], *, until: str | None = None
) -> Taken:
    """What becomes of offers where so much is used, see :func:`take`."""
    now, refused = dict(used), list[str | None]()
    for limits in offers:
        over = (a.because for limit, a in limits.items() if now.get(limit, 0) >= a.n)
        because = next(over, None)
        if until is not None and refused and refused[-1] == until:
            because = until
        refused.append(because)
        if because is None:
            now.update({limit: now.get(limit, 0) + 1 for limit in limits})
    return Taken(refused, now)


def give_back(hot: Hot, tenant: str, offers: Iterable[Iterable[Limit]]) -> None:
    """Take offers that were never shown off their limits."""
    counted = [limit for limits in offers for limit in limits]
    used = locked(hot, tenant, set(counted))
    for limit in counted:
        used[limit] -= 1
    put(hot, tenant, used)


def used_of(hot: Hot, tenant: str, campaign_id: str) -> dict[Limit, int]:
    """All that a campaign used."""
    sql = (
        "SELECT campaign_id, scope, period, used FROM budgets WHERE tenant = ? AND campaign_id = ?"
    )
    return {Limit(*key): n for *key, n in hot.rows(sql, (tenant, campaign_id))}


def nearly_used(hot: Hot, tenant: str, campaign_id: str, campaign: Campaign) -> dict[Limit, int]:
    """What a campaign used in all and by day, and of those items that may be used up."""
    rails = campaign.rails
    caps = [n for n in (rails.item_cap_total, rails.item_cap_per_day) if n is not None]
    if not caps and campaign.budget.total is None and campaign.budget.per_day is None:
        return {}
    sql = (
        "SELECT scope, period, used FROM budgets WHERE tenant = ? AND campaign_id = ? "
        "AND (scope = ? OR used >= ?)"
    )
    least = min(caps, default=NEVER)
    rows = hot.rows(sql, (tenant, campaign_id, ALL, least))
    return {Limit(campaign_id, scope, period): n for scope, period, n in rows}


def locked(hot: Hot, tenant: str, limits: Iterable[Limit]) -> dict[Limit, int]:
    """What is used of limits, whose rows nobody else may change until the transaction ends."""
    keys = [(tenant, *limit) for limit in sorted(set(limits))]
    hot.insert(BUDGETS, [(*key, 0) for key in keys], "ON CONFLICT DO NOTHING")
    return {Limit(*key): n for _, *key, n in hot.rows_at(BUDGETS, keys, locked=True)}


def put(hot: Hot, tenant: str, used: Mapping[Limit, int]) -> None:
    """Set what is used of limits whose rows are locked."""
    rows = [(tenant, *key, n) for key, n in sorted(used.items())]
    hot.insert(BUDGETS, rows, replacing(BUDGETS))
