"""Who gains what where users move and answer by other laws: every method in every world.

Usage: python benchmarks/laws.py PAGE.md [--dataset ml-100k] [--seeds 0 1 2] [--users 200]
    [--targets 12] [--worlds NAME ...] [--methods NAME ...] [--folder runs/laws]
    [--data-dir DIR] [--tuned docs/results/tuned-policies.json] [--encoder-epochs N]
    [--only-finished]
Cells lie in FOLDER/cells, models and logs in FOLDER/store, so it goes on where it was killed, and
several of it may play at once, with other seeds; with --only-finished it plays nothing and writes
the page from what there is. Methods whose options `tuned_policies.py` has chosen are played with
these as well; "Foresight, told the law" is told in every world what moves users there.
"""

import argparse
from pathlib import Path

from laws_parts.page import body_of, content_of
from laws_parts.told import TOLD, told_in
from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.simulator.worlds import LAWFUL, WORLDS
from shared.kept import TUNED, Kept, methods_of, parser_of
from shared.page import origin, write_page

OLD = tuple(
    f"{name}-v2"
    for name in ("flat", "medium", "steep", "factors", "neighbours", "content", "divided")
)
NEW = (
    *LAWFUL,
    "weak-receptivity-v1",
    "strong-receptivity-v1",
    "per-user-v2",
    "susceptibility-v1",
)


def main() -> None:
    """Play what is missing, seed by seed, and write the page."""
    arguments = _arguments()
    kept = Kept(arguments)
    cells = _cells(arguments, kept)
    for cell in cells:
        kept.played(cell)
    about = {name: str(value) for name, value in vars(arguments).items()}
    content = {"origin": origin(), "arguments": about, **content_of(cells, kept)}
    title = f"Who gains what under other laws, on {arguments.dataset}"
    write_page(arguments.page, title, content, body_of(content))


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_users=200, n_targets=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=[*OLD, *NEW])
    parser.add_argument("--methods", nargs="+", help="all by default")
    parser.add_argument("--tuned", type=Path, default=TUNED)
    parser.add_argument("--encoder-epochs", type=int, help="at most, where a policy has an encoder")
    arguments = parser.parse_args()
    known = {**methods_of(arguments.tuned), TOLD: {}}
    if unknown := set(arguments.methods or ()) - set(known):
        parser.error(f"--methods must be of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    return arguments


def _cells(arguments: argparse.Namespace, kept: Kept) -> list[Cell]:
    """All cells, those of the first seed first, and of a seed world by world."""
    methods = {**methods_of(arguments.tuned), TOLD: {}}
    names = list(arguments.methods or methods)
    if most := arguments.encoder_epochs:
        few = {"encoder_options": {"stopping": {"n_epochs": most}}}
        methods |= {
            name: {**of, **few}
            for name, of in methods.items()
            if kept.base.changed(of).needs_encoder
        }
    cells = []
    for world in arguments.worlds:
        of_world = {**methods, TOLD: told_in(WORLDS[world].options)}
        wanted = {name: of_world[name] for name in names}
        cells += grid([kept.base], wanted, (), arguments.seeds, named_worlds=[world])
    return sorted(cells, key=lambda cell: arguments.seeds.index(cell.options.seed))


if __name__ == "__main__":
    main()
