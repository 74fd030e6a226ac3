"""Who gains what where users move and answer by other laws: every method in every world.

Usage: python benchmarks/laws.py PAGE.md [--dataset ml-100k] [--seeds 0 1 2] [--users 300]
    [--targets 20] [--worlds NAME ...] [--methods NAME ...] [--folder runs/laws]
    [--data-dir DIR] [--tuned docs/results/tuned-policies.json] [--only-finished]
Cells lie in FOLDER/cells, models and logs in FOLDER/store, so it goes on where it was killed, and
several of it may play at once, with other seeds; with --only-finished it plays nothing and writes
the page from what there is. Methods whose options `tuned_policies.py` has chosen are played with
these as well.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from laws_parts.page import body_of, content_of
from proactrec.data.load import DatasetOptions
from proactrec.errors import ProactrecError
from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.evaluation.benchmark.suites import RIVALS, Changes
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.simulator.worlds import LAWFUL, WORLDS
from shared.compact import read_figures
from shared.kept import Kept
from shared.page import origin, page_parser, write_page

OLD = tuple(
    f"{name}-v2"
    for name in ("flat", "medium", "steep", "factors", "neighbours", "content", "divided")
)
NEW = (*LAWFUL, "weak-receptivity-v1", "strong-receptivity-v1")
TUNED = Path(__file__).parents[1] / "docs" / "results" / "tuned-policies.json"


def main() -> None:
    """Play what is missing, seed by seed, and write the page."""
    arguments = _arguments()
    torch.set_num_threads(1)
    workshop = Workshop(arguments.folder / "store", arguments.data_dir)
    kept = Kept(arguments.folder / "cells", workshop)
    cells = _cells(arguments)
    if not arguments.only_finished:
        for cell in cells:
            _play(cell, kept)
    about = {name: str(value) for name, value in vars(arguments).items()}
    content = {"origin": origin(), "arguments": about, **content_of(cells, kept)}
    title = f"Who gains what under other laws, on {arguments.dataset}"
    write_page(arguments.page, title, content, body_of(content))


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=[*OLD, *NEW])
    parser.add_argument("--methods", nargs="+", help="all by default")
    parser.add_argument("--folder", type=Path, default=Path("runs/laws"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tuned", type=Path, default=TUNED)
    parser.add_argument("--only-finished", action="store_true")
    arguments = parser.parse_args()
    known = methods_of(arguments.tuned)
    if unknown := set(arguments.methods or ()) - set(known):
        parser.error(f"--methods must be of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    return arguments


def methods_of(tuned: Path) -> dict[str, Changes]:
    """The rivals, and again those with options that were chosen for them."""
    chosen: Mapping[str, Changes] = read_figures(tuned)["chosen"] if tuned.exists() else {}
    again = {f"{name}, tuned": {**RIVALS[name], **changes} for name, changes in chosen.items()}
    return {**RIVALS, **again}


def _cells(arguments: argparse.Namespace) -> list[Cell]:
    """All cells, those of the first seed first, and of a seed world by world."""
    changes = {"protocol.targets.n_targets": arguments.targets, "n_users": arguments.users}
    base = ExperimentOptions(dataset=DatasetOptions(name=arguments.dataset)).changed(changes)
    methods = methods_of(arguments.tuned)
    wanted = {name: methods[name] for name in arguments.methods or methods}
    cells = grid([base], wanted, (), arguments.seeds, named_worlds=arguments.worlds)
    return sorted(cells, key=lambda cell: arguments.seeds.index(cell.options.seed))


def _play(cell: Cell, kept: Kept) -> None:
    """Play a cell and say what it took; one that can't be is told of and left out."""
    try:
        found = kept.played(cell)
    except ProactrecError as error:
        print(f"failed: {cell.text}: {error}", flush=True)
        return
    print(f"{cell.text}: {found['cpu_seconds']} s of processor time", flush=True)


if __name__ == "__main__":
    main()
