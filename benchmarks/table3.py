"""Table 3 of the paper: full ITMPRec and without P, IIS or TIAC, over seeds.

Usage: python benchmarks/table3.py DATASET OUT.json [--protocol official common] [--page PAGE.md]
Finished stages lie in runs/artefacts, so it goes on where it was killed. Means and 95 % intervals
are over seeds (Student's t); the paper's figures stand beside them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import protocol_of
from proactrec.files import write_json
from proactrec.report.published import published_figures
from shared.page import origin, write_page
from shared.tables import interval, table

VARIANTS: dict[str, tuple[str, ...]] = {
    "ITMPRec": (),
    "w/o P": ("P",),
    "w/o IIS": ("IIS",),
    "w/o TIAC": ("TIAC",),
}
PUBLISHED_ORDER = ("w/o P", "w/o IIS", "w/o TIAC", "ITMPRec")
KEPT = (
    "dataset", "n_users", "n_items", "n_interactions", "category", "policy", "without", "protocol",
    "seed", "metrics", "outcome", "pairs", "next_item", "popularity", "interest_vectors",
    "interest_ranking", "response", "seconds", "peak_memory_mb", "versions",
)  # fmt: skip
FIGURES = ("hr", "ioi", "ior")


def main() -> None:
    """Run what is missing, keep it in OUT.json, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path)
    parser.add_argument("--protocol", nargs="+", default=["official", "common"])
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    cells: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for seed in arguments.seeds:
        for protocol in arguments.protocol:
            for name, without in VARIANTS.items():
                key = f"{protocol} {name} seed={seed}"
                if key not in cells:
                    cells[key] = run(arguments.dataset, protocol, without, seed)
                    write_json(arguments.out, cells)
                    print(key, cells[key]["metrics"]["ioi"]["20"], flush=True)
    body = figures_table(arguments.dataset, cells, arguments.protocol, arguments.seeds)
    print(body)
    if arguments.page:
        title = f"Table 3 on {arguments.dataset}: ITMPRec and its parts"
        write_page(arguments.page, title, {"origin": origin(), "cells": cells}, body)


def run(dataset: str, protocol: str, without: tuple[str, ...], seed: int) -> dict[str, Any]:
    """One cell: the content of a run's metrics.json, and which code made it."""
    chosen = protocol_of(protocol)
    options = ExperimentOptions(
        dataset=DatasetOptions(name=dataset, filter=chosen.filter),
        protocol=chosen,
        without=without,
        seed=seed,
    )
    result = Experiment(options, Path("runs/artefacts")).result().content()
    return {**{name: result[name] for name in KEPT}, "origin": origin()}


def figures_table(
    dataset: str, cells: dict[str, Any], protocols: list[str], seeds: list[int]
) -> str:
    """A row per protocol and variant, published figures first."""
    lines = []
    published = published_figures(dataset)
    for name in (name for name in PUBLISHED_ORDER if name in published):
        hr, ioi, ior = (published[name][figure, 20] for figure in FIGURES)
        lines.append(["published", name, f"{hr:.4f}", f"{ioi:.4f}", f"{ior:.1f}"])
    for protocol in protocols:
        figure_names = FIGURES if protocol == "official" else ("hr", "ioi", "ior200")
        for name in VARIANTS:
            found = [cells[f"{protocol} {name} seed={seed}"]["metrics"] for seed in seeds]
            texts = [
                interval(
                    [cell[figure]["20"]["mean"] for cell in found], 1 if "ior" in figure else 4
                )
                for figure in figure_names
            ]
            lines.append([protocol, name, *texts])
    return table(["protocol", "variant", "HR@20", "IoI@20", "IoR@20"], lines)


if __name__ == "__main__":
    main()
