"""What guidance added: guided users against a random group that was held out of it.

A user is the unit: pairs of one user share history and luck, so counting pairs as if they were
independent makes intervals too narrow. A figure of a group is a ratio of sums over its users, less
what covariates from before the campaign explain (:mod:`proactrec.measurement.products`); the
interval of a difference goes by Student's t with Welch's degrees of freedom.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.products import (
    Differences,
    Group,
    Layout,
    covariates_of,
    differences,
    group_of,
    table_of,
)
from proactrec.measurement.ratios import linearised
from proactrec.measurement.student import student_quantile
from proactrec.measurement.sums import Sums
from proactrec.rng import generator
from proactrec.types import BoolArray, FloatArray, IntArray

MIN_USERS = 10
"""Fewest users of a group, beside one for each covariate."""
ROUNDING = 1e-9
"""By so little what users add to a figure may differ where they are all alike."""
SIGMAS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
"""Standard errors of a difference that shows with a chance of 80 %."""


class Uplift(NamedTuple):
    """Guided less held out, for one metric at one round."""

    metric: str
    round: int
    guided: float
    held_out: float
    difference: Estimate  # its ends are NaN where no user of either group differs from another
    deviations: tuple[float, float]  # of one user's share, guided and held out
    n_users: tuple[int, int]

    @property
    def has_interval(self) -> bool:
        """Whether anything can be said of chance: not where all users of both groups are alike."""
        return math.isfinite(self.difference.low)

    @property
    def detectable(self) -> float | None:
        """Smallest difference that groups like these show with a chance of 80 %."""
        return detectable_effect(self.deviations, self.n_users) if self.has_interval else None


Figures = Sequence[tuple[str, int]]
"""Metric and round of every figure."""


def uplift(
    guided: Sums, held_out: Sums, figures: Figures, *, covariates: FloatArray | None = None
) -> list[Uplift]:
    """The average effect of guidance on users like these, with 95 % intervals.

    For an audience that is all there is, not a sample of users like these, the intervals are too
    wide rather than too narrow. Where all users of each group have the same figure (nobody took a
    target, say) nothing tells how much chance does, and there is no interval: its ends are NaN.

    Parameters
    ----------
    guided, held_out : Sums
        Of different users, divided at random; any number of rows for each.
    covariates : float array, shape (n_all_users, n_covariates), optional
        Known before the campaign, by `user_idx`; what guidance may have changed would bias.

    Raises
    ------
    InvalidInputError
        If a user is in both groups, a group is too small, or covariates do not fit.
    """
    sums = {"guided": guided.by_user(), "held_out": held_out.by_user()}
    users = sums["guided"].user_idx, sums["held_out"].user_idx
    if shared := np.intersect1d(*users).tolist():
        raise InvalidInputError(
            f"guided and held_out must have no user in common, got {len(shared)}, "
            f"first {shared[:3]}"
        )
    n_all = 1 + int(np.concatenate(users).max(initial=0))
    if covariates is None:
        covariates = np.zeros((n_all, 0))
    if covariates.ndim != 2 or len(covariates) < n_all or not np.isfinite(covariates).all():
        raise InvalidInputError(
            f"covariates must be finite, (n_all_users, n_covariates) with {n_all} users or more, "
            f"got shape {covariates.shape}"
        )
    x = covariates - covariates[np.concatenate(users)].mean(0)
    tables = [_table(name, group, x) for name, group in sums.items()]
    layout = _layout(x.shape[1], len(figures))
    centre, covariance = covariates_of(tables[0] + tables[1], layout)
    first, second = (group_of(table, layout, centre) for table in tables)
    difference = differences(first, second, covariance)
    is_known = _differ(sums["guided"]) | _differ(sums["held_out"])
    unknown = difference.variance.copy()
    unknown[~is_known] = np.nan
    return _uplifts(first, second, difference._replace(variance=unknown), figures)


def _table(name: str, sums: Sums, covariates: FloatArray) -> FloatArray:
    least = MIN_USERS + covariates.shape[1]
    if len(sums.user_idx) < least:
        raise InvalidInputError(
            f"{name} must have at least {least} users, got {len(sums.user_idx)}"
        )
    return table_of(np.column_stack([covariates[sums.user_idx], sums.numerator, sums.denominator]))


def _differ(sums: Sums) -> BoolArray:
    """Whether users of a group have different figures, by figure."""
    _, scores = linearised(sums)
    return np.asarray((np.abs(scores) > ROUNDING).any(0))


def _layout(n_covariates: int, n_figures: int) -> Layout:
    at = 1 + n_covariates + np.arange(n_figures)
    return Layout(n_covariates, at, at + n_figures)


def _uplifts(
    first: Group, second: Group, difference: Differences, figures: Figures
) -> list[Uplift]:
    margin = student_quantile(0.975, difference.freedom) * np.sqrt(difference.variance)
    deviations = np.sqrt(np.stack([first.variance, second.variance]))
    return [
        Uplift(
            metric,
            number,
            float(first.mean[at]),
            float(second.mean[at]),
            Estimate(*(float(difference.value[at] + m) for m in (0, -margin[at], margin[at]))),
            (float(deviations[0, at]), float(deviations[1, at])),
            (first.n_users, second.n_users),
        )
        for at, (metric, number) in enumerate(figures)
    ]


def held_out_users(user_idx: IntArray, share: float, *, seed: int = 0) -> IntArray:
    """Users drawn at random to be left out of guidance, ascending; the same for one seed.

    Parameters
    ----------
    user_idx : int array
        The audience; repeated users count once.
    share : float in (0, 1)
    """
    if not 0 < share < 1:
        raise InvalidInputError(f"share must be inside (0, 1), got {share}")
    users = np.unique(user_idx)
    drawn = generator(seed, "hold-out").permutation(users)[: round(share * len(users))]
    return np.sort(drawn)


def detectable_effect(deviations: tuple[float, float], n_users: tuple[int, int]) -> float:
    """Smallest difference whose 95 % interval leaves out 0 with a chance of 80 %."""
    (guided, held_out), (n_guided, n_held_out) = deviations, n_users
    return SIGMAS * math.sqrt(guided**2 / n_guided + held_out**2 / n_held_out)


def users_to_hold_out(effect: float, deviations: tuple[float, float], n_users: int) -> int | None:
    """Fewest users of an audience to hold out so that an effect shows; None if no number will do.

    Parameters
    ----------
    effect : float
        Difference that is to be seen, of either sign, in the metric's unit.
    deviations : two floats
        Of one user's share, guided and held out: `deviations` of an :class:`Uplift`, or of a
        forecast; where only one is known, twice that.
    """
    if effect == 0 or not math.isfinite(effect):
        raise InvalidInputError(f"effect must be a finite number other than 0, got {effect:g}")
    if max(deviations) == 0:
        raise InvalidInputError(
            "deviations must be above 0 in one group, got 0 and 0: users who are all alike say "
            "nothing about how many are needed"
        )
    held = np.arange(MIN_USERS, n_users - MIN_USERS + 1)
    variance = deviations[0] ** 2 / (n_users - held) + deviations[1] ** 2 / held
    enough = held[SIGMAS * np.sqrt(variance) <= abs(effect)]
    return int(enough[0]) if len(enough) else None
