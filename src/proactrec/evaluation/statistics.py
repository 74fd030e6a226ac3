"""Means with bootstrap intervals over users."""

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

    def ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
        return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)

    mean = ratio(numerator.sum(0), denominator.sum(0))
    drawn = ratio(weights @ numerator, weights @ denominator)  # (n_draws, n_figures)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [Estimate(*map(float, row)) for row in zip(mean, low, high, strict=True)]
