"""Cells that are kept as small JSON files: a cell's figures as sums of every user."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proactrec.config import digest
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.metrics import METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.files import read_json, write_text
from proactrec.measurement.sums import Sums

ROUNDS = (5, 10, 20)
FIGURES = ("ioi", "hr", "target_accepted")
"""Of every cell, after each of these rounds."""
DECIMALS = 6


class Kept:
    """Cells by world, method and seed, below a folder; each is played once.

    A cell whose settings have changed is played anew. Its log lies in the store of the workshop, so
    that a killed run loses at most the cell that it was playing.
    """

    def __init__(self, folder: Path, workshop: Workshop) -> None:
        self._folder, self._workshop = folder, workshop

    def of(self, cell: Cell) -> dict[str, Any] | None:
        """What is kept of a cell; None before it is played."""
        path = self._path(cell)
        found = read_json(path) if path.exists() else None
        return found if found is not None and found["options"] == _named(cell) else None

    def played(self, cell: Cell) -> dict[str, Any]:
        """The same, played if need be."""
        found = self.of(cell)
        return self._play(cell) if found is None else found

    def _play(self, cell: Cell) -> dict[str, Any]:
        start, experiment = time.process_time(), self._workshop.experiment(cell.options)
        log, options = experiment.log, MetricOptions(rounds=ROUNDS)
        sums = {name: METRICS[name](log, options).by_user() for name in FIGURES}
        content = {
            "options": _named(cell),
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
        return self._folder / cell.world / f"{method}-{cell.options.seed}.json"


def _named(cell: Cell) -> str:
    return digest(cell.options.model_dump(mode="json"))


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


def by_place(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """Cells by world and method, those of a place by seed."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.options.seed):
        found.setdefault((cell.world, cell.method), []).append(cell)
    return found
