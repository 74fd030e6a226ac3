"""Targets accepted before users leave, worth and interest: Foresight, its oracle and its rivals.

Usage: python benchmarks/worth.py DATASET PAGE.md [--seeds 0 1 2] [--n-targets 20] [--n-users 400]
    [--workers 1] [--data-dir DIR] [--store runs/artefacts]
    [--worlds medium flat steep factors content] [--parts grid interest hazard ablation rails]
    [--only-finished]
Finished stages lie in the store, so it goes on where it was killed; with --only-finished it plays
nothing and writes the page from what there is, also while another process plays. `plots.py` draws
the picture.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proactrec.config import digest
from proactrec.errors import ProactrecError
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.files import write_text
from proactrec.measurement.results import CellResult
from shared.cells import parser_of, say, set_up
from shared.page import origin, write_page
from worth_parts.cases import PARTS, WORLDS, Bases, Case, cases_of, named
from worth_parts.figures import Judge
from worth_parts.page import body_of
from worth_parts.pictures import pictures


def main() -> None:
    """Play what is missing, seed by seed, and write the page."""
    arguments = _arguments()
    base, workshop = set_up(arguments)
    ledger = Ledger(arguments.store / f"{arguments.page.stem}-cells.json")
    cases = [
        case
        for seed in arguments.seeds
        for case in cases_of(Bases(base, tuple(arguments.worlds), seed), arguments.parts)
    ]
    if not arguments.only_finished:
        for seed in arguments.seeds:
            _play([case for case in cases if case.options.seed == seed], workshop, ledger)
    _write(arguments, cases, workshop, ledger)


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_targets=20, n_users=400)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--only-finished", action="store_true")
    return parser.parse_args()


class Ledger:
    """Where the logs of finished cells are, so that pages can be made of them at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logs: dict[str, str] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )

    def note(self, cell: Cell, result: CellResult) -> None:
        """Keep a finished cell, and say so."""
        assert result.log is not None
        self._logs[digest(named(cell.options))] = str(result.log)
        write_text(self._path, json.dumps(self._logs))
        print(f"{cell.text}: {result.seconds.get('guidance', 0):.0f} s", flush=True)

    def log_of(self, case: Case) -> Path | None:
        """The log that a case needs, if it is there."""
        found = self._logs.get(digest(named(case.played)))
        return Path(found) if found is not None and Path(found).exists() else None


def _play(cases: Sequence[Case], workshop: Workshop, ledger: Ledger) -> None:
    """Run the cells of a seed, each once; cells that can't be are told of and left out."""
    cells: dict[str, Cell] = {}
    for case in cases:
        cells.setdefault(digest(named(case.played)), case.cell)
    try:
        run([*cells.values()], workshop, progress=say, finished=ledger.note)
    except ProactrecError as error:
        print(f"failed: {error}", flush=True)


def _write(
    arguments: argparse.Namespace, cases: Sequence[Case], workshop: Workshop, ledger: Ledger
) -> None:
    """Page, JSON and plot, of what is finished."""
    judge, groups = Judge(workshop), defaultdict[tuple[str, str, str], list[Case]](list)
    missing = [case for case in cases if ledger.log_of(case) is None]
    for case in cases:
        groups[case.part, case.world, case.leaving].append(case)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for group in groups.values():
        paths = [(case, path) for case in group if (path := ledger.log_of(case)) is not None]
        found, less = judge.judged(paths)
        rows, differences = rows + found, differences + less
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "missing": [f"{c.part}/{c.world}/{c.leaving} {c.method} {c.options.seed}" for c in missing],
        "rows": rows,
        "differences": differences,
    }
    body = body_of(content, pictures(content, arguments.page.stem))
    write_page(arguments.page, f"What campaigns are worth, on {arguments.dataset}", content, body)


if __name__ == "__main__":
    main()
