"""How the uniformity weight and depth of GraphAU spread its vectors and rank held-out items.

Usage: python benchmarks/graphau_sensitivity.py DATASET OUT.json [--seeds 0 1 2] [--page PAGE.md]
Fits the grid one cell after another, keeps finished cells in OUT.json, and prints a table. The
default of `GraphAUOptions` is the cell with the best validation NDCG@20; IoI is never looked at.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from proactrec.data.load import load_dataset
from proactrec.files import write_json
from proactrec.graphau import GraphAUOptions, fit_graphau, spread
from shared.page import origin, write_page

WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
RANKED = ("ndcg@20", "hr@20")


def main() -> None:
    """Fit what is missing and print the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weights", type=float, nargs="+", default=list(WEIGHTS))
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--filter", default="k-core")
    parser.add_argument("--stop-on", default="ndcg")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(arguments.dataset, filter=arguments.filter)
    cells: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for seed in arguments.seeds:
        for depth in arguments.depths:
            for weight in arguments.weights:
                name = f"n_layers={depth} uniformity_weight={weight} seed={seed}"
                if name in cells:
                    continue
                options = GraphAUOptions(
                    uniformity_weight=weight, n_layers=depth, stop_on=arguments.stop_on
                )
                vectors, record = fit_graphau(dataset, options, seed=seed)
                cells[name] = {**spread(dataset, vectors), "n_epochs": len(record.epochs)}
                write_json(arguments.out, cells)
    print(table(cells))
    if arguments.page:
        title = f"GraphAU on {arguments.dataset}: spread of the vectors and held-out ranking"
        write_page(arguments.page, title, {"origin": origin(), "cells": cells}, table(cells))


def table(cells: dict[str, Any]) -> str:
    """Markdown table of the finished grid, means over the seeds that a cell has."""
    lines = [
        "| layers | uniformity weight | cosine random | train | held out | deviation (random) "
        "| validation NDCG@20 | HR@20 | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    by_setting: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, cell in cells.items():
        depth, weight, _ = (part.split("=")[1] for part in name.split())
        by_setting.setdefault((depth, weight), []).append(cell)
    for (depth, weight), found in sorted(by_setting.items()):
        cosine = [
            fmean(cell["cosine"][kind]["mean"] for cell in found)
            for kind in ("random", "train", "held_out")
        ]
        deviation = fmean(cell["cosine"]["random"]["std"] for cell in found)
        ndcg, hr = (fmean(cell["validation"][name] for cell in found) for name in RANKED)
        lines.append(
            f"| {depth} | {weight} | {' | '.join(f'{value:.3f}' for value in cosine)} "
            f"| {deviation:.3f} | {ndcg:.4f} | {hr:.4f} | {len(found)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
