"""Counts of hours made into the course of a campaign, by the hour or by the day."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from proactrec.measurement.effects import LEAST
from proactrec.serving.courses import By, Course, CourseBin, Share
from proactrec.serving.schemas import micros, moment
from proactrec.store.campaign import Campaign
from proactrec.store.course import Answers, Hour
from proactrec.store.outcomes import HOUR
from proactrec.store.people import day_of

Z = 1.959964
"""Of a normal interval that holds the truth in 95 of 100 cases."""


def coursed(
    said: Campaign,
    hours: Sequence[Hour],
    answers: Iterable[Answers],
    *,
    by: By,
    last: int,
    counted_at: int,
) -> Course:
    """The last so many hours or days up to the newest one in which there was anything.

    Days are those of the campaign's time zone.
    """
    bins = _days(hours, said.budget.zone) if by == "day" else list(hours)
    if bins:
        since = _since(bins[-1].at, by, last, said.budget.zone)
        bins = [one for one in bins if one.at >= since]
    shares = {arm: Share(n=0, k=0, value=None, low=None, high=None) for arm in said.shares}
    return Course(
        by=by,
        since=moment(bins[0].at) if bins else None,
        bins=tuple(CourseBin(**{**one._asdict(), "at": moment(one.at)}) for one in bins),
        arms=shares | {one.arm: share_of(one) for one in answers},
        kept_at=moment(counted_at),
    )


def share_of(one: Answers) -> Share:
    r"""Accepted of all answers, :math:`R = \sum k_u / \sum n_u` over users u, with its interval.

    Its variance is :math:`\frac{m}{m - 1} \sum (k_u - R n_u)^2 / (\sum n_u)^2` of m users (the
    delta method): answers of one user may depend on each other as they like.
    """
    value, n, k, m = one.k / one.n, one.n, one.k, one.n_users
    squares = one.kk * n**2 - 2 * one.nk * n * k + one.nn * k**2  # the sum times n², exactly
    if m < LEAST["final"] or not squares:
        return Share(n=n, k=k, value=value, low=None, high=None)
    margin = Z * math.sqrt(m / (m - 1) * squares) / n**2
    low, high = max(0.0, value - margin), min(1.0, value + margin)
    return Share(n=n, k=k, value=value, low=low, high=high)


def _days(hours: Iterable[Hour], zone: ZoneInfo) -> list[Hour]:
    """Hours summed up by day and arm."""
    found: dict[tuple[int, str], list[int]] = {}
    for one in hours:
        day = _midnight(one.at, zone)
        counts = found.setdefault((day, one.arm), [0] * (len(Hour._fields) - 2))
        counts[:] = [n + more for n, more in zip(counts, one[2:], strict=True)]
    return [Hour(at, arm, *counts) for (at, arm), counts in sorted(found.items())]


def _since(newest: int, by: By, last: int, zone: ZoneInfo) -> int:
    """When the first of the last so many begins."""
    if by == "hour":
        return newest - (last - 1) * HOUR
    return _midnight(newest, zone, days_before=last - 1)


def _midnight(at: int, zone: ZoneInfo, days_before: int = 0) -> int:
    """When the day of a time began, or one before it."""
    day = day_of(at, zone) - timedelta(days=days_before)
    return micros(datetime.combine(day, time.min, zone))
