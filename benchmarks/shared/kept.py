"""Cells that are kept as small JSON files: a cell's figures as sums of every user."""

import argparse
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proactrec.config import digest
from proactrec.data.load import DatasetOptions
from proactrec.errors import ProactrecError
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.suites import RIVALS, Changes
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.evaluation.metrics import METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.files import read_json, write_text
from proactrec.measurement.sums import Sums
from proactrec.policies.registry import policy_type
from shared.compact import read_figures
from shared.page import page_parser

TUNED = Path(__file__).parents[2] / "docs" / "results" / "tuned-policies.json"
ROUNDS = (5, 10, 20)
FIGURES = ("ioi", "hr", "target_accepted")
"""Of every cell, after each of these rounds."""
DECIMALS = 6


def parser_of(about: str | None, *, n_users: int, n_targets: int) -> argparse.ArgumentParser:
    """Page, data set, size and places; a study adds its own arguments."""
    parser = page_parser(about)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--users", type=int, default=n_users)
    parser.add_argument("--targets", type=int, default=n_targets)
    parser.add_argument("--folder", type=Path, default=Path("runs/laws"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--only-finished", action="store_true")
    return parser


def methods_of(tuned: Path) -> dict[str, Changes]:
    """The rivals, and again those for which other options than the defaults were chosen."""
    chosen: Mapping[str, Changes] = read_figures(tuned)["chosen"] if tuned.exists() else {}
    again = {f"{name}, tuned": {**RIVALS[name], **own} for name, own in chosen.items() if own}
    return {**RIVALS, **again}


class Kept:
    """Cells by world, method and seed, below a folder; each is played once.

    A cell whose settings have changed is played anew. Models and logs lie in the store beside the
    folder, so that a killed run loses at most the cell that it was playing.

    Parameters
    ----------
    arguments : argparse.Namespace
        From :func:`parser_of`; torch goes on with one thread.
    name : str
        Of the folder.

    Attributes
    ----------
    base : ExperimentOptions
        What cells start from.
    """

    def __init__(self, arguments: argparse.Namespace, name: str = "cells") -> None:
        torch.set_num_threads(1)
        self._folder: Path = arguments.folder / name
        self._only_finished = arguments.only_finished
        self.workshop = Workshop(arguments.folder / "store", arguments.data_dir)
        options = ExperimentOptions(dataset=DatasetOptions(name=arguments.dataset))
        changes = {"protocol.targets.n_targets": arguments.targets, "n_users": arguments.users}
        self.base = options.changed(changes)

    def of(self, cell: Cell) -> dict[str, Any] | None:
        """What is kept of a cell; None before it is played."""
        path = self._path(cell)
        found = read_json(path) if path.exists() else None
        if found is None or found["options"] != _named(cell):
            return None
        policy = _policy(cell)  # its defaults may have changed
        return found if found.get("policy", policy) == policy else None

    def played(self, cell: Cell) -> dict[str, Any] | None:
        """The same, played if need be; one that can't be is told of and left out."""
        found = self.of(cell)
        if found is not None or self._only_finished:
            return found
        try:
            found = self._play(cell)
        except ProactrecError as error:
            print(f"failed: {cell.text}: {error}", flush=True)
            return None
        gained, seconds = means_of(found)["ioi@20"], found["cpu_seconds"]
        print(f"{cell.text}: IoI@20 {gained:.4f}, {seconds} s of processor time", flush=True)
        return found

    def _play(self, cell: Cell) -> dict[str, Any]:
        start, experiment = time.process_time(), self.workshop.experiment(cell.options)
        log, options = experiment.log, MetricOptions(rounds=ROUNDS)
        sums = {name: METRICS[name](log, options).by_user() for name in FIGURES}
        content = {
            "options": _named(cell),
            "policy": _policy(cell),
            "cpu_seconds": round(time.process_time() - start, 1),
            "log": str(experiment.log_path),
            "user_idx": sums[FIGURES[0]].user_idx.tolist(),
            "sums": {
                name: [x.round(DECIMALS).tolist() for x in (of.numerator, of.denominator)]
                for name, of in sums.items()
            },
        }
        write_text(self._path(cell), json.dumps(content))
        return content

    def _path(self, cell: Cell) -> Path:
        method = re.sub(r"\W+", "-", cell.method.lower())
        path: Path = self._folder / cell.world / f"{method}-{cell.options.seed}.json"
        return path


def _named(cell: Cell) -> str:
    return digest(cell.options.model_dump(mode="json"))


def _policy(cell: Cell) -> str:
    """Digest of its policy's options, those that nobody chose as well."""
    options = policy_type(cell.options.policy).options_type(**cell.options.policy_options)
    return digest(options.model_dump(mode="json"))


def sums_of(kept: Mapping[str, Any]) -> dict[str, Sums]:
    """Sums of every user, a column for each of :data:`ROUNDS`."""
    users = np.array(kept["user_idx"])
    return {
        name: Sums.of_users(users, *(np.array(x) for x in of)) for name, of in kept["sums"].items()
    }


def means_of(kept: Mapping[str, Any]) -> dict[str, float]:
    """Figures over all users, by name and round."""
    return {
        f"{name}@{number}": float(top / bottom)
        for name, of in sums_of(kept).items()
        for number, top, bottom in zip(
            ROUNDS, of.numerator.sum(0), of.denominator.sum(0), strict=True
        )
    }
