"""How well every encoder predicts the test item: full ranking, seen items left out, over seeds.

Usage: python benchmarks/encoders.py DATASET PAGE.md [--filter paper] [--encoders sasrec iclrec …]
       [--seeds 0 1 2] [--item-start random]
Finished stages lie in runs/artefacts, so it goes on where it was killed; figures that the page's
JSON holds already are kept, with the commit and date that measured them (another page to start
afresh). The epoch with the best validation NDCG@20 counts; intervals are 95 % over seeds
(Student's t).
"""

import argparse
from pathlib import Path
from typing import Any

from proactrec.data.load import DatasetOptions
from proactrec.encoders.fitting import ENCODERS
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from shared.compact import read_figures
from shared.page import origin, page_parser, write_page
from shared.tables import interval

FIGURES = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")
BSAREC_LOG = (0.0523, 0.0807, 0.1174, 0.0344, 0.0435, 0.0526)
PUBLISHED = {("lastfm", "k-core", "bsarec"): ("authors' log", BSAREC_LOG)}


def main() -> None:
    """Train what is missing and write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--filter", default="paper")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--item-start", choices=["graphau", "random"], default="graphau")
    arguments = parser.parse_args()
    about = {k: str(v) for k, v in vars(arguments).items()}
    cells = measured_before(arguments.page.with_suffix(".json"), about)
    for seed in arguments.seeds:
        for name in arguments.encoders:
            key = f"{name} seed={seed}"
            if key not in cells:
                cells[key] = {**measured(arguments, name, seed), "origin": origin()}
            print(name, seed, cells[key]["test"], flush=True)
    body = table(arguments, cells)
    print(body)
    title = f"Next-item prediction on {arguments.dataset} ({arguments.filter})"
    content = {"origin": origin(), "arguments": about, "cells": cells}
    write_page(arguments.page, title, content, body)


def measured_before(path: Path, about: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Cells of the page's JSON, each with its origin; none if they had other settings."""
    if not path.exists():
        return {}
    content = read_figures(path)
    if any(
        content["arguments"][name] != about[name] for name in ("dataset", "filter", "item_start")
    ):
        return {}
    return {key: {"origin": content["origin"], **cell} for key, cell in content["cells"].items()}


def measured(arguments: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Figures of one encoder and of popularity, and how it was trained."""
    options = ExperimentOptions(
        dataset=DatasetOptions(name=arguments.dataset, filter=arguments.filter),
        encoder=name,
        encoder_options={} if arguments.item_start == "graphau" else {"item_start": "random"},
        seed=seed,
    )
    experiment = Experiment(options, Path("runs/artefacts"))
    figures = experiment.fitting.next_item["test"]
    return {
        "test": figures[name],
        "popularity": figures["popularity"],
        "validation": experiment.fitting.next_item["validation"][name],
        "n_parameters": sum(p.numel() for p in experiment.fitting.encoder.parameters()),
        "seconds": experiment.seconds.get("encoder"),
    }


def table(arguments: argparse.Namespace, cells: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row per encoder, published figures below, popularity last."""
    labels = " | ".join(name.upper() for name in FIGURES)
    lines = [f"| encoder | {labels} | parameters |", f"| --- | {'--- | ' * len(FIGURES)}--- |"]
    for name in arguments.encoders:
        found = [cells[f"{name} seed={seed}"] for seed in arguments.seeds]
        texts = [interval([cell["test"][figure] for cell in found], 4) for figure in FIGURES]
        lines.append(f"| {name} | {' | '.join(texts)} | {found[0]['n_parameters']:,} |")
        source, values = PUBLISHED.get((arguments.dataset, arguments.filter, name), ("", ()))
        if values:
            texts = [f"{value:.4f}" for value in values]
            lines.append(f"| ↳ published ({source}) | {' | '.join(texts)} | |")
    popularity = next(iter(cells.values()))["popularity"]
    texts = [f"{popularity[figure]:.4f}" for figure in FIGURES]
    lines.append(f"| popularity | {' | '.join(texts)} | |")
    starts = {
        "graphau": "Item vectors start from GraphAU's, as in all guidance runs.",
        "random": "Item vectors start at random, as in the encoders' own papers.",
    }
    n = len(arguments.seeds)
    note = f"{starts[arguments.item_start]} Mean over {n} seed{'s' if n > 1 else ''}"
    lines += ["", note + (" ± half of the 95 % interval." if n > 1 else ".")]
    times = {(cell["origin"]["commit"][:12], cell["origin"]["date"]) for cell in cells.values()}
    if len(times) > 1:
        lines += [
            "",
            f"Measured at {', '.join(f'`{commit}` ({day})' for commit, day in sorted(times))}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
