"""A grid of methods, worlds and seeds: every cell computed once, side by side on all cores."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from graphlib import TopologicalSorter
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from proactrec.config import digest
from proactrec.errors import InvalidInputError, ProactrecError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.hidden_models import FITTED
from proactrec.evaluation.protocols import protocol_of
from proactrec.progress import Progress, silent
from proactrec.simulator.worlds import named_world
from proactrec.types import FloatArray, IntArray

Changes = Mapping[str, Any]
"""Settings of an experiment by their dotted names, e.g. ``{"policy": "ipg"}``."""

TABLE_4: dict[str, Changes] = {
    "SASRec": {"policy": "next-item", "encoder": "sasrec"},
    "ICLRec": {"policy": "next-item", "encoder": "iclrec"},
    "MStein": {"policy": "next-item", "encoder": "mstein"},
    "BSARec": {"policy": "next-item", "encoder": "bsarec"},
    "ICSRec": {"policy": "next-item", "encoder": "icsrec"},
    "IRN": {"policy": "irn"},
    "IRN, re-planned": {"policy": "irn", "policy_options.mode": "replan"},
    "IPG": {"policy": "ipg"},
    "ITMPRec": {"policy": "itmprec"},
}
BEYOND: dict[str, Changes] = {
    "ITMPRec": {"policy": "itmprec"},
    "Foresight": {"policy": "foresight"},
    "one round": {"policy": "foresight", "policy_options.depth": 1},
    "no learning": {"policy": "foresight", "policy_options.learns": False},
    "no item effects": {"policy": "foresight", "policy_options.item_shrinkage": None},
    "no surprise": {"policy": "foresight", "policy_options.belief_variance": 0.0},
    "one model": {"policy": "foresight", "policy_options.n_models": 1},
    "one view": {"policy": "foresight", "policy_options.other_views": []},
    "interest alone": {"policy": "foresight", "policy_options.acceptance_worth": 0.0},
    "exploring": {"policy": "foresight", "policy_options.optimism": 1.0},
}
"""Our own planner, without each of its parts, and with one more."""
REFERENCES: dict[str, Changes] = {
    name: {"policy": name}
    for name in (
        "random",
        "popular",
        "target-now",
        "nearest-to-target",
        "oracle-greedy",
        "oracle-lookahead",
    )
}
TABLE_3: dict[str, Changes] = {
    "w/o P": {"without": ["P"]},
    "w/o IIS": {"without": ["IIS"]},
    "w/o TIAC": {"without": ["TIAC"]},
    "ITMPRec": {},
}
SENSITIVITY: dict[str, dict[str, int]] = {
    "favourites": {f"Q = {q}": q for q in (1, 5, 10, 20, 30, 40, 50)},
    "intents": {f"{n} intents": n for n in (2, 4, 8, 16, 32, 64, 128, 256)},
}
"""The methods of Figure 4, and the number that each stands for: Q of TIAC, prototypes of IIS."""
FIGURE_4: dict[str, Changes] = {
    **{name: {"policy_options.n_curious": q} for name, q in SENSITIVITY["favourites"].items()},
    **{name: {"protocol.intents.n_intents": n} for name, n in SENSITIVITY["intents"].items()},
}
SUITES: dict[str, dict[str, Changes]] = {
    "table4": {**TABLE_4, **REFERENCES},
    "table3": TABLE_3,
    "figure4": FIGURE_4,
    "beyond": {**BEYOND, **REFERENCES},
}
TRAINED = ("interest", "encoder", "intents", "irn", "belief")
"""Stages that a method trains before it guides."""
INTEREST_SETTINGS = ("dataset", "graphau", "seed")
HIDDEN_SETTINGS = (*INTEREST_SETTINGS, "hidden")
ENCODER_SETTINGS = (*INTEREST_SETTINGS, "encoder", "encoder_options")
CHECKED: dict[str, Any] = {
    **dict.fromkeys(("dataset", "category", "target_items", "n_users", "rails"), True),
    "protocol": {"targets"},
}
"""Settings that decide what :meth:`Experiment.check` finds."""
REFERENCE = "oracle-lookahead"
"""Whose increase of interest the others' is a share of."""


class Cell(NamedTuple):
    """One experiment of a grid."""

    method: str
    options: ExperimentOptions
    named_world: str | None = None

    @property
    def name(self) -> tuple[str, ...]:
        """What tells it from all other cells of a benchmark."""
        options = self.options
        data = f"{options.dataset.name}-{digest(options.dataset.model_dump(mode='json'))}"
        return (data, options.protocol.name, self.world, self.method, str(options.seed))

    @property
    def text(self) -> str:
        """The name, to be read."""
        return " ".join([self.options.dataset.name, *self.name[1:]])

    @property
    def world(self) -> str:
        """Name of the simulated users: slope; vectors and receptivity where they are unusual."""
        if self.named_world is not None:
            return self.named_world
        protocol, said = self.options.protocol, [str(self.options.protocol.world.world)]
        if self.options.hidden != "interest":
            said.append(self.options.hidden)
        if protocol.world.receptivity != protocol_of(protocol.name).world.receptivity:
            said.append(protocol.world.receptivity)
        return ", ".join(said)


def grid(
    bases: Sequence[ExperimentOptions],
    methods: Mapping[str, Changes],
    worlds: Sequence[Changes] = ({},),
    seeds: Sequence[int] = (0,),
    *,
    named_worlds: Sequence[str] = (),
) -> list[Cell]:
    """Every base with every method, world and seed.

    Worlds are those of `worlds` and, beside them, `named_worlds`.

    Raises
    ------
    InvalidInputError
        If there is nothing to run, or two cells would have the same name.
    """
    named: list[tuple[str | None, Changes]] = [(None, world) for world in worlds]
    named += [(name, named_world(name).changes()) for name in named_worlds]
    cells = [
        Cell(method, base.changed({**changes, **world, "seed": seed}), name)
        for base in bases
        for name, world in named
        for method, changes in methods.items()
        for seed in seeds
    ]
    if not cells or len({cell.name for cell in cells}) < len(cells):
        raise InvalidInputError(
            f"a benchmark needs methods, worlds and seeds that differ, got {list(methods)}, "
            f"{[*worlds, *named_worlds]} and {list(seeds)}"
        )
    return cells


class Workshop(NamedTuple):
    """Where cells are computed."""

    store: Path
    data_dir: Path | None = None
    device: str = "cpu"
    n_workers: int = 1

    def experiment(self, options: ExperimentOptions) -> Experiment:
        """The experiment of a cell."""
        return Experiment(options, self.store, data_dir=self.data_dir, device=self.device)


def run(
    cells: Sequence[Cell],
    workshop: Workshop,
    *,
    progress: Progress = silent,
    finished: Callable[[Cell, dict[str, Any]], None] = lambda cell, result: None,
) -> list[dict[str, Any]]:
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
    tasks = _tasks([cell.options for cell in cells])
    first = len(tasks) - len(cells)
    results: dict[int, dict[str, Any]] = {}
    failures = []
    for place, result in _counted(_done(tasks, workshop), tasks, progress):
        if place < first:
            continue
        cell = cells[place - first]
        if isinstance(result, ProactrecError):
            failures.append(f"{cell.text}: {result}")
        else:
            results[place] = result
            finished(cell, result)
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


Work = Callable[[Workshop, ExperimentOptions], Any]


class Task(NamedTuple):
    """A piece of work, which begins when those at the places `after` are done."""

    stage: str
    work: Work
    options: ExperimentOptions
    after: frozenset[int] = frozenset()


def _tasks(everything: Sequence[ExperimentOptions]) -> list[Task]:
    """What cells have in common, each once and after what it needs itself; then the cells."""
    tasks: list[Task] = []
    places: dict[str, int] = {}

    def place_of(task: Task, settings: Sequence[str]) -> int:
        """Where the task is that has the same stage and settings."""
        made_of = task.options.model_dump(mode="json", include=set(settings))
        key = digest({"stage": task.stage, **made_of})
        if key not in places:
            places[key] = len(tasks)
            tasks.append(task)
        return places[key]

    def interest_of(options: ExperimentOptions) -> frozenset[int]:
        task = Task("interest vectors", _fit_interest, options)
        return frozenset({place_of(task, INTEREST_SETTINGS)})

    def needed_by(options: ExperimentOptions) -> frozenset[int]:
        needed = interest_of(options)
        if options.hidden in FITTED:
            task = Task("hidden users", _fit_hidden, options, interest_of(options))
            needed |= {place_of(task, HIDDEN_SETTINGS)}
        for trained in _encoders_of(options):
            task = Task("encoders", _fit_encoder, trained, interest_of(trained))
            needed |= {place_of(task, ENCODER_SETTINGS)}
        return needed

    needs = [needed_by(options) for options in everything]
    guidance = zip(everything, needs, strict=True)
    return tasks + [Task("guidance", _measure, options, after) for options, after in guidance]


def _encoders_of(options: ExperimentOptions) -> Iterator[ExperimentOptions]:
    """The experiment's own encoder, and the one that it chooses targets by, if any."""
    if options.needs_encoder:
        yield options
    if options.protocol.targets.space == "encoder" and options.target_encoder is not None:
        yield options.choosing_targets()


def _fit_interest(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).interest


def _fit_hidden(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).hidden_interest


def _fit_encoder(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).fitting.next_item


def _measure(workshop: Workshop, options: ExperimentOptions) -> dict[str, Any]:
    experiment = workshop.experiment(options)
    result, log = experiment.result(), experiment.log

    def curve(state: FloatArray | IntArray) -> list[float]:
        """Mean state at rounds 0, 1, …, whose change is what the metrics measure."""
        mean = np.where(log.is_counted[:, None], state, state[:, :1]).mean(0).tolist()
        return [mean[0], *mean[:-1]] if options.protocol.metrics.timing == "before" else mean

    curves = {"interest": curve(log.interest), "rank": curve(log.rank)}
    return {**result, "curves": curves, "log": str(experiment.log_path.resolve())}


def _attempt(work: Work, workshop: Workshop, options: ExperimentOptions) -> Any:
    """What the work returns, or the error that it ends in."""
    try:
        return work(workshop, options)
    except ProactrecError as error:
        return error


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


def _pin(counter: "Synchronized[int]") -> None:
    """Give this worker process a core of its own."""
    with counter.get_lock():
        number, counter.value = counter.value, counter.value + 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    torch.set_num_threads(1)


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


def figures_table(cells: Sequence[Cell], results: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """All figures, one row per cell, metric and round.

    Columns: dataset, protocol, world, method, is_oracle, seed, metric, round, mean, low, high.
    Metrics are those of `metrics.json`; interest and rank at every round; and at the last round
    target_accepted, coverage, category_entropy, guidance_seconds, training_seconds and
    share_of_oracle (of the increase of interest of :class:`OracleLookahead`).
    """
    rows = []
    for cell, result in zip(cells, results, strict=True):
        name = {
            "dataset": result["dataset"],
            "protocol": result["protocol"],
            "world": cell.world,
            "method": cell.method,
            "is_oracle": result["reads_hidden_users"],
            "seed": result["seed"],
        }
        rows += [{**name, **figure} for figure in _figures(result)]
    schema = {"mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return pl.concat([table, _shares_of_oracle(table)])


def _figures(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for metric, by_round in result["metrics"].items():
        for number, estimate in by_round.items():
            yield {"metric": metric, "round": int(number), **estimate}
    for metric, values in result["curves"].items():
        for number, value in enumerate(values):
            yield {"metric": metric, "round": number, "mean": value, "low": None, "high": None}
    last = len(result["curves"]["interest"]) - 1
    seconds = dict(result["seconds"])
    outcomes = ("target_accepted", "category_entropy", "coverage")
    single = {name: dict(result["outcome"][name]) for name in outcomes}
    single["guidance_seconds"] = {"mean": seconds.get("guidance", 0.0)}
    training = sum(seconds.get(kind, 0.0) for kind in TRAINED)
    single["training_seconds"] = {"mean": training}
    for metric, value in single.items():
        bounds = {end: value.get(end) for end in ("low", "high")}
        yield {"metric": metric, "round": last, "mean": value["mean"], **bounds}


def _shares_of_oracle(table: pl.DataFrame) -> pl.DataFrame:
    """Increase of interest at the last round as a share of the reference oracle's."""
    keys = ["dataset", "protocol", "world", "seed"]
    interest = table.filter(pl.col("metric") == "interest").sort("round")
    gain = interest.group_by([*keys, "method", "is_oracle"], maintain_order=True).agg(
        pl.col("round").last(), (pl.col("mean").last() - pl.col("mean").first()).alias("gain")
    )
    best = gain.filter(pl.col("method") == REFERENCE).select(*keys, pl.col("gain").alias("best"))
    shares = gain.join(best, on=keys).filter(pl.col("best") > 0)
    return shares.select(
        *keys[:3],
        "method",
        "is_oracle",
        "seed",
        pl.lit("share_of_oracle").alias("metric"),
        "round",
        (pl.col("gain") / pl.col("best")).alias("mean"),
        pl.lit(None, pl.Float64).alias("low"),
        pl.lit(None, pl.Float64).alias("high"),
    )
