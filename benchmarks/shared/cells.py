"""What benchmarks that play many cells share: their command line, set-up and progress."""

import argparse
from pathlib import Path

import torch

from proactrec.config import parsed_setting
from proactrec.data.load import DatasetOptions
from proactrec.distributed.grids import by
from proactrec.distributed.processes import Processes
from proactrec.evaluation.benchmark.suites import Changes
from proactrec.evaluation.benchmark.tasks import Workshop, one_by_one
from proactrec.evaluation.experiment import ExperimentOptions
from shared.page import page_parser


def parser_of(about: str | None, *, n_targets: int, n_users: int | None) -> argparse.ArgumentParser:
    """Data set, page, seeds, size and places; a benchmark adds its own arguments."""
    parser = page_parser(about, "dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-targets", type=int, default=n_targets)
    parser.add_argument("--n-users", type=int, default=n_users)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, default=Path("runs/artefacts"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    return parser


def set_up(
    arguments: argparse.Namespace, asked: Changes | None = None
) -> tuple[ExperimentOptions, Workshop]:
    """What all cells start from and where they are computed, torch on one thread."""
    torch.set_num_threads(1)
    changes = {
        "protocol.targets.n_targets": arguments.n_targets,
        "n_users": arguments.n_users,
        **(asked or {}),
        **dict(map(parsed_setting, arguments.set)),
    }
    base = ExperimentOptions(dataset=DatasetOptions(name=arguments.dataset)).changed(changes)
    how = by(Processes(arguments.workers)) if arguments.workers > 1 else one_by_one
    return base, Workshop(arguments.store, arguments.data_dir, how=how)


def say(stage: str, done: int, total: int, note: str = "") -> None:
    """Progress, a line each."""
    print(f"{stage} {done}/{total} {note}", flush=True)
