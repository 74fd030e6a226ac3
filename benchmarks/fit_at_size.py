"""What fitting takes at size: seconds and memory by interactions, steps of touched rows or of all.

Usage: python benchmarks/fit_at_size.py PAGE.md [--users 100000] [--items 100000]
       [--interactions 10000000] [--folder runs/fit-at-size] [--data-dir DIR]
A random log is written once. GraphAU and SASRec are fitted for an epoch, companions whole, on a
quarter, half and all of the users; steps are timed on tables of two sizes; and what both kinds of
steps rank is compared on ML-100k and MovieTweetings after few epochs. Every figure is found on one
thread in a process of its own and kept in the folder, so it goes on where it was killed.
"""

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from proactrec.files import write_json
from shared.child import taken
from shared.page import origin, write_page
from shared.tables import interval

LIMIT_GIB = 6.0
SHARES = (0.25, 0.5, 1.0)
STAGES = {"graphau": "GraphAU, an epoch", "sasrec": "SASRec, an epoch", "companions": "companions"}
ROWS = (10_000, 50_000, 100_000, 1_000_000)
KINDS = ("dense", "touched")
SEEDS = (0, 1, 2)
DATASETS = {"ml-100k": "ML-100k", "movietweetings": "MovieTweetings"}
FIGURES = {"graphau": ("hr@20", "ndcg@20"), "sasrec": ("hr@10", "ndcg@10")}
KEPT = (671, 67)
"""Pairs of an item that are kept where there are 100,000 and a million items."""
N_RANKED, MANY_ITEMS = 200, 1_000_000
Cells = dict[str, dict[str, Any]]


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="Markdown page to write")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/fit-at-size"))
    parser.add_argument("--data-dir", help="of ML-100k and MovieTweetings; else PROACTREC_DATA")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cells = {name: found(arguments.folder, name, cell) for name, cell in asked(arguments).items()}
    body = "\n\n".join(
        (at_size(cells), step_times(cells), ranking(cells), quality(cells), companions(cells))
    )
    print(body)
    size = f"{arguments.users:,} users, {arguments.items:,} items"
    write_page(
        arguments.page,
        f"Fitting on {size} and {cells['log']['n_interactions']:,} interactions",
        {"origin": origin(), "cells": cells},
        body,
    )
    if max(cell["gib"] for name, cell in cells.items() if name.startswith("stage")) > LIMIT_GIB:
        raise SystemExit(1)


def asked(arguments: argparse.Namespace) -> Cells:
    """Everything to be measured, the log first, by name."""
    sizes = arguments.users, arguments.items, arguments.interactions
    path = str(arguments.folder / f"log-{'-'.join(map(str, sizes))}.npz")
    named = dict(zip(("n_users", "n_items", "n_interactions"), sizes, strict=True))
    cells: Cells = {"log": {"kind": "log", "path": path, **named}}
    for name, share in product(STAGES, SHARES):
        cells[f"stage {name} {share}"] = {
            "kind": "stage",
            "name": name,
            "log": path,
            "share": share,
        }
    for model, rows, kind in product(FIGURES, ROWS, KINDS):
        about = {"kind": "steps", "model": model, "n_rows": rows, "table_steps": kind}
        cells[f"steps {model} {rows} {kind}"] = about
    for block in (1, 32):
        about = {"kind": "ranked", "n_users": N_RANKED, "n_items": MANY_ITEMS}
        cells[f"ranked {block}"] = {**about, "block_users": block}
    return cells | of_data_sets(arguments.data_dir)


def of_data_sets(data_dir: str | None) -> Cells:
    """What is measured on ML-100k and MovieTweetings, by name."""
    cells: Cells = {}
    for dataset, kept in product(DATASETS, KEPT):
        about = {"kind": "companions", "dataset": dataset, "kept": kept, "data_dir": data_dir}
        cells[f"companions {dataset} {kept}"] = about
    for dataset, model, kind, seed in product(DATASETS, FIGURES, KINDS, SEEDS):
        about = {"kind": "quality", "model": model, "dataset": dataset, "table_steps": kind}
        cells[f"quality {model} {dataset} {kind} {seed}"] = {
            **about, "seed": seed, "data_dir": data_dir,
        }  # fmt: skip
    return cells


def found(folder: Path, name: str, cell: dict[str, Any]) -> dict[str, Any]:
    """What a cell's process told, and the most memory it took; measured once."""
    path = folder / f"{name.replace(' ', '-')}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept["cell"] == cell:
            return kept
    script = Path(__file__).with_name("fit_stages.py")
    done = taken([sys.executable, str(script), json.dumps(cell)])
    if done.code:
        raise SystemExit(f"{name} ended with code {done.code}")
    told = {"cell": cell, "gib": done.gib}
    told |= json.loads(done.out.splitlines()[-1])
    write_json(path, told)
    print(f"{name}: {done.seconds:.1f} s, {done.gib:.2f} GiB", flush=True)
    return told


def at_size(cells: Cells) -> str:
    """Markdown: seconds and memory of every stage by interactions."""
    lines = [
        "| stage | users | interactions | seconds | CPU seconds | per million interactions "
        "| memory, GiB | validation |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, label in STAGES.items():
        for share in SHARES:
            cell = cells[f"stage {name} {share}"]
            each = cell["cpu_seconds"] / cell["n_interactions"] * 1e6
            whom = cell["note"].partition(" of ")[2] or ("all users" if cell["note"] else "–")
            lines.append(
                f"| {label} | {cell['n_users']:,} | {cell['n_interactions']:,} "
                f"| {cell['seconds']:,.0f} | {cell['cpu_seconds']:,.0f} | {each:.1f} "
                f"| {cell['gib']:.2f} | {whom} |"
            )
    longest = cells["log"]["longest"]
    return "\n".join(
        [
            *lines,
            "",
            f"One thread. Memory is the most of the whole process, Python, torch and the data set "
            f"included; the limit is {LIMIT_GIB:.0f} GiB. The smaller logs are the first users of "
            f"the largest, over all items. Users go by four of 500 groups of items, in which few "
            f"are popular, and a fifth of their items are from anywhere; the longest history has "
            f"{longest:,} items. SASRec reads the newest 50 items of a user. Of an epoch a quarter "
            "of the batches are stepped and counted four times; validation is part of it.",
        ]
    )


def step_times(cells: Cells) -> str:
    """Markdown: a step of both kinds by the rows of the tables."""
    lines = [
        "## A step, of all rows or of touched ones",
        "",
        "| model | rows of a table | dense, ms | touched, ms | ratio | memory dense, GiB "
        "| touched, GiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model in FIGURES:
        for rows in ROWS:
            dense, touched = (cells[f"steps {model} {rows} {kind}"] for kind in KINDS)
            ms = [1e3 * cell["cpu_seconds"] for cell in (dense, touched)]
            lines.append(
                f"| {STAGES[model].partition(',')[0]} | {rows:,} | {ms[0]:,.0f} | {ms[1]:,.0f} "
                f"| {ms[0] / ms[1]:.1f} | {dense['gib']:.2f} | {touched['gib']:.2f} |"
            )
    note = (
        "CPU time of a whole step, loss and gradient included: 2,048 random edges of GraphAU "
        "(tables of users and items), 256 full windows of 50 of SASRec (one table)."
    )
    return "\n".join([*lines, "", note])


def ranking(cells: Cells) -> str:
    """Markdown: what a validation takes where there are many items."""
    before, now = (cells[f"ranked {block}"]["cpu_seconds"] for block in (1, 32))
    return (
        "## Validation\n\n"
        f"{N_RANKED} users among {MANY_ITEMS:,} items: {before:.1f} s one by one, {now:.1f} s by "
        f"32 at once ({before / now:.1f} times)."
    )


def quality(cells: Cells) -> str:
    """Markdown: how both kinds of steps rank what was held out."""
    lines = [
        "## What they rank, after few epochs",
        "",
        "| data | model | figure | dense | touched | touched − dense |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for dataset, called in DATASETS.items():
        for model, figures in FIGURES.items():
            for figure in figures:
                name = f"quality {model} {dataset}"
                dense, touched = (
                    [cells[f"{name} {kind} {seed}"][figure] for seed in SEEDS] for kind in KINDS
                )
                paired = [y - x for x, y in zip(dense, touched, strict=True)]
                texts = " | ".join(interval(values, 4) for values in (dense, touched, paired))
                label = STAGES[model].partition(",")[0]
                lines.append(f"| {called} | {label} | {figure.upper()} | {texts} |")
    memo = (
        f"Mean of {len(SEEDS)} seeds ± half of the 95 % interval. GraphAU: validation items, best "
        "of 12 epochs; SASRec: test items, best of 8 epochs by validation, from a random start "
        "with batches of 64."
    )
    return "\n".join([*lines, "", memo])


def companions(cells: Cells) -> str:
    """Markdown: companions as for few pairs and as for many."""
    lines = [
        "## Companions, as for few pairs and as for many",
        "",
        "| data | items | longest history | kept pairs of an item | at once, float64 | item by "
        "item, float32 | difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for dataset, called in DATASETS.items():
        for kept in KEPT:
            cell = cells[f"companions {dataset} {kept}"]
            lines.append(
                f"| {called} | {cell['n_items']:,} | {cell['longest']:,} | {kept} "
                f"| {cell['today']:.4f} | {cell['at_size']:.4f} | {cell['difference']:+.4f} "
                f"± {cell['interval']:.4f} |"
            )
    mean = fmean(cells[f"companions {dataset} {KEPT[0]}"]["difference"] for dataset in DATASETS)
    note = (
        "NDCG@20 of validation items by the cosine of companions alone. Both data sets are counted "
        "at once, as before; item by item is what a log of more than 33 million pairs is given: "
        "the newest 512 items of a history, and so many pairs of an item. Mean difference at "
        f"{KEPT[0]}: {mean:+.4f}. Intervals are 95 % over users, paired."
    )
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    main()
