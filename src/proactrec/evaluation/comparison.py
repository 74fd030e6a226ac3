"""Is one method better than another? Paired differences with the same users and the same luck."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.errors import DataError, InvalidInputError, UnknownIdError
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.metrics import METRICS, MetricOptions, Parts
from proactrec.evaluation.statistics import Estimate, bootstrap_weights, crossed_estimates
from proactrec.types import IntArray

CELLS = "cells.json"
"""File of a benchmark's folder that lists its cells."""
NOTED = ("dataset", "protocol", "world", "method", "seed", "metric_options", "log")
"""What must be known of a cell to compare it."""


class Difference(NamedTuple):
    """First method less second, for one metric at one round."""

    metric: str
    round: int
    estimate: Estimate
    per_seed: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """In words: better, worse, or no difference shown."""
        if self.estimate.low > 0 and min(self.per_seed) > 0:
            return "better"
        if self.estimate.high < 0 and max(self.per_seed) < 0:
            return "worse"
        return "no difference shown"


def paired_differences(
    first: Mapping[int, GuidanceLog],
    second: Mapping[int, GuidanceLog],
    options: MetricOptions,
    metrics: Sequence[str] = ("hr", "ioi", "ior"),
) -> list[Difference]:
    """Differences of two methods' logs, by seed, with the users' pairs matched.

    The interval is a percentile bootstrap over users and over targets, both drawn anew; what one
    user, or one target, has in all seeds is drawn together. A method counts as better only if the
    interval is above 0 and every seed agrees.

    Raises
    ------
    InvalidInputError
        If the two were not run with the same seeds, users, targets and rounds.
    """
    if set(first) != set(second) or not first:
        raise InvalidInputError(
            f"methods must have the same seeds to be compared, got {sorted(first)} and "
            f"{sorted(second)}"
        )
    for seed in first:
        if not _match(first[seed], second[seed]):
            raise InvalidInputError(
                f"methods must have met the same users, targets and rounds, which differ in seed "
                f"{seed}"
            )
    options = options.up_to(next(iter(first.values())).n_rounds)
    users, targets = (
        np.unique(np.concatenate([getattr(log, name) for log in first.values()]))
        for name in ("user_idx", "target_idx")
    )
    weights = bootstrap_weights(len(users)), bootstrap_weights(len(targets), seed=1)
    once = np.ones((1, len(users))), np.ones((1, len(targets)))
    found = []
    for metric in metrics:
        parts = [
            {
                seed: _crossed(log, METRICS[metric](log, options), users, targets)
                for seed, log in logs.items()
            }
            for logs in (first, second)
        ]
        pooled = crossed_estimates(_sum(parts[0].values()), _sum(parts[1].values()), *weights)
        alone = [crossed_estimates(parts[0][seed], parts[1][seed], *once) for seed in sorted(first)]
        found += [
            Difference(metric, number, estimate, tuple(seed[at].mean for seed in alone))
            for at, (number, estimate) in enumerate(zip(options.rounds, pooled, strict=True))
        ]
    return found


def compare_in(
    folder: Path,
    first: str,
    second: str,
    metrics: Sequence[str] | None = None,
    *,
    only: str | None = None,
) -> dict[str, list[Difference]]:
    """Paired differences of two methods of a benchmark, wherever both were run.

    Parameters
    ----------
    folder : Path
        What `proactrec benchmark` wrote.
    metrics : sequence of str, optional
        HR, IoI and IoR by default, and IoR cut at 200 where the protocol does not cut it anyway.
    only : str, optional
        The one "data set, protocol, world" to compare in.

    Returns
    -------
    dict
        From "data set, protocol, world" to the differences at every round.
    """
    if not (folder / CELLS).is_file():
        raise DataError(f"{folder} holds no benchmark: {folder / CELLS} is missing")
    cells = _cells(folder / CELLS)
    known = list(dict.fromkeys(cell["method"] for cell in cells))
    for name in (first, second):
        if name not in known:
            raise UnknownIdError(
                f"method {name!r} is not in {folder}; there are {', '.join(known)}"
            )
    groups: dict[str, dict[str, list[Any]]] = {}
    for cell in cells:
        group = groups.setdefault(f"{cell['dataset']}, {cell['protocol']}, {cell['world']}", {})
        group.setdefault(cell["method"], []).append(cell)
    found = {}
    for world, by_method in groups.items():
        if only not in (None, world) or first not in by_method or second not in by_method:
            continue
        options = MetricOptions(**by_method[first][0]["metric_options"])
        usual = ("hr", "ioi", "ior", *(["ior200"] if options.rank_cut is None else []))
        logs = _logs(by_method[first]), _logs(by_method[second])
        found[world] = paired_differences(*logs, options, metrics or usual)
    return found


def _cells(path: Path) -> list[dict[str, Any]]:
    """What a benchmark noted of its cells."""
    try:
        cells = list(json.loads(path.read_text()).values())
        _ = [cell[name] for cell in cells for name in NOTED]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}); run the benchmark again, finished cells are reused"
        ) from error
    return cells


def _logs(cells: Iterable[Mapping[str, Any]]) -> dict[int, GuidanceLog]:
    return {cell["seed"]: GuidanceLog.load(Path(cell["log"])) for cell in cells}


def _match(a: GuidanceLog, b: GuidanceLog) -> bool:
    return (
        a.n_rounds == b.n_rounds
        and np.array_equal(a.user_idx, b.user_idx)
        and np.array_equal(a.target_idx, b.target_idx)
    )


def _crossed(log: GuidanceLog, parts: Parts, users: IntArray, targets: IntArray) -> Parts:
    """The sums of a user's pairs with a target: (n_users, n_targets, n_columns)."""
    place = np.searchsorted(users, log.user_idx), np.searchsorted(targets, log.target_idx)
    return parts.summed(place, (len(users), len(targets)))


def _sum(parts: Iterable[Parts]) -> Parts:
    numerators, denominators = zip(*parts, strict=True)
    return Parts(np.sum(numerators, axis=0), np.sum(denominators, axis=0))
