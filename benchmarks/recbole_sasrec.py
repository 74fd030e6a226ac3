"""Our SASRec (full cross-entropy) beside RecBole's: same data, split, sizes and ranking.

Usage: python benchmarks/recbole_sasrec.py DATASET OUT.json [--seeds 0 1 2] [--page PAGE.md]
       python benchmarks/recbole_sasrec.py DATASET --only-timing
RecBole lives in an environment of its own, made on first use (--env), and is trained by
recbole_side.py; its files and checkpoints lie in --work, so training goes on after the last whole
epoch, and finished seeds are in OUT.json. All users' test inputs are scored by its model and
ranked by our code: only the model, its batches and its prefixes are RecBole's. One pass over
ML-100k takes RecBole minutes on a core; ours takes seconds.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from proactrec.data.dataset import Dataset, Histories
from proactrec.data.load import load_dataset
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.fitting import fit_encoder, next_item_places
from proactrec.encoders.sasrec import SASRec
from proactrec.files import write_json
from proactrec.ranking import answer_places, ndcg, next_item_figures
from proactrec.training import StoppingOptions
from shared.page import origin, write_page
from shared.tables import interval, table

RECBOLE = "recbole==1.2.1"
"""Without its dependencies: ray, thop, plotly, tabulate and psutil are not loaded for SASRec."""
PINS = (
    "numpy==1.26.4",  # RecBole sets np.float_ and the like, which numpy 2 lacks
    "pandas==2.2.3",
    "scipy==1.13.1",
    "scikit-learn==1.5.2",
    "colorama==0.4.4",
    "colorlog==4.7.2",
    "pyyaml==6.0.3",
    "setuptools==84.2.1",
    "tensorboard==2.21.0",
    "texttable==1.7.2",
    "tqdm==4.70.1",
    # what proactrec's data sets, options and checkpoints need
    "polars==2.1.0",
    "pydantic==2.14.3",
    "safetensors==0.8.0",
)
TORCH = "torch==2.13.0"
HEADS = ("model", "seeds", "HR@10", "NDCG@10", "validation NDCG@20", "best epoch", "CPU s to stop")
HERE = Path(__file__).resolve().parent
NAME = "events"  # "ml-100k" would make RecBole read its own copy
Windows = Literal["last", "all"]


def main() -> None:
    """Train what is missing, keep it in OUT.json, print the table."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that RecBole's process ends too
    torch.set_num_threads(arguments.threads)
    dataset = load_dataset(arguments.dataset)
    python = environment(arguments.env)
    arguments.work = arguments.work.resolve() / f"{dataset.name}-{dataset.fingerprint}"
    write_atomic(dataset, arguments.work / NAME / f"{NAME}.inter")
    if arguments.only_timing:
        print("\n".join(epoch_table(timing(dataset, python, arguments))))
        return
    cells: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}

    def keep(key: str, cell: dict[str, Any]) -> None:
        cells[key] = {**cell, "origin": origin()}
        write_json(arguments.out, cells)
        print(key, cell.get("test", cell), flush=True)

    for seed in arguments.seeds:  # ours first: it takes minutes
        for windows in arguments.windows:
            if (key := f"proactrec {windows} seed={seed}") not in cells:
                keep(key, ours(dataset, windows, seed, arguments))
    if "timing" not in cells:
        keep("timing", timing(dataset, python, arguments))
    for seed in arguments.seeds:
        if (key := f"RecBole seed={seed}") not in cells:
            keep(key, theirs(dataset, python, seed, arguments))
    body = figures_table(cells, arguments.windows, arguments.seeds)
    print(body)
    if arguments.page:
        title = f"SASRec beside RecBole's on {dataset.name}"
        write_page(arguments.page, title, {"origin": origin(), "cells": cells}, body)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path, nargs="?", default=Path("runs/recbole.json"))
    parser.add_argument("--only-timing", action="store_true", help="one epoch of each, no training")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--windows", nargs="+", choices=["last", "all"], default=["all", "last"])
    parser.add_argument("--threads", type=int, default=1, help="of torch, on both sides")
    parser.add_argument("--epochs", type=int, default=300, help="most epochs of RecBole")
    parser.add_argument("--patience", type=int, default=10, help="of RecBole; 10 is its own")
    parser.add_argument("--batch-size", type=int, default=2048, help="of RecBole; 2048 is its own")
    parser.add_argument(
        "--plain", action="store_true", help="train RecBole unchanged, not quickened"
    )
    parser.add_argument("--our-epochs", type=int, default=300, help="most epochs of ours")
    parser.add_argument("--our-patience", type=int, default=20)
    parser.add_argument("--env", type=Path, default=Path("runs/recbole-env"))
    parser.add_argument("--work", type=Path, default=Path("runs/recbole"))
    return parser.parse_args()


def environment(folder: Path) -> Path:
    """RecBole's Python, made where it is missing or of other pins."""
    python, made = folder.absolute() / "bin" / "python", folder / "pins.txt"
    pins = "\n".join([TORCH, RECBOLE, *PINS, platform.python_version()])
    if not made.exists() or made.read_text() != pins:
        print(f"making {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        # torch first: left to a dependency, it would come with gigabytes of CUDA.
        for what in ([TORCH], list(PINS), ["--no-deps", RECBOLE]):
            subprocess.run([*pip, *what], check=True, stdout=sys.stderr)
        made.write_text(pins)
    return python


def write_atomic(dataset: Dataset, path: Path) -> None:
    """All histories as RecBole's atomic file, in our indices; the time is the place in a history.

    RecBole leaves the last two out by itself. It does so after making one sample per prefix, so a
    user with three items would get no validation sample.
    """
    shortest = int(dataset.histories.lengths.min())
    if shortest < 4:
        raise SystemExit(f"every user needs 4 items for RecBole's split, one has {shortest}")
    user_idx, starts = dataset.histories.user_idx, dataset.histories.offsets[:-1]
    place = np.arange(dataset.n_interactions) - starts[user_idx]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack([user_idx, dataset.histories.item_idx, place], 1)
    header = "user_id:token\titem_id:token\ttimestamp:float"
    np.savetxt(path, rows, fmt="%d", delimiter="\t", header=header, comments="")


def options(windows: Windows, arguments: argparse.Namespace) -> dict[str, Any]:
    """How our SASRec is trained; what is not named is the default."""
    return {
        "next_item_loss": "cross_entropy",
        "item_start": "random",
        "windows": windows,
        "stopping": StoppingOptions(n_epochs=arguments.our_epochs, patience=arguments.our_patience),
    }


def ours(
    dataset: Dataset, windows: Windows, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Our figures of one seed."""
    cpu = time.process_time()
    chosen = options(windows, arguments)
    encoder, record = fit_encoder(
        "sasrec", dataset, options=chosen, seed=seed, progress=every_tenth
    )
    cpu = time.process_time() - cpu
    return {
        "epochs": len(record.epochs),
        "best_epoch": record.best.epoch + 1,
        "validation_ndcg@20": record.best.score,
        "cpu_seconds": cpu,
        "test": next_item_figures(next_item_places(encoder, dataset, "test")),
        "options": encoder.options.model_dump(mode="json"),
        "torch": torch.__version__,
    }


def every_tenth(stage: str, done: int, total: int, note: str = "") -> None:
    """Print every tenth epoch."""
    if done % 10 == 0:
        print(f"{stage} {done}/{total} {note}", file=sys.stderr, flush=True)


def theirs(
    dataset: Dataset, python: Path, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """RecBole's figures of one seed: its model's scores, ranked as ours are."""
    name = f"seed{seed}-batch{arguments.batch_size}{'-plain' * arguments.plain}"
    cell = side(python, name, seed, arguments, timing=False)
    folder, known = arguments.work / name, dataset.before("test")
    scores = torch.from_numpy(np.load(folder / "test.npy"))
    validation = torch.from_numpy(np.load(folder / "validation.npy"))
    again = ndcg(ranked(validation, dataset, "validation", dataset.before("validation")), 20)
    assert abs(again - cell["validation_ndcg@20"]) < 1e-6, "scores are not of the best epoch"
    nothing = Histories(np.zeros_like(known.offsets), known.item_idx[:0])
    return {
        **cell,
        "test": next_item_figures(ranked(scores, dataset, "test", known)),
        "test_seen_items_kept": next_item_figures(ranked(scores, dataset, "test", nothing)),
        "pins": [TORCH, RECBOLE, *PINS],
    }


def ranked(
    scores: torch.Tensor, dataset: Dataset, split: Literal["validation", "test"], known: Histories
) -> Any:
    """Places of the held-out items, without the items of `known`."""
    rows = dataset.n_items + 1
    return answer_places(
        lambda user_idx: scores[torch.from_numpy(user_idx)], dataset.answers(split), known, rows
    )


def side(
    python: Path, name: str, seed: int, arguments: argparse.Namespace, *, timing: bool
) -> dict[str, Any]:
    """What recbole_side.py says to this job."""
    ours = EncoderOptions()
    job = {
        "data_path": str(arguments.work),
        "name": NAME,
        "seed": seed,
        "threads": arguments.threads,
        "timing": timing,
        "quick": not timing and not arguments.plain,
        "epochs": arguments.epochs,
        "patience": arguments.patience,
        "settings": {
            "hidden_size": ours.embedding_dim,
            "inner_size": 4 * ours.embedding_dim,
            "n_layers": ours.n_layers,
            "n_heads": ours.n_heads,
            "hidden_dropout_prob": ours.dropout,
            "attn_dropout_prob": ours.dropout,
            "MAX_ITEM_LIST_LENGTH": ours.max_seq_len,
            "learning_rate": ours.learning_rate,
            "train_batch_size": arguments.batch_size,
        },
    }
    folder = arguments.work / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "job.json", job)
    threads = str(arguments.threads)
    done = subprocess.run(
        [python, "-W", "ignore", HERE / "recbole_side.py", folder / "job.json"],
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "src"), "OMP_NUM_THREADS": threads},
        cwd=folder,  # RecBole writes a folder log_tensorboard where it is started
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def timing(dataset: Dataset, python: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One training epoch without validation: ours, RecBole's, ours again (the faster counts)."""
    before = {windows: epoch_time(dataset, windows) for windows in arguments.windows}
    recbole = side(python, "timing", 0, arguments, timing=True)
    after = {windows: epoch_time(dataset, windows) for windows in arguments.windows}
    cell: dict[str, Any] = {"epoch": recbole}
    for windows in arguments.windows:
        faster = min(before[windows], after[windows], key=lambda found: found["cpu_seconds"])
        cell["epoch"][f"proactrec, windows={windows}"] = faster
    targets = dataset.before("train").lengths - 1
    cell["threads"], cell["targets"] = arguments.threads, int(targets.sum())
    cell["targets_last"] = int(np.minimum(targets, EncoderOptions().max_seq_len).sum())
    return cell


def epoch_time(dataset: Dataset, windows: Windows) -> dict[str, float]:
    """Seconds of the faster of two training epochs of ours."""
    chosen = EncoderOptions(next_item_loss="cross_entropy", item_start="random", windows=windows)
    encoder = SASRec(dataset.n_items, chosen)
    encoder.start(0, None)
    sequences, rng = encoder.training_rows(dataset), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=chosen.learning_rate)
    encoder.train()
    found = []
    for _ in range(2):
        start, cpu = time.perf_counter(), time.process_time()
        for rows in torch.randperm(len(sequences.item_seq)).split(chosen.batch_size):
            optimizer.zero_grad()
            encoder.loss(sequences.batch(rows, rng, encoder.device), rng).backward()
            optimizer.step()
        found.append((time.process_time() - cpu, time.perf_counter() - start))
    cpu, seconds = min(found)
    return {"seconds": seconds, "cpu_seconds": cpu}


def figures_table(cells: dict[str, Any], windows: list[Windows], seeds: list[int]) -> str:
    """Markdown: a row per model, then the epoch times."""
    rows = {"RecBole": "RecBole SASRec"}
    rows |= {f"proactrec {name}": f"proactrec SASRec, windows={name}" for name in windows}
    lines = []
    for key, title in rows.items():
        found = [cells[name] for seed in seeds if (name := f"{key} seed={seed}") in cells]
        texts = [
            str(len(found)),
            interval([cell["test"]["hr@10"] for cell in found], 4),
            interval([cell["test"]["ndcg@10"] for cell in found], 4),
            interval([cell["validation_ndcg@20"] for cell in found], 4),
            ", ".join(str(cell["best_epoch"]) for cell in found),
            ", ".join(f"{cell['cpu_seconds']:.0f}" for cell in found),
        ]
        lines.append([title, *texts])
    kept = [
        cells[name]["test_seen_items_kept"]
        for seed in seeds
        if (name := f"RecBole seed={seed}") in cells
    ]
    texts = [interval([figures[name] for figures in kept], 4) for name in ("hr@10", "ndcg@10")]
    lines.append(["RecBole, seen items stay in", str(len(kept)), *texts, *[""] * 3])
    return "\n".join([table(HEADS, lines), "", *epoch_table(cells["timing"])])


def epoch_table(cell: dict[str, Any]) -> list[str]:
    """One training epoch of each, without validation."""
    slowest = cell["epoch"]["RecBole"]["cpu_seconds"]
    lines = [
        f"One training epoch, {cell['threads']} thread(s), in one run: {cell['targets']:,} next "
        f"items, with windows=last {cell['targets_last']:,} of them.",
        "",
        "| model | seconds | CPU seconds | RecBole's CPU seconds ÷ these |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in cell["epoch"].items():
        seconds, cpu = one["seconds"], one["cpu_seconds"]
        lines.append(f"| {name} | {seconds:.1f} | {cpu:.1f} | {slowest / cpu:.1f} |")
    return lines


if __name__ == "__main__":
    main()
