"""Is one method better than another? Paired differences with the same users and targets."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.measurement.bootstrap import Estimate, bootstrap_weights, crossed_estimates
from proactrec.measurement.sums import Sums
from proactrec.types import FloatArray, IntArray

BySeed = Mapping[int, Mapping[str, Sums]]
"""A method's sums by seed, then metric: a row for each user and target, a figure for each round."""
LOWER_IS_BETTER = frozenset({"rounds_to_target"})
"""Metrics of which less is better; of all others, more."""


class Difference(NamedTuple):
    """First method less second, for one metric at one round."""

    metric: str
    round: int
    estimate: Estimate
    per_seed: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """In words: better, worse, or no difference shown."""
        is_above = self.estimate.low > 0 and min(self.per_seed) > 0
        is_below = self.estimate.high < 0 and max(self.per_seed) < 0
        if not (is_above or is_below):
            return "no difference shown"
        return "better" if is_below == (self.metric in LOWER_IS_BETTER) else "worse"


def paired_differences(first: BySeed, second: BySeed, rounds: Sequence[int]) -> list[Difference]:
    """Differences of two methods, with the users' ways to each target matched.

    The interval is a percentile bootstrap over users and over targets, both drawn anew; what one
    user, or one target, has in all seeds is drawn together. A method counts as better only if the
    interval is above 0 (below 0 for :data:`LOWER_IS_BETTER`) and every seed agrees.

    Raises
    ------
    InvalidInputError
        If the two do not have the same seeds, users and targets.
    """
    _check_alike(first, second)
    rows = [sums for by_metric in first.values() for sums in by_metric.values()]
    users = np.unique(np.concatenate([sums.user_idx for sums in rows]))
    targets = np.unique(np.concatenate([sums.target_idx for sums in rows]))
    weights = bootstrap_weights(len(users)), bootstrap_weights(len(targets), seed=1)
    found = []
    for metric in next(iter(first.values())):
        a, b = (_tables(method, metric, users, targets) for method in (first, second))
        pooled = crossed_estimates(_added([*a.values()]), _added([*b.values()]), *weights)
        per_seed = [_plain_differences(a[seed], b[seed]) for seed in sorted(first)]
        found += [
            Difference(metric, number, estimate, tuple(seed[at] for seed in per_seed))
            for at, (number, estimate) in enumerate(zip(rounds, pooled, strict=True))
        ]
    return found


Table = tuple[FloatArray, FloatArray]
"""Numerator and denominator by user, target and figure."""


def _check_alike(first: BySeed, second: BySeed) -> None:
    if set(first) != set(second) or not first:
        raise InvalidInputError(
            f"methods must have the same seeds to be compared, got {sorted(first)} and "
            f"{sorted(second)}"
        )
    for seed, by_metric in first.items():
        for metric, sums in by_metric.items():
            other = second[seed][metric]
            is_alike = np.array_equal(sums.user_idx, other.user_idx) and np.array_equal(
                sums.target_idx, other.target_idx
            )
            if not is_alike:
                raise InvalidInputError(
                    f"methods must have met the same users and targets, which differ in seed {seed}"
                )


def _tables(method: BySeed, metric: str, users: IntArray, targets: IntArray) -> dict[int, Table]:
    return {seed: of[metric].crossed(users, targets) for seed, of in method.items()}


def _added(tables: Sequence[Table]) -> Table:
    top, bottom = (np.sum(values, axis=0) for values in zip(*tables, strict=True))
    return top, bottom


def _plain_differences(first: Table, second: Table) -> list[float]:
    """One for every figure, without intervals."""
    once = np.ones((1, first[0].shape[0])), np.ones((1, first[0].shape[1]))
    return [estimate.mean for estimate in crossed_estimates(first, second, *once)]
