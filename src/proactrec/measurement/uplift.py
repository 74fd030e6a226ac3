r"""What guidance added: guided users against a random group that was held out of it.

A user is the unit: pairs of one user share history and luck, so counting pairs as if they were
independent makes intervals too narrow. A figure of a group is a ratio of sums over its users with
the scores of :func:`linearised`; the difference of two groups has the variance
:math:`s_1^2 / n_1 + s_0^2 / n_0` (unequal groups, unequal spreads), and its interval goes by
Student's t with Welch's degrees of freedom.

Covariates from before the campaign may take some of the spread away. In each group the scores are
regressed on them, and its figure is moved to the covariates' mean over both groups:

.. math::
    \hat R_g = R_g + b_g^\top (\bar x - \bar x_g), \qquad
    \widehat{\operatorname{var}}(\hat R_1 - \hat R_0) = \frac{s_{e1}^2}{n_1} + \frac{s_{e0}^2}{n_0}
    + \frac{(b_1 - b_0)^\top \Sigma_x (b_1 - b_0)}{n_1 + n_0}

with the residuals' variances (Lin 2013, CUPED with a slope per group). Assignment was random, so
the groups' means differ by chance only, and what is added is 0 on average but for terms of order
1/n, however wrong the regression is.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.ratios import linearised
from proactrec.measurement.student import student_quantile
from proactrec.measurement.sums import Sums
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray

MIN_USERS = 10
"""Fewest users of a group, beside one for each covariate."""
SIGMAS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
"""Standard errors of a difference that shows with a chance of 80 %."""


class Uplift(NamedTuple):
    """Guided less held out, for one metric at one round."""

    metric: str
    round: int
    guided: float
    held_out: float
    difference: Estimate
    deviations: tuple[float, float]  # of one user's share, guided and held out
    n_users: tuple[int, int]

    @property
    def detectable(self) -> float:
        """Smallest difference that groups like these show with a chance of 80 %."""
        return detectable_effect(self.deviations, self.n_users)


class _Group(NamedTuple):
    """Figures of a group, one column each."""

    mean: FloatArray  # (n_figures,), adjusted
    slope: FloatArray  # (n_covariates, n_figures)
    variance: FloatArray  # (n_figures,), of one user's share, less what covariates explain
    n_users: int
    freedom: int


Figures = Sequence[tuple[str, int]]
"""Metric and round of every figure."""


def uplift(
    guided: Sums, held_out: Sums, figures: Figures, *, covariates: FloatArray | None = None
) -> list[Uplift]:
    """The average effect of guidance on users like these, with 95 % intervals.

    For an audience that is all there is, not a sample of users like these, the intervals are too
    wide rather than too narrow.

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
    everybody = np.union1d(*users)
    n_users = 1 + int(everybody.max(initial=0))
    if covariates is None:
        covariates = np.zeros((n_users, 0))
    if covariates.ndim != 2 or len(covariates) < n_users or not np.isfinite(covariates).all():
        raise InvalidInputError(
            f"covariates must be finite, (n_all_users, n_covariates) with {n_users} users or more, "
            f"got shape {covariates.shape}"
        )
    x = covariates - covariates[everybody].mean(0)
    first, second = (_group(name, group, x) for name, group in sums.items())
    return _differences(first, second, x[everybody], figures)


def _group(name: str, sums: Sums, covariates: FloatArray) -> _Group:
    """A group's figures, moved to covariates of 0."""
    users, n_covariates = sums.user_idx, covariates.shape[1]
    if len(users) < MIN_USERS + n_covariates:
        raise InvalidInputError(
            f"{name} must have at least {MIN_USERS + n_covariates} users, got {len(users)}"
        )
    mean, scores = linearised(sums)
    here = covariates[users].mean(0)
    x = covariates[users] - here
    slope, _, rank, _ = np.linalg.lstsq(x, scores, rcond=None)
    freedom = len(users) - 1 - int(rank)
    variance = ((scores - x @ slope) ** 2).sum(0) / freedom
    return _Group(mean - here @ slope, slope, variance, len(users), freedom)


def _differences(
    first: _Group, second: _Group, covariates: FloatArray, figures: Figures
) -> list[Uplift]:
    groups = first, second
    parts = np.stack([group.variance / group.n_users for group in groups])  # (2, n_figures)
    steeper = covariates @ (first.slope - second.slope)  # (n_users, n_figures), mean 0
    variance = parts.sum(0) + (steeper**2).mean(0) / len(covariates)
    freedom = np.array([[group.freedom] for group in groups])
    welch = variance**2 / np.maximum((parts**2 / freedom).sum(0), 1e-300)
    margin = student_quantile(0.975, np.maximum(welch, freedom.min())) * np.sqrt(variance)
    difference = first.mean - second.mean
    deviations = np.sqrt(np.stack([group.variance for group in groups]))
    return [
        Uplift(
            metric,
            number,
            float(first.mean[at]),
            float(second.mean[at]),
            Estimate(*(float(difference[at] + m) for m in (0, -margin[at], margin[at]))),
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
    if effect == 0:
        raise InvalidInputError("effect must differ from 0, got 0")
    held = np.arange(MIN_USERS, n_users - MIN_USERS + 1)
    variance = deviations[0] ** 2 / (n_users - held) + deviations[1] ** 2 / held
    enough = held[SIGMAS * np.sqrt(variance) <= abs(effect)]
    return int(enough[0]) if len(enough) else None
