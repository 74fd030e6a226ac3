"""The pictures of all results pages, from their JSON: `make results`.

Usage: python benchmarks/plots.py [--results docs/results] [--only TEXT]
Pages are written without them, and none is kept in the repository but the README's. A page's study
is the script of the command in its origin.
"""

import argparse
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import acceptance_worth
import rails_price
import serving_parts.pictures
import table4_parts.pictures
import worth_parts.pictures
from proactrec.report.drawing import save_figure
from shared.compact import read_figures
from shared.pictures import Pictures

STUDIES: Mapping[str, Callable[[Mapping[str, Any], str], Pictures]] = {
    "acceptance_worth": acceptance_worth.pictures,
    "rails_price": rails_price.pictures,
    "serving": serving_parts.pictures.pictures,
    "table4": table4_parts.pictures.pictures,
    "worth": worth_parts.pictures.pictures,
}
"""Script → what it draws, of its figures and the name of the page."""
KEPT = ("demo.png",)
"""Drawn by `demo.py`, of what its JSON does not hold, and kept: the README shows it."""
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"


def main() -> None:
    """Draw what is wanted beside the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the pages")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose name holds it")
    asked = parser.parse_args()
    paths = [path for path in sorted(asked.results.glob("*.json")) if asked.only in path.stem]
    for path in paths:
        for name, draw in pictures_of(path).items():
            save_figure(draw(), asked.results / name)
            print(asked.results / name, flush=True)


def pictures_of(path: Path) -> Pictures:
    """The pictures of the page whose JSON this is; of most there are none."""
    content = read_figures(path)
    script = Path(shlex.split(content["origin"]["command"])[1]).stem
    study = STUDIES.get(script)
    return study(content, path.stem) if study else {}


if __name__ == "__main__":
    main()
