"""What the users of a campaign did first: one row of counts for all who did the same.

A user is looked at once so many of their decisions are settled, by these alone: so everybody is one
observation, whoever goes on asking.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from proactrec.measurement.sequences import Moments
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.database import Hot

SQL = """
WITH told AS (
  SELECT d.user_id, d.number,
    MAX(CASE WHEN e.kind IN ('accept', 'purchase') THEN 1 ELSE 0 END) AS taken,
    MAX(CASE WHEN e.kind IN ('skip', 'complaint', 'lapsed') THEN 1 ELSE 0 END) AS rejected,
    MAX(CASE WHEN e.kind = 'expired' THEN 1 ELSE 0 END) AS expired,
    MAX(CASE WHEN e.kind = 'impression' THEN 1 ELSE 0 END) AS shown,
    MAX(CASE WHEN e.kind = 'complaint' THEN 1 ELSE 0 END) AS complained
  FROM decisions d JOIN events e
    ON e.tenant = d.tenant AND e.user_id = d.user_id AND e.decision = d.number
  WHERE d.tenant = ? AND d.campaign_id = ?
  GROUP BY d.user_id, d.number
), settled AS (
  SELECT user_id, number, taken, complained,
    CASE WHEN taken + rejected > 0 OR expired * shown = 1 THEN 1 ELSE 0 END AS answered
  FROM told WHERE taken + rejected + expired > 0
), placed AS (
  SELECT user_id, taken, complained, answered,
    ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY number) AS place,
    ROW_NUMBER() OVER (PARTITION BY user_id, answered ORDER BY number) AS own_place
  FROM settled
), by_user AS (
  SELECT user_id,
    SUM(CASE WHEN answered = 1 AND own_place <= ? THEN 1 ELSE 0 END) AS answered,
    SUM(CASE WHEN answered = 1 AND own_place <= ? THEN taken ELSE 0 END) AS taken,
    SUM(CASE WHEN place <= ? THEN 1 ELSE 0 END) AS settled,
    SUM(CASE WHEN place <= ? THEN 1 - answered ELSE 0 END) AS unseen,
    MAX(complained) AS complained
  FROM placed GROUP BY user_id
), everybody AS (
  SELECT a.arm AS arm, COALESCE(b.answered, 0) AS answered, COALESCE(b.taken, 0) AS taken,
    COALESCE(b.settled, 0) AS settled, COALESCE(b.unseen, 0) AS unseen,
    CASE WHEN COALESCE(b.complained, 0) = 1 OR EXISTS (
      SELECT 1 FROM consents c WHERE c.tenant = a.tenant AND c.user_id = a.user_id
        AND c.guided = 0 AND c.at >= a.at) THEN 1 ELSE 0 END AS objects
  FROM assignments a LEFT JOIN by_user b ON b.user_id = a.user_id
  WHERE a.tenant = ? AND a.campaign_id = ?
)
SELECT arm, answered, taken, settled, unseen, objects, COUNT(*) FROM everybody
GROUP BY arm, answered, taken, settled, unseen, objects
"""


class Alike(NamedTuple):
    """Users of an arm whose first decisions came to the same."""

    arm: str
    answered: int  # of the first ones that were shown, at most as many as are looked at
    taken: int  # of these
    settled: int  # of the first ones, shown or not, likewise
    unseen: int  # of these: never shown
    objects: int  # 1: complained of a decision, or opted out since the first
    n_users: int


class Firsts(NamedTuple):
    """All users of a campaign, by their first decisions."""

    rows: list[Alike]
    k: int  # decisions of a user that are looked at

    @property
    def n_known(self) -> int:
        """Users whose first answers are known, in whatever arm."""
        return sum(row.n_users for row in self.rows if row.answered == self.k)

    def accepted(self, *, held_out: bool) -> Moments:
        """Share accepted of the first answers, of users of whom all of these are known."""
        rows = (row for row in self._of(held_out) if row.answered == self.k)
        return _moments(rows, lambda row: row.taken / self.k)

    def objecting(self, *, held_out: bool) -> Moments:
        """Who opted out or complained, of users who did or whose first answers are known."""
        rows = (row for row in self._of(held_out) if row.objects or row.answered == self.k)
        return _moments(rows, lambda row: float(row.objects))

    def unseen(self) -> Moments:
        """Share that nobody was shown of guided users' first decisions."""
        rows = (row for row in self._of(held_out=False) if row.settled == self.k)
        return _moments(rows, lambda row: row.unseen / self.k)

    def _of(self, held_out: bool) -> Iterable[Alike]:
        return (row for row in self.rows if (row.arm == HOLD_OUT) == held_out)


def firsts(hot: Hot, tenant: str, campaign_id: str, k: int) -> Firsts:
    """What all users of a campaign did first, of k decisions each."""
    whose = (tenant, campaign_id)
    return Firsts([Alike(*row) for row in hot.rows(SQL, (*whose, k, k, k, k, *whose))], k)


def _moments(rows: Iterable[Alike], value: Callable[[Alike], float]) -> Moments:
    n, total, squares = 0, 0.0, 0.0
    for row in sorted(rows):
        n += row.n_users
        total += row.n_users * value(row)
        squares += row.n_users * value(row) ** 2
    return Moments.of_shares(n, total, squares)
