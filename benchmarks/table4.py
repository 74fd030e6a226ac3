"""A results page from a finished `proactrec benchmark`: its tables, and who is better than whom.

Usage: proactrec benchmark --dataset ml-100k --filter paper --protocol official --protocol common
       --seed 0 --seed 1 --seed 2 --store runs/artefacts --out runs/table4
       python benchmarks/table4.py runs/table4 docs/results/table4-ml-100k.md
The plots go beside the page. Differences are paired: same users, targets and luck; the interval is
a 95 % bootstrap over users, and a verdict needs every seed to agree.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from page import origin, write_page
from proactrec.evaluation.comparison import CELLS, Difference, compare_in
from proactrec.report.benchmark_tables import file_name

ORDERINGS = (
    ("ITMPRec", "IPG"),
    ("ITMPRec", "nearest-to-target"),
    ("IPG", "nearest-to-target"),
    ("IPG", "IRN"),
    ("IRN", "SASRec"),
    ("IRN", "ICLRec"),
    ("IRN", "BSARec"),
    ("IRN", "random"),
    ("IRN, re-planned", "IRN"),
    ("oracle-greedy", "ITMPRec"),
    ("oracle-lookahead", "oracle-greedy"),
)
KEPT = ("method", "world", "protocol", "seed", "metrics", "outcome", "pairs", "seconds")


def main() -> None:
    """Write the page, its JSON and its plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what `proactrec benchmark` wrote")
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    folder, page = arguments.folder, arguments.page
    cells = list(json.loads((folder / CELLS).read_text()).values())
    found = differences(folder, {cell["method"] for cell in cells})
    parts = []
    figures = pl.read_parquet(folder / "figures.parquet")
    for place in figures.select("dataset", "protocol", "world").unique(maintain_order=True).rows():
        name = file_name(*place)
        picture = f"{page.stem}-{name}.png"
        shutil.copyfile(folder / "plots" / f"{name}-interest.png", page.parent / picture)
        table = (folder / "tables" / f"{name}.md").read_text()
        parts += [f"## {', '.join(place)}", "", table, f"![IoI over the rounds]({picture})", ""]
        parts += [*orderings(found, ", ".join(place)), ""]
    content: dict[str, Any] = {
        "origin": origin(),
        "cells": [{name: cell[name] for name in KEPT} for cell in cells],
        "differences": [
            {"first": first, "second": second, "place": place, **d._asdict(), "verdict": d.verdict}
            for (first, second), by_place in found.items()
            for place, ds in by_place.items()
            for d in ds
        ],
    }
    title = f"Table 4 on {figures['dataset'][0]}: every method with the same users"
    write_page(page, title, content, "\n".join(parts))
    print(page.read_text())


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
    lines = [
        "| is … better than … | IoI@20 | | IoR@20 | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (first, second), by_place in found.items():
        last = {d.metric: d for d in by_place.get(place, [])}
        if not last:
            continue
        cells = []
        for metric, decimals in (("ioi", 4), (rank, 1)):
            mean, low, high = (f"{x:+.{decimals}f}" for x in last[metric].estimate)
            cells += [f"{mean} ({low} to {high})", last[metric].verdict]
        lines.append(f"| {first} − {second} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
