"""How fast encoders read histories, and what well-kept runtimes would give instead of PyTorch.

Usage: python benchmarks/encoding.py [--page PAGE.md] [--dataset ml-100k] [--data-dir DIR]
       [--repeats 9] [--ways torch OpenVINO …]
       python benchmarks/encoding.py --alone WAY [--dataset …] [--data-dir …]
Train histories of all users, newest 50 items, are read by networks with random weights, in one
thread on one core, by every way in turn (A B C A B C …). Seconds are the processor's, so that a
neighbour takes none. Products alone: the time that the matrix products of PyTorch's way would take
at the rate of the widest one, measured in the same turns. The C library is told to keep memory that
was freed: by default PyTorch's way pays for fresh pages or does not, by what ran before it. The
second form makes one way in a process of its own, of which the page says time and memory. Ways
whose packages are missing are left out. What it means for guidance: encoding_guidance.py.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from encoding_parts.ways import WAYS, flop_of, installed
from proactrec.data.dataset import Dataset, Side
from proactrec.data.load import load_dataset
from proactrec.encoders.base import Encoder
from proactrec.encoders.fitting import ENCODERS
from shared.child import taken
from shared.page import origin, write_page
from speed import has_movielens

NETWORKS = {"sasrec": "SASRec, ICLRec, ICSRec", "bsarec": "BSARec", "mstein": "MStein"}
"""Encoders that have a network of their own, and who else has the same."""
SIDES: tuple[Side, ...] = ("left", "right")
ORDINARY = 5
"""Factor of weights: a start near zero hides differences."""
KEPT = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
"""What tells glibc to keep memory; read when a process starts."""
N_ALONE = 50
"""Histories that are read one by one."""
PACKAGES = ("torch", "onnxruntime", "onnx", "onnxscript", "openvino")
Row = dict[str, Any]


def main() -> None:
    """Measure every network with both paddings, then guidance; write the page."""
    arguments = _arguments()
    if not KEPT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEPT})
    torch.set_num_threads(1)
    dataset = load_dataset(arguments.dataset, data_dir=arguments.data_dir)
    if arguments.alone:
        print(json.dumps(made_alone(arguments.alone, dataset)))
        return
    load = os.getloadavg()[0]
    rows = [row for name in NETWORKS for row in measured(name, dataset, arguments)]
    costs = {way: cost_of(way, arguments) for way in arguments.ways}
    content = {
        "origin": origin(),
        "dataset": dataset.name,
        "repeats": arguments.repeats,
        "load_before": load,
        "versions": versions(),
        "rows": rows,
        "costs": costs,
    }
    body = "\n\n".join([table(rows), costs_table(costs)])
    print(body)
    if arguments.page:
        write_page(arguments.page, f"Encoding histories of {dataset.name}", content, body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--dataset", default="ml-100k" if has_movielens() else "demo")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=installed())
    parser.add_argument("--alone", choices=WAYS, help="make this way only")
    return parser.parse_args()


def measured(name: str, dataset: Dataset, arguments: argparse.Namespace) -> list[Row]:
    """A row for each padding and way, of one network."""
    encoder = encoder_of(name, dataset)
    ways = {way: WAYS[way](encoder.transformer) for way in arguments.ways}
    found = []
    for side in SIDES:
        item_seq = encoder.sequences(dataset.before("train"), side=side)
        about = {"network": name, "padding": side, "n_histories": len(item_seq)}
        rows: list[Row] = [{**about, "way": way, "seconds": [], "alone": []} for way in ways]
        encoder.runtime = None
        expected, flop = flop_of(partial(encoder.encode, item_seq))
        rates = []
        for number in range(arguments.repeats + 1):
            rates.append(rate_of_products())
            for row in rows:
                encoder.runtime = ways[row["way"]]
                spent, vectors = timed(partial(encoder.encode, item_seq))
                if number:  # the first is not counted
                    row["seconds"].append(spent)
                    row["alone"].append(seconds_of_one(encoder, item_seq))
                row["difference"] = float((vectors - expected).abs().max())
        found += [{**row, "gflop": flop / 1e9, "rate": median(rates)} for row in rows]
        print(f"{name} {side}", flush=True)
    return found


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """The processor's seconds that work takes, and what it gives."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def rate_of_products() -> float:
    """GFLOP/s of the widest product of 48 histories, (2400 × 64) · (64 × 256)."""
    left, right, n_times = torch.randn(2400, 64), torch.randn(64, 256), 200
    room = left @ right

    def products() -> Tensor:
        for _ in range(n_times):
            torch.mm(left, right, out=room)
        return room

    seconds, _ = timed(products)
    return n_times * 2 * left.numel() * right.shape[1] / seconds / 1e9


def seconds_of_one(encoder: Encoder, item_seq: Tensor) -> float:
    """Seconds that one history takes alone, as a service asks for it."""
    rows = item_seq[:N_ALONE, None].unbind()
    return timed(lambda: torch.cat([encoder.encode(row) for row in rows]))[0] / len(rows)


def encoder_of(name: str, dataset: Dataset) -> Encoder:
    """An untrained encoder with weights of ordinary size."""
    kind = ENCODERS[name]
    encoder = kind(dataset.n_items, kind.options_type())
    encoder.start(0, None)
    with torch.no_grad():
        for weight in encoder.transformer.parameters():
            weight.mul_(ORDINARY if weight.dim() == 2 else 1)
    return encoder.eval()


def made_alone(way: str, dataset: Dataset) -> Row:
    """Seconds until the way has read its first histories, without those of starting Python."""
    encoder = encoder_of("sasrec", dataset)
    item_seq = encoder.sequences(dataset.before("train"))
    start, cpu = time.perf_counter(), time.process_time()
    encoder.runtime = WAYS[way](encoder.transformer)
    encoder.encode(item_seq)
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


def cost_of(way: str, arguments: argparse.Namespace) -> Row:
    """Time to make a way, and the memory of a process that does nothing else."""
    command = [sys.executable, __file__, "--alone", way, "--dataset", arguments.dataset]
    if arguments.data_dir is not None:
        command += ["--data-dir", str(arguments.data_dir)]
    done = taken(command)
    if done.code:
        raise SystemExit(f"{way} ended with code {done.code}")
    return {**json.loads(done.out.splitlines()[-1]), "gib": done.gib}


def table(rows: list[Row]) -> str:
    """Markdown: a row per network, padding and way."""
    lines = [
        "| network | padding | way | histories/s, median (lowest–highest) | GFLOP/s | speed beside "
        "torch, median (lowest–highest) | time / products alone | one history alone, ms "
        "| largest difference |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    plain = {(row["network"], row["padding"]): row for row in rows if row["way"] == "torch"}
    for row in rows:
        spent = row["seconds"]
        beside = plain[row["network"], row["padding"]]["seconds"]
        speeds = [x / y for x, y in zip(beside, spent, strict=True)]
        n = row["n_histories"]
        lines.append(
            f"| {NETWORKS[row['network']]} | {row['padding']} | {row['way']} "
            f"| {n / median(spent):,.0f} ({n / max(spent):,.0f}–{n / min(spent):,.0f}) "
            f"| {row['gflop'] / median(spent):.1f} "
            f"| {median(speeds):.2f} ({min(speeds):.2f}–{max(speeds):.2f}) "
            f"| {median(spent) * row['rate'] / row['gflop']:.2f} "
            f"| {1000 * median(row['alone']):.2f} | {row['difference']:.1e} |"
        )
    rates = [row["rate"] for row in rows]
    return "\n".join([*lines, "", f"Products: {min(rates):.0f} to {max(rates):.0f} GFLOP/s."])


def costs_table(costs: dict[str, Row]) -> str:
    """Markdown: what it takes to have a way."""
    lines = [
        "| way | seconds to its first vectors | of the processor | most memory, GiB |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {way} | {x['seconds']:.1f} | {x['cpu_seconds']:.1f} | {x['gib']:.2f} |"
        for way, x in costs.items()
    ]
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Of what computes."""
    return {name: version(name) for name in PACKAGES if find_spec(name)}


if __name__ == "__main__":
    main()
