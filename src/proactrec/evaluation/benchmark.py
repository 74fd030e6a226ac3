"""A grid of methods, worlds and seeds: every cell computed once, side by side on all cores."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch

from proactrec.config import digest
from proactrec.errors import InvalidInputError, ProactrecError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.hidden_models import FITTED
from proactrec.progress import Progress, silent
from proactrec.simulator.worlds import named_world

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
INTEREST_SETTINGS = ("dataset", "graphau", "seed")
HIDDEN_SETTINGS = (*INTEREST_SETTINGS, "hidden")
ENCODER_SETTINGS = (*INTEREST_SETTINGS, "encoder", "encoder_options")
USUAL = ("interest", "constant", "policy")
"""Vectors and receptivity that a world's name leaves unsaid."""
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
        data = digest(options.dataset.model_dump(mode="json"))
        return (data, options.protocol.name, self.world, self.method, str(options.seed))

    @property
    def world(self) -> str:
        """Name of the simulated users: slope, and receptivity where it is not the usual one."""
        if self.named_world is not None:
            return self.named_world
        world = self.options.protocol.world
        said: list[str] = [world.world, self.options.hidden, world.receptivity]
        return ", ".join(part for part in said if part not in USUAL)


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
        After everything else is done, if a cell can't be computed.
    """
    with _workers(workshop) as map_unordered:
        everything = [cell.options for cell in cells]
        for stage, work, needed in (
            ("interest vectors", _fit_interest, _distinct(everything, INTEREST_SETTINGS)),
            ("hidden users", _fit_hidden, _distinct(_with_fitted(everything), HIDDEN_SETTINGS)),
            ("encoders", _fit_encoder, _distinct(_with_encoder(everything), ENCODER_SETTINGS)),
        ):
            if needed:
                for _ in _counted(map_unordered(work, needed), len(needed), stage, progress):
                    pass
        results: dict[int, dict[str, Any]] = {}
        failures = []
        done = map_unordered(_measure, everything)
        for place, result in _counted(done, len(cells), "guidance", progress):
            if isinstance(result, ProactrecError):
                failures.append(f"{' '.join(cells[place].name[1:])}: {result}")
            else:
                results[place] = result
                finished(cells[place], result)
    if failures:
        raise ProactrecError(f"{len(failures)} of {len(cells)} cells failed: {failures[0]}")
    return [results[place] for place in range(len(cells))]


def _with_fitted(everything: Iterable[ExperimentOptions]) -> Iterator[ExperimentOptions]:
    """Experiments whose users have interest vectors of their own to fit."""
    return (options for options in everything if options.hidden in FITTED)


def _with_encoder(everything: Iterable[ExperimentOptions]) -> Iterator[ExperimentOptions]:
    """Experiments with an encoder to train; those that choose targets by one of its own, too."""
    for options in everything:
        if options.needs_encoder:
            yield options
        if options.protocol.targets.space == "encoder" and options.target_encoder is not None:
            yield options.choosing_targets()


def _distinct(
    everything: Iterable[ExperimentOptions], settings: Iterable[str]
) -> list[ExperimentOptions]:
    """One of all that have these settings alike."""
    return list(
        {digest(o.model_dump(mode="json", include=set(settings))): o for o in everything}.values()
    )


def _fit_interest(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).interest


def _fit_hidden(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).hidden_interest


def _fit_encoder(workshop: Workshop, options: ExperimentOptions) -> None:
    _ = workshop.experiment(options).next_item


def _measure(workshop: Workshop, options: ExperimentOptions) -> dict[str, Any] | ProactrecError:
    experiment = workshop.experiment(options)
    try:
        result, log = experiment.result(), experiment.log
    except ProactrecError as error:
        return error
    counted = log.is_counted
    curves = {
        "interest": log.interest[counted].mean(0).tolist(),
        "rank": log.rank[counted].mean(0).tolist(),
    }
    return {**result, "curves": curves, "log": str(experiment.log_path)}


Work = Callable[[Workshop, ExperimentOptions], Any]
MapUnordered = Callable[[Work, Sequence[ExperimentOptions]], Iterator[tuple[int, Any]]]


@contextmanager
def _workers(workshop: Workshop) -> Iterator[MapUnordered]:
    """Gives a function that yields (place, result) of every task as it is done."""
    if workshop.n_workers == 1:

        def one_by_one(work: Work, tasks: Sequence[ExperimentOptions]) -> Iterator[tuple[int, Any]]:
            for place, task in enumerate(tasks):
                yield place, work(workshop, task)

        yield one_by_one
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workshop.n_workers, context, initializer=_pin, initargs=(context.Value("i", 0),)
    )

    def side_by_side(work: Work, tasks: Sequence[ExperimentOptions]) -> Iterator[tuple[int, Any]]:
        places = {pool.submit(work, workshop, task): place for place, task in enumerate(tasks)}
        for future in as_completed(places):
            yield places[future], future.result()

    try:
        yield side_by_side
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
    results: Iterator[tuple[int, Any]], n_tasks: int, stage: str, progress: Progress
) -> Iterator[tuple[int, Any]]:
    """The results, telling how many are done and how long the rest should take."""
    start = time.monotonic()
    progress(stage, 0, n_tasks)
    for n_done, found in enumerate(results, start=1):
        left = (time.monotonic() - start) / n_done * (n_tasks - n_done)
        note = f"about {_duration(left)} left" if n_done < n_tasks else ""
        progress(stage, n_done, n_tasks, note)
        yield found


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
    training = sum(seconds.get(kind, 0.0) for kind in ("interest", "encoder", "irn"))
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
