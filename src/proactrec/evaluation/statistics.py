"""Means with bootstrap intervals over users."""

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


def bootstrap_weights(n_users: int, *, seed: int = 0, n_draws: int = N_DRAWS) -> FloatArray:
    """How often every user is drawn in every bootstrap sample: (n_draws, n_users)."""
    rng = generator(seed, "bootstrap")
    weights = np.empty((n_draws, n_users), dtype=np.float32)
    for draw in weights:
        draw[:] = np.bincount(rng.integers(0, n_users, n_users), minlength=n_users)
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


def paired_estimates(
    first: tuple[FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray],
    weights: FloatArray,
) -> list[Estimate]:
    """Differences of two ratios of sums, first less second, for the same users drawn together.

    Parameters
    ----------
    first, second : pairs of float arrays, shape (n_users, n_figures)
        Numerator and denominator, as :func:`ratio_estimates` takes them.
    """
    mean = [_ratio(top.sum(0), bottom.sum(0)) for top, bottom in (first, second)]
    drawn = [_ratio(weights @ top, weights @ bottom) for top, bottom in (first, second)]
    return _estimates(mean[0] - mean[1], drawn[0] - drawn[1])


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
