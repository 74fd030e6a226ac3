"""`proactrec run`, and its stages one by one: `train`, `simulate`."""

import shlex
import sys

from rich.table import Table

from proactrec.cli import console, results
from proactrec.cli.cost import begun
from proactrec.cli.setup import Setup, experiment_command
from proactrec.measurement.results import RESULT


@experiment_command
def run(setup: Setup) -> None:
    """Do the whole job: train, choose targets, guide simulated users, measure, write a report.

    Killed at any time, the same command goes on where it stopped.

    Example: proactrec run --dataset ml-100k --data-dir data --category Sci-Fi --out runs/scifi
    """
    results.require_report()
    command = shlex.join(["proactrec", *sys.argv[1:]])
    with console.progress() as progress:
        experiment = begun(setup, progress)
        experiment.check()  # a refused run leaves the settings of an earlier one
        results.save_settings(setup, command)
        console.warn(results.concerns(experiment))
        result = results.measured(experiment, command)
    results.save_ids(setup.out, experiment.dataset)
    results.save_result(setup.out, result)
    page = results.save_report(setup.out, experiment, result)
    results.show(result, [setup.out / RESULT, page], json=setup.json)


@experiment_command
def train(setup: Setup) -> None:
    """Fit interest vectors and the sequence encoder, and show how well it predicts the next item.

    Example: proactrec train --dataset demo --encoder sasrec --out runs/sasrec
    """
    with console.progress() as progress:
        figures = begun(setup, progress).fitting.next_item
    if setup.json:
        results.print_json(figures)
        return
    names = next(iter(figures["test"].values()))
    table = Table("split", "ranked by", *names, collapse_padding=True, pad_edge=False)
    for split, by_name in figures.items():
        for name, values in by_name.items():
            table.add_row(split, name, *(f"{value:.4f}" for value in values.values()))
    console.Terminal().print(table)


@experiment_command
def simulate(setup: Setup) -> None:
    """Guide the simulated users and keep the log of every (user, target, round) as Parquet.

    Example: proactrec simulate --dataset demo --policy ipg --out runs/ipg
    """
    with console.progress() as progress:
        experiment = begun(setup, progress)
        experiment.check()  # a refused run leaves the settings of an earlier one
        results.save_settings(setup, shlex.join(["proactrec", *sys.argv[1:]]))
        console.warn(results.concerns(experiment))
        path, log = experiment.log_path, experiment.log
    results.save_ids(setup.out, experiment.dataset)
    about = {
        "log": str(path),
        "n_pairs": len(log.user_idx),
        "n_decisions": int(log.is_shown.sum()),
        "n_accepted": int(log.accepted.sum()),
    }
    if setup.json:
        results.print_json(about)
    else:
        console.Terminal().print(
            f"{about['n_decisions']:,} items shown to {about['n_pairs']:,} journeys: {path}"
        )
