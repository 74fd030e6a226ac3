"""Figures of a click model on held-out items, and of two click models beside each other.

Every figure takes a weight per row, so that a bootstrap over users needs no other code: a user who
is drawn twice counts twice, one who is not drawn counts 0.
"""

from collections.abc import Callable

import numpy as np

from proactrec.measurement.bootstrap import Estimate, bootstrap_weights
from proactrec.types import BoolArray, FloatArray, IntArray

ACCEPTS = 0.5
"""Chance from which on a click model is taken to accept."""
N_BINS = 10
TINY = 1e-12

Interval = dict[str, float | None]
"""Mean and ends of the 95 % interval; None where a figure is not defined."""


class Bootstrap:
    """Figures with 95 % percentile bootstrap intervals over users.

    Parameters
    ----------
    user_idx : int array, shape (n,)
        Whose row it is: a user's rows are drawn together.

    Examples
    --------
    >>> bootstrap = Bootstrap(np.array([0, 0, 1, 1]))
    >>> bootstrap(lambda weight: mean(np.array([1.0, 0.0, 1.0, 0.0]), weight))
    {'mean': 0.5, 'low': 0.5, 'high': 0.5}
    """

    def __init__(self, user_idx: IntArray, *, seed: int = 0) -> None:
        users, self._row = np.unique(user_idx, return_inverse=True)
        self._weights = bootstrap_weights(len(users), seed=seed)

    def __call__(self, figure: Callable[[FloatArray], float]) -> Interval:
        """The figure of a weight per row; draws in which it is not defined are left out."""
        drawn = np.array([figure(weight[self._row]) for weight in self._weights])
        estimate = Estimate.drawn(figure(np.ones(len(self._row))), drawn)
        return {name: known_or_none(value) for name, value in estimate.as_dict().items()}


def known_or_none(value: float) -> float | None:
    """The number as JSON has it."""
    return float(value) if np.isfinite(value) else None


def mean(values: FloatArray | BoolArray, weight: FloatArray) -> float:
    """Weighted mean; NaN without any weight."""
    total = float(weight.sum())
    return float(weight @ values) / total if total else np.nan


def balanced_accuracy(chance: FloatArray, is_real: BoolArray, weight: FloatArray) -> float:
    """Mean of the share of real items accepted and of the share of others refused."""
    accepts = chance >= ACCEPTS
    return (mean(accepts, weight * is_real) + mean(~accepts, weight * ~is_real)) / 2


def auc(chance: FloatArray, is_real: BoolArray, weight: FloatArray) -> float:
    r"""Chance that a real item is given the higher chance; equal ones count half.

    .. math::
        \mathrm{AUC} = \frac{\sum_{i \in R} w_i r_i - P (P + 1) / 2}{P N},
        \quad P = \sum_{i \in R} w_i, \; N = \sum_{i \notin R} w_i

    with mid-ranks r (Mann and Whitney). NaN if one side has no weight.
    """
    real = float(weight @ is_real)
    others = float(weight.sum()) - real
    if not real or not others:
        return np.nan
    rank_sum = float((weight * is_real) @ mid_ranks(chance, weight))
    return (rank_sum - real * (real + 1) / 2) / (real * others)


def mid_ranks(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Place of every value from 1 on, as if each stood there `weight` times; equal ones share."""
    _, group = np.unique(values, return_inverse=True)
    mass = np.bincount(group, weights=weight)
    ranks: FloatArray = (np.cumsum(mass) - mass / 2 + 0.5)[group]
    return ranks


def correlation(first: FloatArray, second: FloatArray, weight: FloatArray) -> float:
    """Pearson's correlation; NaN if one of both does not vary."""
    a, b = (values - mean(values, weight) for values in (first, second))
    spread = mean(a**2, weight), mean(b**2, weight)
    if min(spread) < TINY:
        return np.nan
    return float(np.clip(mean(a * b, weight) / np.sqrt(spread[0] * spread[1]), -1, 1))


def rank_correlation(first: FloatArray, second: FloatArray, weight: FloatArray) -> float:
    """Spearman's correlation: that of the mid-ranks."""
    return correlation(mid_ranks(first, weight), mid_ranks(second, weight), weight)


def kappa(first: BoolArray, second: BoolArray, weight: FloatArray) -> float:
    r"""Cohen's kappa of two yes-or-no decisions.

    :math:`\kappa = (p_o - p_e) / (1 - p_e)`: of the agreement that chance would not bring, the
    share that is there. NaN where both always decide the same way.
    """
    observed = mean(first == second, weight)
    yes = mean(first, weight), mean(second, weight)
    expected = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return (observed - expected) / (1 - expected) if 1 - expected > TINY else np.nan


def brier_score(chance: FloatArray, is_real: BoolArray, weight: FloatArray) -> float:
    """Mean squared distance of chance and outcome: 0 is perfect, always saying 0.5 is 0.25."""
    return mean((chance - is_real) ** 2, weight)


def calibration_error(chance: FloatArray, is_real: BoolArray, weight: FloatArray) -> float:
    r"""Expected calibration error, :math:`\sum_b n_b / n \, |\bar p_b - \bar y_b|`.

    Over :data:`N_BINS` bins of equal width, with the mean chance and the share of real items of
    each.
    """
    gaps = np.bincount(bins(chance), weights=weight * (chance - is_real), minlength=N_BINS)
    total = float(weight.sum())
    return float(np.abs(gaps).sum()) / total if total else np.nan


def bins(chance: FloatArray) -> IntArray:
    """Bin of every chance, from 0; 1 is in the last."""
    return np.minimum(chance * N_BINS, N_BINS - 1).astype(np.int64)


def agreement(first: FloatArray, second: FloatArray, bootstrap: Bootstrap) -> dict[str, Interval]:
    """How far two chances for the same items agree: as numbers, and as decisions at 0.5."""
    yes = first >= ACCEPTS, second >= ACCEPTS
    return {
        "correlation": bootstrap(lambda weight: correlation(first, second, weight)),
        "kappa": bootstrap(lambda weight: kappa(*yes, weight)),
        "same_decision": bootstrap(lambda weight: mean(yes[0] == yes[1], weight)),
        "mean_difference": bootstrap(lambda weight: mean(np.abs(first - second), weight)),
    }
