"""Parts of budgets that an instance holds, so that many of them don't wait for one row.

What is leased counts as used in the budget's row, and comes back if nobody used it. Whose lease was
taken back finds no row any more: clocks only say when that is tried, and can't make it wrong.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from proactrec.store import budgets
from proactrec.store.budgets import ALL, Limit, Limits, Taken
from proactrec.store.database import Database, Hot, replacing
from proactrec.store.people import SECOND
from proactrec.store.tables import BUDGETS, LEASES

AT_ONCE = 500
"""Leases that are taken back in one transaction."""
KEY = ", ".join(column.name for column in LEASES.primary_key.columns)


class _Held(NamedTuple):
    granted: int
    used: int
    expires_at: int

    @property
    def unused(self) -> int:
        return self.granted - self.used


@dataclass(frozen=True)
class Leases:
    """What one instance holds.

    Parameters
    ----------
    holder : str
        Its name, that no other instance has or had.
    block : int
        Offers that are leased at once; fewer when less than four times as many are left.
    seconds : float
        A lease that was not used for so long may be taken back.
    """

    holder: str
    block: int = 50
    seconds: float = 30

    def take(
        self, hot: Hot, tenant: str, offers: Sequence[Limits], *, until: str | None = None
    ) -> Taken:
        """As :func:`proactrec.store.budgets.take`, what all items count against from what is held.

        What others hold counts as used: a budget may refuse while a little of it is left to them.
        Caps of an item are small, and seldom two want the same: their rows are locked as ever.
        """
        needed = Counter(limit for limits in offers for limit in limits)
        of_all = Counter({limit: n for limit, n in needed.items() if limit.scope == ALL})
        held = self._locked(hot, tenant, of_all)
        now = hot.clock()
        ends = now + int(self.seconds * SECOND)
        left = {limit: one.unused if one.expires_at > now else 0 for limit, one in held.items()}
        used = _used(hot, tenant, of_all)
        most = _most(offers)
        # Whoever sees that nothing is left need not wait for others to see the same.
        wanted = [
            limit
            for limit, n in of_all.items()
            if left[limit] < n and most[limit] > used[limit] - held[limit].unused
        ]
        counted = budgets.locked(hot, tenant, [*wanted, *(needed.keys() - of_all.keys())])
        for limit in wanted:
            free = max(0, most[limit] - counted[limit] + held[limit].unused)
            part = min(free, max(of_all[limit], min(self.block, -(-free // 4))))
            counted[limit] += part - held[limit].unused
            held[limit], left[limit] = _Held(part, 0, ends), part
        used |= counted
        refused = list[str | None]()
        for limits in offers:
            is_last = until is not None and until in refused[-1:]
            refused.append(until if is_last else _granted(limits, left, used))
        budgets.put(hot, tenant, {limit: used[limit] for limit in counted})
        rows = [
            (tenant, *limit, self.holder, one.granted, one.granted - left[limit], ends)
            for limit, one in sorted(held.items())
            if one.expires_at > now
        ]
        hot.insert(LEASES, rows, replacing(LEASES))
        return Taken(refused, used)

    def release(self, hot: Hot) -> None:
        """Give back all that is held and not used."""
        sql = f"DELETE FROM leases WHERE holder = ? RETURNING {KEY}, granted - used"
        _give_back(hot, hot.rows(sql, (self.holder,)))

    def _locked(self, hot: Hot, tenant: str, limits: Iterable[Limit]) -> dict[Limit, _Held]:
        keys = [(tenant, *limit, self.holder) for limit in sorted(set(limits))]
        rows: list[tuple[Any, ...]] = []
        while len(rows) < len(keys):  # one may be taken back before it is locked
            hot.insert(LEASES, [(*key, 0, 0, 0) for key in keys], "ON CONFLICT DO NOTHING")
            rows = hot.rows_at(LEASES, keys, locked=True)
        return {Limit(*row[1:4]): _Held(*row[5:]) for row in rows}


def unused(hot: Hot, tenant: str) -> Counter[Limit]:
    """What is leased of limits, by anybody, and not used yet."""
    sql = "SELECT campaign_id, scope, period, granted - used FROM leases WHERE tenant = ?"
    found: Counter[Limit] = Counter()
    for *key, n in hot.rows(sql, (tenant,)):
        found[Limit(*key)] += n
    return found


def offered(hot: Hot, tenant: str, limits: Iterable[Limit]) -> dict[Limit, int]:
    """What is used of limits, without what is only leased."""
    held = unused(hot, tenant)
    return {limit: n - held[limit] for limit, n in _used(hot, tenant, limits).items()}


def take_back(database: Database) -> int:
    """Give what expired leases did not use back to their budgets; how many leases there were."""
    skipping = "" if database.is_sqlite else " FOR UPDATE SKIP LOCKED"
    expired = f"SELECT {KEY} FROM leases WHERE expires_at <= ? ORDER BY {KEY} LIMIT {AT_ONCE}"
    sql = f"DELETE FROM leases WHERE ({KEY}) IN ({expired}{skipping})"
    n_leases = 0
    while True:
        with database.writing() as connection:
            hot = Hot(connection)
            rows = hot.rows(f"{sql} RETURNING {KEY}, granted - used", (hot.clock(),))
            _give_back(hot, rows)
        if not rows:
            return n_leases
        n_leases += len(rows)


def _most(offers: Iterable[Limits]) -> dict[Limit, int]:
    most: dict[Limit, int] = {}
    for limits in offers:
        for limit, allowed in limits.items():
            most[limit] = max(allowed.n, most.get(limit, 0))
    return most


def _granted(limits: Limits, left: dict[Limit, int], used: dict[Limit, int]) -> str | None:
    """Count an offer if it may be guided; else why not."""
    for limit, allowed in limits.items():
        # Even if all others use what they hold; less may be allowed now than when it was leased.
        if used[limit] - left.get(limit, 0) >= allowed.n or left.get(limit) == 0:
            return allowed.because
    for limit in limits:
        if limit in left:
            left[limit] -= 1
        else:
            used[limit] += 1
    return None


def _used(hot: Hot, tenant: str, limits: Iterable[Limit]) -> dict[Limit, int]:
    """What is used or leased of limits, by anybody."""
    found = dict.fromkeys(limits, 0)
    rows = hot.rows_at(BUDGETS, [(tenant, *limit) for limit in found])
    return found | {Limit(*key): n for _, *key, n in rows}


def _give_back(hot: Hot, rows: Iterable[tuple[Any, ...]]) -> None:
    unused: dict[str, Counter[Limit]] = {}
    for tenant, *key, _, n in rows:
        unused.setdefault(tenant, Counter())[Limit(*key)] += n
    for tenant, parts in sorted(unused.items()):
        used = budgets.locked(hot, tenant, parts)
        budgets.put(hot, tenant, {limit: n - parts[limit] for limit, n in used.items()})
