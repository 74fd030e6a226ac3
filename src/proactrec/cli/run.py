"""`proactrec run`, and its stages one by one: `train`, `simulate`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from proactrec.cli import console, results, workers
from proactrec.cli.cost import begun
from proactrec.cli.flags import own_parameters
from proactrec.cli.setup import MACHINE, Setup, experiment_command, setup, take_options
from proactrec.cli.workers import HOW, RAY
from proactrec.distributed.shards import SHARD_SIZE
from proactrec.errors import InvalidInputError
from proactrec.files import alone_in
from proactrec.measurement.results import RESULT

if TYPE_CHECKING:
    from proactrec.distributed.running import Runner
    from proactrec.evaluation.experiment import Experiment
    from proactrec.progress import Progress


@experiment_command
def run(asked: Setup) -> None:
    """Do the whole job: train, choose targets, guide simulated users, measure, write a report.

    Killed at any time, the same command goes on where it stopped.

    Example: proactrec run --dataset ml-100k --data-dir data --category Sci-Fi --out runs/scifi
    """
    results.require_report()
    with alone_in(asked.out):
        with console.progress() as progress:
            experiment = begun(asked, progress)
            _settle(asked, experiment)
            result = results.measured(experiment, _typed())
        results.save_ids(asked.out, experiment.dataset)
        results.save_result(asked.out, result)
        page = results.save_report(asked.out, experiment, result)
    results.show(result, [asked.out / RESULT, page], json=asked.json)


def train(
    ray: Annotated[
        str | None,
        typer.Option(help=f"Train by processes of a Ray cluster. {RAY}", rich_help_panel=MACHINE),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many of them, with --ray; all cores of the cluster by default.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    **values: Any,
) -> None:
    """Fit interest vectors and the sequence encoder, and show how well it predicts the next item.

    Several processes train together under torchrun, or with --ray.

    Example: proactrec train --dataset demo --encoder sasrec --out runs/sasrec
    """
    if ray is None and ranks is not None:
        raise InvalidInputError("--ranks needs --ray; without Ray, torchrun starts the processes")
    asked = setup(**values)
    with console.progress() as progress:
        experiment = begun(asked, progress)
        if ray is not None:
            _train_on_ray(asked, ray, ranks, progress)
        figures = experiment.fitting.next_item
    if asked.json:
        results.print_json(figures)
        return
    names = next(iter(figures["test"].values()))
    table = Table("split", "ranked by", *names, collapse_padding=True, pad_edge=False)
    for split, by_name in figures.items():
        for name, numbers in by_name.items():
            table.add_row(split, name, *(f"{number:.4f}" for number in numbers.values()))
    console.Terminal().print(table)


take_options(train, own_parameters(train))


def _train_on_ray(asked: Setup, ray: str, n_ranks: int | None, progress: "Progress") -> None:
    from proactrec.distributed.training_on_ray import train_on_ray
    from proactrec.evaluation.benchmark.tasks import Workshop

    if asked.encoder_folder is not None:
        raise InvalidInputError("--ray trains an encoder: leave out --encoder-folder")
    workshop = Workshop(asked.store, asked.data_dir, asked.device)
    train_on_ray(asked.options, workshop, ray, n_ranks, progress=progress)


def simulate(
    users: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file, or folder of such, with a column user_id: who is simulated, in "
            "shards.",
            rich_help_panel=HOW,
        ),
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Play journeys in shards of so many (10,000 if another option of shards is "
            "given), each a checkpoint, in memory that does not grow with their number.",
            rich_help_panel=HOW,
        ),
    ] = None,
    processes: workers.Processes = None,
    ray: workers.Ray = None,
    **values: Any,
) -> None:
    """Guide the simulated users and keep the log of every (user, target, round) as Parquet.

    In shards, steps and outcomes are files in OUT/simulation; killed at any moment, the same
    command goes on with those that are missing.

    Example: proactrec simulate --dataset demo --policy ipg --out runs/ipg --processes 2
    """
    asked = setup(**values)
    if (users, shard_size, processes, ray) == (None, None, None, None):
        with alone_in(asked.out):
            _simulate(asked)
    else:
        run = workers.runner(processes, ray)
        _simulate_in_shards(asked, users, shard_size or SHARD_SIZE, run)


take_options(simulate, own_parameters(simulate))


def _simulate_in_shards(asked: Setup, users: Path | None, shard_size: int, run: "Runner") -> None:
    from proactrec.distributed.simulation import check_apart
    from proactrec.distributed.simulations import simulate as simulated

    out = asked.out / "simulation"
    with console.progress() as progress:
        experiment = asked.experiment(progress)
        check_apart(experiment)
        _settle(asked, experiment)
        summary = simulated(
            experiment,
            out,
            users=users,
            encoder_folder=asked.encoder_folder,
            shard_size=shard_size,
            run=run,
            progress=progress,
        )
    results.save_ids(asked.out, experiment.dataset)
    if asked.json:
        results.print_json(summary)
    else:
        console.Terminal().print(
            f"{summary['shown']:,} items shown to {summary['journeys']:,} journeys in "
            f"{summary['files']:,} files: {out}"
        )


def _simulate(asked: Setup) -> None:
    with console.progress() as progress:
        experiment = begun(asked, progress)
        _settle(asked, experiment)
        path, log = experiment.log_path, experiment.log
    results.save_ids(asked.out, experiment.dataset)
    about = {
        "log": str(path),
        "n_pairs": len(log.user_idx),
        "n_decisions": int(log.is_shown.sum()),
        "n_accepted": int(log.accepted.sum()),
    }
    if asked.json:
        results.print_json(about)
    else:
        console.Terminal().print(
            f"{about['n_decisions']:,} items shown to {about['n_pairs']:,} journeys: {path}"
        )


def _settle(asked: Setup, experiment: "Experiment") -> None:
    """Keep the settings of a run that nothing refuses; a refused one leaves those of an earlier."""
    experiment.check()
    results.save_settings(asked, _typed())
    console.warn(results.concerns(experiment))


def _typed() -> str:
    """The command, as it was typed."""
    return shlex.join(["proactrec", *sys.argv[1:]])
