"""All cells of a benchmark, each computed once, in any order that they allow."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from proactrec.config import digest
from proactrec.errors import ProactrecError
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.tasks import Task, Workshop, tasks_of
from proactrec.measurement.results import CellResult
from proactrec.progress import Progress, silent

CHECKED: dict[str, Any] = {
    **dict.fromkeys(("dataset", "category", "target_items", "n_users", "rails"), True),
    "protocol": {"targets"},
}
"""Settings that decide what :meth:`Experiment.check` finds."""


def run(
    cells: Sequence[Cell],
    workshop: Workshop,
    *,
    progress: Progress = silent,
    finished: Callable[[Cell, CellResult], None] = lambda cell, result: None,
) -> list[CellResult]:
    """Results of all cells, in their order; what they have in common is made first, and once.

    Killed at any time, the same call goes on with what is missing.

    Parameters
    ----------
    finished
        Called in this process with every cell as it is done.

    Raises
    ------
    ProactrecError
        Before anything is trained, if a cell's options or its data set forbid it; after everything
        else is done, if a cell can't be computed for another reason.
    """
    _check(cells, workshop)
    tasks = tasks_of([cell.options for cell in cells])
    first = len(tasks) - len(cells)
    results: dict[int, CellResult] = {}
    failures = []
    for place, result in _counted(workshop.how(workshop, tasks), tasks, progress):
        if place < first:
            continue
        cell = cells[place - first]
        if isinstance(result, ProactrecError):
            failures.append(f"{cell.text}: {result}")
        else:
            results[place] = cell.result(result)
            finished(cell, results[place])
    if failures:
        raise ProactrecError(f"{len(failures)} of {len(cells)} cells failed: {failures[0]}")
    return [results[place] for place in range(first, len(tasks))]


def _check(cells: Sequence[Cell], workshop: Workshop) -> None:
    """Refuse a benchmark with a cell that can't be, and name the cell."""
    seen = set()
    for cell in cells:
        try:
            experiment = workshop.experiment(cell.options)
            key = digest(cell.options.model_dump(mode="json", include=CHECKED))
            if key not in seen:  # a data set takes seconds to load
                experiment.check()
            seen.add(key)
        except ProactrecError as error:
            raise type(error)(f"{cell.text}: {error}") from error


def _counted(
    results: Iterator[tuple[int, Any]], tasks: Sequence[Task], progress: Progress
) -> Iterator[tuple[int, Any]]:
    """The results, telling how many of a stage are done and how long its rest should take.

    A stage counts as begun with the last result before its own first.
    """
    n_tasks = Counter(task.stage for task in tasks)
    n_done: Counter[str] = Counter()
    begun = dict.fromkeys(n_tasks, time.monotonic())
    for stage, total in n_tasks.items():
        progress(stage, 0, total)
    for place, found in results:
        stage, now = tasks[place].stage, time.monotonic()
        n_done[stage] += 1
        n_left = n_tasks[stage] - n_done[stage]
        left = (now - begun[stage]) / n_done[stage] * n_left
        note = f"about {_duration(left)} left" if n_left else ""
        progress(stage, n_done[stage], n_tasks[stage], note)
        begun.update((other, now) for other in n_tasks if not n_done[other])
        yield place, found


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a minute"
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
