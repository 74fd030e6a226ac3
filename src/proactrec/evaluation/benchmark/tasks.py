"""What the cells of a benchmark have in common, and what must be done before what."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.config import digest
from proactrec.errors import ProactrecError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.hidden_models import FITTED
from proactrec.evaluation.observed_metrics import MetricOptions, target_acceptance
from proactrec.measurement.results import CellResult
from proactrec.progress import Progress, silent
from proactrec.types import FloatArray, IntArray

INTEREST_SETTINGS = ("dataset", "graphau", "seed")
HIDDEN_SETTINGS = (*INTEREST_SETTINGS, "hidden")
ENCODER_SETTINGS = (*INTEREST_SETTINGS, "encoder", "encoder_options")


Work = Callable[["Workshop", ExperimentOptions], Any]
How = Callable[["Workshop", Sequence["Task"]], Iterator[tuple[int, Any]]]
"""Does tasks: place and result, or the error that it ended in, of each as it is done."""


def one_by_one(workshop: "Workshop", tasks: Sequence["Task"]) -> Iterator[tuple[int, Any]]:
    """Do them in this process, in their order."""
    for place, task in enumerate(tasks):
        yield place, task.attempted(workshop)


class Workshop(NamedTuple):
    """Where cells are computed, and by whom."""

    store: Path
    data_dir: Path | None = None
    device: str = "cpu"
    how: How = one_by_one

    def experiment(self, options: ExperimentOptions, progress: Progress = silent) -> Experiment:
        """The experiment of a cell."""
        return Experiment(
            options, self.store, data_dir=self.data_dir, device=self.device, progress=progress
        )


class Task(NamedTuple):
    """A piece of work, which begins when those at the places `after` are done."""

    stage: str
    work: Work
    options: ExperimentOptions
    after: frozenset[int] = frozenset()

    def attempted(self, workshop: Workshop) -> Any:
        """What the work returns, or the error that it ends in."""
        try:
            return self.work(workshop, self.options)
        except ProactrecError as error:
            return error


def tasks_of(everything: Sequence[ExperimentOptions]) -> list[Task]:
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
    """What a :class:`CellResult` holds beside the cell's own names."""
    experiment = workshop.experiment(options)
    result, log = experiment.result(), experiment.log

    def curve(state: FloatArray | IntArray) -> list[float]:
        """Mean state at rounds 0, 1, …, whose change is what the metrics measure."""
        mean = np.where(log.is_counted[:, None], state, state[:, :1]).mean(0).tolist()
        return [mean[0], *mean[:-1]] if options.protocol.measured.timing == "before" else mean

    said = result.model_fields_set
    shared = {n: getattr(result, n) for n in CellResult.model_fields if n in said}
    every = MetricOptions(rounds=tuple(range(1, log.n_rounds + 1)))
    accepted = [0.0, *target_acceptance(log, every).numerator.mean(0).tolist()]
    curves = {"interest": curve(log.interest), "rank": curve(log.rank), "accepted": accepted}
    return {**shared, "curves": curves, "log": experiment.log_path.resolve()}
