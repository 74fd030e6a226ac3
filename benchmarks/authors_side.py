"""What one process of authors_loop.py plays of the authors' code, as it is published.

Usage: python benchmarks/authors_side.py STORE DATASET N_TARGETS --checkout CHECKOUT
       [--data-dir DIR]
Writes the data set in their format, gives random tensors where their script reads files that are
not published, and times their loop over targets. Prints a JSON object as guidance_side.py does.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from proactrec.data.dataset import Dataset
from proactrec.data.load import load_dataset

SCRIPT, CATEGORY, DIM = "test_IPG_PreMatch", "Sci-Fi", 64


def main() -> None:
    """Play their loop once and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("n_targets", type=int)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    asked = parser.parse_args()
    data = load_dataset(asked.dataset, data_dir=asked.data_dir, filter="paper")
    write_theirs(data, asked.store / "data", asked.dataset)
    work = asked.store / "work"
    work.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(asked.checkout.resolve() / "src"))
    os.chdir(work)  # they read ../data
    taken = play(data, asked)
    print(json.dumps({"cases": {"ITMPRec, official": taken}}))


def write_theirs(data: Dataset, folder: Path, name: str) -> None:
    """Sequences, interactions and items of the category, numbered from 1."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    sequences = [data.histories.of(user) for user in range(data.n_users)]
    lines = (f"{user} {' '.join(map(str, items))}" for user, items in enumerate(sequences, 1))
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    pairs = (f"{user} {item}" for user, items in enumerate(sequences, 1) for item in items)
    (folder / name / "data.txt").write_text("\n".join(pairs) + "\n")
    (folder / name / "target_items.txt").write_text(
        "\n".join(map(str, data.items.of_category(CATEGORY))) + "\n"
    )


def play(data: Dataset, asked: argparse.Namespace) -> dict[str, Any]:
    """Seconds of their loop over targets."""
    torch.manual_seed(0)
    n_items = data.n_items + 1  # their script runs with a row more than there are items
    vectors = {"user": torch.randn(data.n_users, DIM), "item": torch.randn(n_items, DIM)}

    def load(path: Any, *_: Any, **__: Any) -> Any:
        return next((vectors[kind].clone() for kind in vectors if f"{kind}_emb" in str(path)), {})

    theirs: Any = torch
    theirs.load, theirs.nn.Module.load_state_dict = load, lambda *_, **__: None
    script: Any = import_module(SCRIPT)
    taken: dict[str, Any] = {}

    def timed(targets: Iterable[int]) -> Iterator[int]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield from targets
        taken.update(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)

    script.tqdm = timed
    sizes = {"num_users": data.n_users, "num_items": n_items, "n_items": asked.n_targets}
    sys.argv = [SCRIPT, "--device", "cpu", "--no_cuda", "--data_name", asked.dataset]
    sys.argv += [word for name, n in sizes.items() for word in (f"--{name}", str(n))]
    script.main()
    return taken


if __name__ == "__main__":
    main()
