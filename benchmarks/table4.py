"""A results page from finished `proactrec benchmark`s: their tables, and who is better than whom.

Usage: proactrec benchmark --dataset ml-100k --filter paper --protocol official --protocol common
       --seed 0 --seed 1 --seed 2 --store runs/artefacts --out runs/table4
       python benchmarks/table4.py runs/table4 docs/results/table4-ml-100k.md
Differences are paired: same users, targets and luck; the interval is a 95 % bootstrap over users,
and a verdict needs every seed to agree. `plots.py` draws the pictures.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.evaluation.comparison import compare_in
from proactrec.measurement.comparison import Difference
from proactrec.measurement.results import CellResult, read_cells
from proactrec.report.benchmark.figures import file_name
from shared.page import origin, write_page
from table4_parts.pictures import names_of

ORDERINGS = (
    ("ITMPRec", "IPG"),
    ("ITMPRec", "nearest-to-target"),
    ("ITMPRec", "w/o TIAC"),
    ("ITMPRec", "w/o IIS"),
    ("w/o TIAC", "nearest-to-target"),
    ("IPG", "nearest-to-target"),
    ("IPG", "IRN"),
    ("IRN", "SASRec"),
    ("IRN", "ICLRec"),
    ("IRN", "MStein"),
    ("IRN", "BSARec"),
    ("IRN", "ICSRec"),
    ("IRN", "random"),
    ("IRN, re-planned", "IRN"),
    ("Foresight", "ITMPRec"),
    ("Foresight", "one round"),
    ("Foresight", "no learning"),
    ("Foresight", "one view"),
    ("Foresight", "interest alone"),
    ("exploring", "Foresight"),
    ("Foresight", "paper's law"),
    ("oracle-lookahead", "Foresight"),
    ("oracle-greedy", "ITMPRec"),
    ("oracle-lookahead", "oracle-greedy"),
)
KEPT = {"dataset", "method", "world", "protocol", "seed", "metrics", "outcome", "pairs", "seconds"}


def main() -> None:
    """Write the page and its JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="what `proactrec benchmark` wrote")
    parser.add_argument("page", type=Path)
    parser.add_argument("--title", help="of the page; Table 4 by default")
    parser.add_argument(
        "--beside", nargs=2, metavar=("FIRST", "SECOND"), help="two methods to compare seed by seed"
    )
    arguments = parser.parse_args()
    taken: dict[str, set[str]] = {}
    sections = [section(folder, arguments.page.stem, taken) for folder in arguments.folders]
    cells = [cell for one in sections for cell in one.cells]
    content: dict[str, Any] = {
        "origin": origin(),
        "cells": [cell.model_dump(mode="json", include=KEPT, exclude_unset=True) for cell in cells],
        "differences": [difference for one in sections for difference in one.differences],
    }
    title = arguments.title or f"Table 4 on {cells[0].dataset}: every method with the same users"
    lines = [line for one in sections for line in one.lines]
    if arguments.beside:
        lines = [*by_seed(cells, *arguments.beside), *lines]
    body = "\n".join(lines)
    write_page(arguments.page, title, content, body)
    print(arguments.page.read_text())


HEAD = (
    "| is … better than … | IoI@20 | by IoI | IoR@20 | by IoR |",
    "| --- | --- | --- | --- | --- |",
)


class Section(NamedTuple):
    """What a page says of one benchmark."""

    lines: list[str]
    cells: list[CellResult]
    differences: list[dict[str, Any]]


def section(folder: Path, stem: str, taken: dict[str, set[str]]) -> Section:
    """Tables, pictures and orderings of one benchmark; `taken`: of the page's headings, methods."""
    cells = read_cells(folder)
    methods = {cell.method for cell in cells}
    found = differences(folder, methods)
    parts: list[str] = []
    for place in dict.fromkeys(place_of(cell) for cell in cells):
        table = (folder / "tables" / f"{file_name(*place)}.md").read_text()
        shown = [f"![{said}]({name})" for name, said in names_of(stem, place, methods).items()]
        here = list(dict.fromkeys(cell.method for cell in cells if place_of(cell) == place))
        parts += [f"## {heading(', '.join(place), here, taken)}", "", table]
        parts += ["\n\n".join(shown), ""]
        parts += [*orderings(found, ", ".join(place)), ""]
    said = [
        {"first": first, "second": second, "place": place, **d._asdict(), "verdict": d.verdict}
        for (first, second), by_place in found.items()
        for place, ds in by_place.items()
        for d in ds
    ]
    return Section(parts, cells, said)


def place_of(cell: CellResult) -> tuple[str, str, str]:
    """Data set, protocol and world."""
    return cell.dataset, cell.protocol, cell.world


def heading(place: str, methods: list[str], taken: dict[str, set[str]]) -> str:
    """The place, and what is new where the page has told of it already; notes it in `taken`."""
    known = taken.setdefault(place, set())
    new = [method for method in methods if method not in known]
    text = f"{place}: {', '.join(new or methods)}" if known else place
    known.update(methods)
    return text


def by_seed(cells: list[CellResult], first: str, second: str) -> list[str]:
    """Markdown lines: one method beside another in every world, a figure for each seed."""
    found: dict[str, dict[tuple[str, int], CellResult]] = {}
    for cell in cells:
        found.setdefault(cell.world, {})[cell.method, cell.seed] = cell
    seeds = sorted({cell.seed for cell in cells})
    lines = [
        f"## {first} beside {second}, seeds {' / '.join(map(str, seeds))}",
        "",
        f"| world | IoI@20 | {first}'s | IoR@20 (cut 200) | targets accepted | HR@20 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for world, of_world in found.items():
        pairs = [(of_world[first, seed], of_world[second, seed]) for seed in seeds]
        columns = [
            [f"{last(a, 'ioi') / last(b, 'ioi') - 1:+.0%}" for a, b in pairs],
            [f"{last(a, 'ioi'):.3f}" for a, _ in pairs],
            [f"{last(a, 'ior200') / last(b, 'ior200') - 1:+.0%}" for a, b in pairs],
            [f"× {accepting(a) / accepting(b):.1f}" for a, b in pairs],
            [f"{last(a, 'hr') - last(b, 'hr'):+.2f}" for a, b in pairs],
        ]
        lines.append(f"| {world} | {' | '.join(' / '.join(column) for column in columns)} |")
    return [*lines, ""]


def last(cell: CellResult, metric: str) -> float:
    """A mean at the last round."""
    return cell.metrics[metric][20].mean


def accepting(cell: CellResult) -> float:
    """Share of campaigns whose target was accepted."""
    return cell.outcome["target_accepted"].mean


def differences(
    folder: Path, methods: set[str]
) -> dict[tuple[str, str], dict[str, list[Difference]]]:
    """Of every ordering whose two methods were run."""
    return {
        pair: compare_in(folder, *pair, ("hr", "ioi", "ior", "ior200"))
        for pair in ORDERINGS
        if set(pair) <= methods
    }


def orderings(found: dict[tuple[str, str], dict[str, list[Difference]]], place: str) -> list[str]:
    """Markdown lines: who is better at the last round."""
    rank = "ior" if ", official," in place else "ior200"
    lines: list[str] = []
    for (first, second), by_place in found.items():
        last = {d.metric: d for d in by_place.get(place, [])}
        if not last:
            continue
        cells = []
        for metric, decimals in (("ioi", 4), (rank, 1)):
            mean, low, high = (f"{x:+.{decimals}f}" for x in last[metric].estimate)
            cells += [f"{mean} ({low} to {high})", last[metric].verdict]
        lines.append(f"| {first} − {second} | {' | '.join(cells)} |")
    return [*HEAD, *lines] if lines else []


if __name__ == "__main__":
    main()
