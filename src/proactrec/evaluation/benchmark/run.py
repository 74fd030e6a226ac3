"""All cells of a benchmark, each computed once, side by side on all cores."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from graphlib import TopologicalSorter
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from proactrec.config import digest
from proactrec.errors import ProactrecError
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.tasks import Task, Work, Workshop, tasks_of
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.measurement.results import CellResult
from proactrec.progress import Progress, silent
from proactrec.threads import take_a_core

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

    Every worker is a process on a core of its own. Killed at any time, the same call goes on with
    what is missing.

    Parameters
    ----------
    finished
        Called in this process with every cell as it is done.

    Raises
    ------
    ProactrecError
        Before anything is trained, if a cell's options or its data set forbid it; after everything
        else is done, if a cell can't be computed for another reason; at once if a worker dies.
    """
    _check(cells, workshop)
    tasks = tasks_of([cell.options for cell in cells])
    first = len(tasks) - len(cells)
    results: dict[int, CellResult] = {}
    failures = []
    for place, result in _counted(_done(tasks, workshop), tasks, progress):
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


def _done(tasks: Sequence[Task], workshop: Workshop) -> Iterator[tuple[int, Any]]:
    """(place, result) of every task as it is done."""
    if workshop.n_workers == 1:
        for place, task in enumerate(tasks):
            yield place, _attempt(task.work, workshop, task.options)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workshop.n_workers, context, initializer=_pin, initargs=(context.Value("i", 0),)
    )
    order = TopologicalSorter({place: task.after for place, task in enumerate(tasks)})
    order.prepare()
    running: dict[Future[Any], int] = {}
    try:
        while order.is_active():
            for place in order.get_ready():
                task = tasks[place]
                running[pool.submit(_attempt, task.work, workshop, task.options)] = place
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place = running.pop(future)
                yield place, future.result()
                order.done(place)
    except BrokenProcessPool as error:
        raise ProactrecError(
            "a worker process was killed, perhaps for lack of memory; the same command goes on "
            "with what is missing, and fewer --workers need less"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(work: Work, workshop: Workshop, options: ExperimentOptions) -> Any:
    """What the work returns, or the error that it ends in."""
    try:
        return work(workshop, options)
    except ProactrecError as error:
        return error


def _pin(counter: "Synchronized[int]") -> None:
    """Give this worker process a core of its own."""
    with counter.get_lock():
        number, counter.value = counter.value, counter.value + 1
    take_a_core(number)


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
