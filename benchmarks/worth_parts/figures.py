"""Figures of the logs that `worth.py` makes: by case and seed, and as paired differences."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.leaving import with_leaving
from proactrec.evaluation.metrics import METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.comparison import paired_differences
from proactrec.measurement.sums import Sums
from proactrec.simulator.world import World
from proactrec.worth import Worth
from worth_parts.cases import Case

FIGURES: dict[str, tuple[int, ...]] = {
    "target_accepted": (5, 10, 15, 20),
    "worth": (20,),
    "rounds_to_target": (20,),
    "ioi": (5, 10, 20),
    "hr": (20,),
}
COMPARED: dict[str, tuple[int, ...]] = {"target_accepted": (20,), "worth": (20,)}
COMPARED_IN_INTEREST: dict[str, tuple[int, ...]] = {"ioi": (5, 10, 20)}
FIRST = {"hazard": "learned", "ablation": "whole"}
"""Whom all others are compared with; elsewhere Foresight."""
Group = list[tuple[Case, Path]]


class Judge:
    """Reads logs; builds every world in which users leave once."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._worlds: dict[tuple[int, str], World] = {}

    def judged(self, group: Group) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """A row for every method, and the first method less each other; cases of one place."""
        logs: dict[str, dict[int, GuidanceLog]] = defaultdict(dict)
        for case, path in group:
            logs[case.method][case.options.seed] = self._log(case, path)
        if not logs:
            return [], []
        case = group[0][0]
        place = {"part": case.part, "world": case.world, "leaving": case.leaving}
        rows = [{**place, "method": method, **_row(of)} for method, of in logs.items()]
        if case.part == "rails" or (case.part, case.world) == ("grid", "medium"):
            for row, of in zip(rows, logs.values(), strict=True):
                row["curve"] = _curve(of)
        first = FIRST.get(case.part, "Foresight")
        compared = COMPARED_IN_INTEREST if case.part == "interest" else COMPARED
        others = [name for name in logs if name != first] if first in logs else []
        less = [
            {**place, "first": first, "second": name, **found}
            for name in others
            for found in _differences(logs[first], logs[name], compared)
        ]
        return rows, less

    def _log(self, case: Case, path: Path) -> GuidanceLog:
        log = GuidanceLog.load(path)
        return with_leaving(log, self._world(case)) if case.is_derived else log

    def _world(self, case: Case) -> World:
        """One of the same luck: when users leave does not depend on their interest."""
        key = case.options.seed, case.leaving
        if key not in self._worlds:
            options = case.options.changed({"hidden": "interest"})
            self._worlds[key] = self._workshop.experiment(options).world
        return self._worlds[key]


def _sums(log: GuidanceLog, metric: str, rounds: Sequence[int]) -> Sums:
    options = MetricOptions(rounds=tuple(rounds), worth=Worth())
    return METRICS[metric](log, options)


def _means(log: GuidanceLog, metric: str, rounds: Sequence[int]) -> list[float]:
    sums = _sums(log, metric, rounds)
    means = sums.numerator.sum(0) / sums.denominator.sum(0)
    return [round(float(mean), 4) for mean in means]


def _row(logs: dict[int, GuidanceLog]) -> dict[str, Any]:
    """Figures by seed."""
    figures: dict[str, list[float]] = {}
    for metric, rounds in FIGURES.items():
        by_seed = [_means(log, metric, rounds) for log in logs.values()]
        for number, values in zip(rounds, zip(*by_seed, strict=True), strict=True):
            figures[f"{metric}@{number}"] = list(values)
    return {"seeds": list(logs), "figures": figures}


def _curve(logs: dict[int, GuidanceLog]) -> list[float]:
    """Mean share of targets accepted after every round."""
    curves = [_means(log, "target_accepted", range(1, log.n_rounds + 1)) for log in logs.values()]
    return [round(sum(values) / len(values), 4) for values in zip(*curves, strict=True)]


def _differences(
    first: dict[int, GuidanceLog],
    second: dict[int, GuidanceLog],
    compared: dict[str, tuple[int, ...]],
) -> list[dict[str, Any]]:
    """Paired differences over the seeds that both have."""
    seeds = sorted(set(first) & set(second))
    found = []
    for metric, rounds in compared.items() if seeds else ():
        a, b = (
            {seed: {metric: _sums(of[seed], metric, rounds)} for seed in seeds}
            for of in (first, second)
        )
        found += [
            {
                "figure": f"{metric}@{one.round}",
                "difference": [round(value, 4) for value in one.estimate],
            }
            for one in paired_differences(a, b, rounds)
        ]
    return found
