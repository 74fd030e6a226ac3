"""How a campaign went by the hour, and how alike its users' answers are: counted in SQL."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.store.outcomes import HOUR, IS_TAKEN
from proactrec.store.people import SECOND, moment_in

HOURS = f"""
WITH parts AS (
  SELECT user_id, number, (at + ?) / {HOUR} AS hour, arm, guided,
    CASE WHEN item_id = target_id THEN 1 ELSE 0 END AS is_target,
    0 AS taken, 0 AS rejected, 0 AS expired, 0 AS shown
  FROM decisions WHERE tenant = ? AND campaign_id = ?
  UNION ALL
  SELECT e.user_id, e.decision, NULL, NULL, NULL, NULL,
    CASE WHEN {IS_TAKEN} THEN 1 ELSE 0 END,
    CASE WHEN kind IN ('skip', 'complaint', 'lapsed') THEN 1 ELSE 0 END,
    CASE WHEN kind = 'expired' THEN 1 ELSE 0 END,
    CASE WHEN kind = 'impression' THEN 1 ELSE 0 END
  FROM assignments a JOIN events e ON e.tenant = a.tenant AND e.user_id = a.user_id
  WHERE a.tenant = ? AND a.campaign_id = ? AND e.decision > 0
), made AS (
  SELECT MAX(hour) AS hour, MAX(arm) AS arm, MAX(guided) AS guided, MAX(taken) AS accepted,
    MAX(is_target) * MAX(taken) AS arrived,
    CASE WHEN MAX(taken) + MAX(rejected) + MAX(expired) * MAX(shown) > 0 THEN 1 ELSE 0 END
      AS answered
  FROM parts GROUP BY user_id, number HAVING MAX(hour) IS NOT NULL
), lines AS (
  SELECT hour, arm, 1 AS decisions, guided, answered, accepted, arrived, 0 AS users FROM made
  UNION ALL
  SELECT (at + ?) / {HOUR}, arm, 0, 0, 0, 0, 0, 1 FROM assignments
  WHERE tenant = ? AND campaign_id = ?
)
SELECT hour, arm, SUM(decisions), SUM(guided), SUM(answered), SUM(accepted),
  SUM(guided * answered), SUM(guided * accepted), SUM(arrived), SUM(users)
FROM lines GROUP BY hour, arm ORDER BY hour, arm
"""
"""Parts are put together by grouping, not joined: no database can plan that badly."""
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
    found = hot.rows(HOURS, (shift, *whose, *whose, shift, *whose))
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
