"""Percentile bootstrap intervals: over users, and for differences over targets too."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from proactrec.measurement.ratios import ratio
from proactrec.measurement.sums import Sums
from proactrec.rng import generator
from proactrec.types import FloatArray

N_DRAWS = 1000
ENDS = (0.025, 0.975)


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As written in metrics files."""
        return dict(self._asdict())

    @classmethod
    def drawn(cls, mean: float, draws: FloatArray) -> "Estimate":
        """The mean with the percentiles of its draws, (n_draws,).

        Draws in which the figure is not defined are left out; NaN where it is in none.
        """
        known = draws[np.isfinite(draws)]
        low, high = np.quantile(known, ENDS) if len(known) else (np.nan, np.nan)
        return cls(float(mean), float(low), float(high))


def bootstrap_weights(
    n: int, *, seed: int = 0, n_draws: int = N_DRAWS, purpose: str = "bootstrap"
) -> FloatArray:
    """How often every user, or target, is drawn in every bootstrap sample: (n_draws, n).

    Parameters
    ----------
    purpose : str
        Samples of another purpose are other ones: see :func:`proactrec.rng.generator`.
    """
    rng = generator(seed, purpose)
    weights = np.empty((n_draws, n), dtype=np.float32)
    for draw in weights:
        draw[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return weights.astype(np.float64)


def ratio_estimates(users: Sums, weights: FloatArray, *, empty: float = 0.0) -> list[Estimate]:
    """Ratios of sums over users, one per figure.

    Parameters
    ----------
    users : Sums
        One row a user.
    weights : float array, shape (n_draws, n_users)
        From :func:`bootstrap_weights`.
    empty : float
        The figure of a sample whose denominator is 0; NaN leaves the sample out.
    """
    top, bottom = users.numerator, users.denominator
    mean = ratio(top.sum(0), bottom.sum(0), empty=empty)
    return _estimates(mean, ratio(weights @ top, weights @ bottom, empty=empty))


def estimate_of(
    figure: Callable[[FloatArray], FloatArray], sums: FloatArray, weights: FloatArray
) -> Estimate:
    """Any one figure of sums over users.

    Parameters
    ----------
    figure
        From sums (..., n_columns) to the figure (...).
    sums : float array, shape (n_users, n_columns)
    weights : float array, shape (n_draws, n_users)
    """
    return Estimate.drawn(float(figure(sums.sum(0))), figure(weights @ sums))


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
        Numerator and denominator, from :meth:`Sums.crossed`; a sample whose denominator is 0
        gives 0.
    user_weights, target_weights : float arrays, shapes (n_draws, n_users), (n_draws, n_targets)
        From :func:`bootstrap_weights`, with seeds of their own.
    """

    def drawn(values: FloatArray) -> FloatArray:
        by_target = np.tensordot(user_weights, values, 1)  # (n_draws, n_targets, n_figures)
        total: FloatArray = np.einsum("dt,dtf->df", target_weights, by_target)
        return total

    mean = [ratio(top.sum((0, 1)), bottom.sum((0, 1))) for top, bottom in (first, second)]
    samples = [ratio(drawn(top), drawn(bottom)) for top, bottom in (first, second)]
    return _estimates(mean[0] - mean[1], samples[0] - samples[1])


def _estimates(mean: FloatArray, drawn: FloatArray) -> list[Estimate]:
    """Means (n_figures,) with the intervals of draws (n_draws, n_figures)."""
    return [Estimate.drawn(*row) for row in zip(mean, drawn.T, strict=True)]
