"""How the uniformity weight and depth of GraphAU spread its vectors and rank held-out items.

Usage: python benchmarks/graphau_sensitivity.py DATASET OUT.json [--seeds 0 1 2]
Fits the grid one cell after another, keeps finished cells in OUT.json, and prints a table. The
default of `GraphAUOptions` is the cell with the best validation NDCG@20; IoI is never looked at.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from proactrec.data.load import load_dataset
from proactrec.evaluation.store import write_json
from proactrec.graphau import GraphAUOptions, fit_graphau, spread

WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
DEPTHS = (1, 2, 3)


def main() -> None:
    """Fit what is missing and print the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--filter", default="k-core")
    parser.add_argument("--stop-on", default="ndcg")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(arguments.dataset, filter=arguments.filter)
    cells: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for seed in arguments.seeds:
        for depth in DEPTHS:
            for weight in WEIGHTS:
                name = f"n_layers={depth} uniformity_weight={weight} seed={seed}"
                if name in cells:
                    continue
                options = GraphAUOptions(
                    uniformity_weight=weight, n_layers=depth, stop_on=arguments.stop_on
                )
                vectors, record = fit_graphau(dataset, options, seed=seed)
                cells[name] = {**spread(dataset, vectors), "n_epochs": len(record.epochs)}
                write_json(arguments.out, cells)
    print(table(cells, arguments.seeds))


def table(cells: dict[str, Any], seeds: list[int]) -> str:
    """Markdown table of the grid, means over seeds."""
    lines = [
        "| layers | uniformity weight | cosine random | train | held out | deviation (random) "
        "| validation NDCG@20 | HR@20 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for depth in DEPTHS:
        for weight in WEIGHTS:
            found = [
                cells[f"n_layers={depth} uniformity_weight={weight} seed={seed}"] for seed in seeds
            ]

            def mean(*path: str, found: list[Any] = found) -> float:
                values = []
                for cell in found:
                    for part in path:
                        cell = cell[part]
                    values.append(float(cell))
                return sum(values) / len(values)

            lines.append(
                f"| {depth} | {weight} "
                f"| {mean('cosine', 'random', 'mean'):.3f} | {mean('cosine', 'train', 'mean'):.3f} "
                f"| {mean('cosine', 'held_out', 'mean'):.3f} "
                f"| {mean('cosine', 'random', 'std'):.3f} "
                f"| {mean('validation', 'ndcg@20'):.4f} | {mean('validation', 'hr@20'):.4f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
