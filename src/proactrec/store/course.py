"""How a campaign went by the hour, and how alike its users' answers are: counted in SQL."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.store.outcomes import HOUR, IS_TAKEN
from proactrec.store.people import SECOND, moment_in

HOURS = f"""
WITH told AS (
  SELECT e.user_id, e.decision,
    MAX(CASE WHEN {IS_TAKEN} THEN 1 ELSE 0 END) AS taken,
    MAX(CASE WHEN kind IN ('skip', 'complaint', 'lapsed') THEN 1 ELSE 0 END) AS rejected,
    MAX(CASE WHEN kind = 'expired' THEN 1 ELSE 0 END) *
      MAX(CASE WHEN kind = 'impression' THEN 1 ELSE 0 END) AS passed
  FROM assignments a JOIN events e ON e.tenant = a.tenant AND e.user_id = a.user_id
  WHERE a.tenant = ? AND a.campaign_id = ? AND e.decision > 0
  GROUP BY e.user_id, e.decision
), parts AS (
  SELECT (d.at + ?) / {HOUR} AS hour, d.arm AS arm, 1 AS decisions, d.guided AS guided,
    CASE WHEN t.taken + t.rejected + t.passed > 0 THEN 1 ELSE 0 END AS answered,
    COALESCE(t.taken, 0) AS accepted,
    CASE WHEN d.item_id = d.target_id THEN COALESCE(t.taken, 0) ELSE 0 END AS arrived, 0 AS users
  FROM decisions d LEFT JOIN told t ON t.user_id = d.user_id AND t.decision = d.number
  WHERE d.tenant = ? AND d.campaign_id = ?
  UNION ALL
  SELECT (at + ?) / {HOUR}, arm, 0, 0, 0, 0, 0, 1 FROM assignments
  WHERE tenant = ? AND campaign_id = ?
)
SELECT hour, arm, SUM(decisions), SUM(guided), SUM(answered), SUM(accepted),
  SUM(guided * answered), SUM(guided * accepted), SUM(arrived), SUM(users)
FROM parts GROUP BY hour, arm ORDER BY hour, arm
"""
ANSWERS = """
SELECT arm, COUNT(*), SUM(n), SUM(k), SUM(n * n), SUM(n * k), SUM(k * k) FROM (
  SELECT arm, SUM(n_answered) AS n, SUM(n_accepted) AS k FROM journeys
  WHERE tenant = ? AND campaign_id = ? GROUP BY user_id, arm
) by_user WHERE n > 0 GROUP BY arm ORDER BY arm
"""


class Hour(NamedTuple):
    """What became of the decisions of an hour, in an arm."""

    at: int  # when it begins
    arm: str
    decisions: int
    guided: int
    answered: int  # by now
    accepted: int
    guided_answered: int
    guided_accepted: int
    targets_accepted: int
    users: int  # decided for the first time


class Answers(NamedTuple):
    """Users of an arm who answered, with sums over them of n answers, of which k accept."""

    arm: str
    n_users: int
    n: int
    k: int
    nn: int
    nk: int
    kk: int


def hours(hot: Hot, version: Version, now: int) -> list[Hour]:
    """All hours in which there was anything, in the order of time and arms.

    They begin when clocks of the campaign's time zone strike: some are half an hour off.
    """
    whose = version.tenant, version.campaign_id
    shift = _shift(version.said.budget.zone, now)
    found = hot.rows(HOURS, (*whose, shift, *whose, shift, *whose))
    return [Hour(int(hour) * HOUR - shift, arm, *map(int, rest)) for hour, arm, *rest in found]


def answers(hot: Hot, version: Version) -> list[Answers]:
    """Of every arm in which somebody answered."""
    found = hot.rows(ANSWERS, (version.tenant, version.campaign_id))
    return [Answers(arm, *map(int, sums)) for arm, *sums in found]


def _shift(zone: ZoneInfo, now: int) -> int:
    """By how much clocks of a zone are ahead of full hours of UTC."""
    ahead = moment_in(now, zone).utcoffset()
    assert ahead is not None
    return int(ahead.total_seconds()) * SECOND % HOUR
