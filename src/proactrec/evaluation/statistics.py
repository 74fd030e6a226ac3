"""Means with bootstrap intervals over users, and differences with those over targets too."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from proactrec.rng import generator
from proactrec.types import FloatArray

N_DRAWS = 1000


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As written in metrics files."""
        return dict(self._asdict())


def bootstrap_weights(n: int, *, seed: int = 0, n_draws: int = N_DRAWS) -> FloatArray:
    """How often every user, or target, is drawn in every bootstrap sample: (n_draws, n)."""
    rng = generator(seed, "bootstrap")
    weights = np.empty((n_draws, n), dtype=np.float32)
    for draw in weights:
        draw[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return weights.astype(np.float64)


def ratio_estimates(
    numerator: FloatArray, denominator: FloatArray, weights: FloatArray
) -> list[Estimate]:
    """Ratios of sums over users, one per column, with percentile bootstrap intervals.

    Parameters
    ----------
    numerator, denominator : float arrays, shape (n_users, n_figures)
        Each user's share of the two sums. A sample whose denominator is 0 gives 0.
    weights : float array, shape (n_draws, n_users)
        From :func:`bootstrap_weights`.
    """
    mean = _ratio(numerator.sum(0), denominator.sum(0))
    return _estimates(mean, _ratio(weights @ numerator, weights @ denominator))


def linearised(numerator: FloatArray, denominator: FloatArray) -> tuple[FloatArray, FloatArray]:
    r"""Ratios of sums over users, (n_figures,), and what every user adds to them.

    The score of user u is :math:`(a_u - R s_u) / \bar s` (the delta method): scores have mean 0,
    and their variance over the number of users is the ratio's.

    Parameters
    ----------
    numerator, denominator : float arrays, shape (n_users, n_figures)
        As :func:`ratio_estimates` takes them.
    """
    ratio = _ratio(numerator.sum(0), denominator.sum(0))
    mean = denominator.mean(0)
    scores = numerator - ratio * denominator
    return ratio, np.divide(scores, mean, out=np.zeros_like(scores), where=mean > 0)


def crossed_estimates(
    first: tuple[FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray],
    user_weights: FloatArray,
    target_weights: FloatArray,
) -> list[Estimate]:
    """Differences of two ratios of sums, first less second, for the same users and targets.

    Users and targets are both drawn anew: a pair counts as often as its user times as often as its
    target (Owen 2007, *The pigeonhole bootstrap*). So the interval covers other users and other
    targets alike, and rather too much than too little.

    Parameters
    ----------
    first, second : pairs of float arrays, shape (n_users, n_targets, n_figures)
        Numerator and denominator; a sample whose denominator is 0 gives 0.
    user_weights, target_weights : float arrays, shapes (n_draws, n_users), (n_draws, n_targets)
        From :func:`bootstrap_weights`, with seeds of their own.
    """

    def drawn(values: FloatArray) -> FloatArray:
        by_target = np.tensordot(user_weights, values, 1)  # (n_draws, n_targets, n_figures)
        total: FloatArray = np.einsum("dt,dtf->df", target_weights, by_target)
        return total

    mean = [_ratio(top.sum((0, 1)), bottom.sum((0, 1))) for top, bottom in (first, second)]
    samples = [_ratio(drawn(top), drawn(bottom)) for top, bottom in (first, second)]
    return _estimates(mean[0] - mean[1], samples[0] - samples[1])


def student_quantile(level: float, freedom: FloatArray) -> FloatArray:
    """Quantiles of Student's t, to 0.002 from 5 degrees of freedom on for levels up to 0.975.

    Abramowitz and Stegun, 26.7.5: an expansion about the normal quantile.
    """
    z = NormalDist().inv_cdf(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    found: FloatArray = z + sum(
        (term / freedom**power for power, term in enumerate(terms, start=1)), np.zeros_like(freedom)
    )
    return found


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _estimates(mean: FloatArray, drawn: FloatArray) -> list[Estimate]:
    """Means (n_figures,) with percentile intervals of draws (n_draws, n_figures)."""
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [Estimate(*map(float, row)) for row in zip(mean, low, high, strict=True)]
