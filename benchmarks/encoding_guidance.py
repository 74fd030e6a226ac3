"""How long one target of ITMPRec takes, by runtime of the encoder and number of cores.

Usage: python benchmarks/encoding_guidance.py [--page PAGE.md] [--dataset ml-100k] [--data-dir DIR]
       [--n-targets 5] [--store runs/guidance-speed/this]
All users are guided to one target after the other; every target is played in turn by PyTorch on one
core and two and by OpenVINO, if it is there, with guidance_side.py's models. Products alone: the
time that all matrix products would take at the rate of the encoder's widest one.
"""

import argparse
import hashlib
import os
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch

from encoding_parts.ways import flop_of
from guidance_side import made
from proactrec.encoders.runtime import OpenVINOStates
from proactrec.evaluation.rollout import rollout
from proactrec.policies.itmprec import ITMPRec
from proactrec.types import IntArray
from shared.page import origin, write_page
from speed import has_movielens, product_rate

PROTOCOLS = ("official", "common")
Row = dict[str, Any]


def main() -> None:
    """Play every protocol, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--dataset", default="ml-100k" if has_movielens() else "demo")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--n-targets", type=int, default=5)
    parser.add_argument("--store", type=Path, default=Path("runs/guidance-speed/this"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    rows = [row for name in PROTOCOLS for row in guided_by(name, arguments)]
    body = guidance_table(rows)
    print(body)
    if arguments.page:
        content = {"origin": origin(), "load_before": load, "rows": rows}
        title = f"One target of {arguments.dataset} on one core and two"
        write_page(arguments.page, title, content, body)


def guided_by(protocol: str, arguments: argparse.Namespace) -> list[Row]:
    """Rows of a protocol."""
    experiment = made({"protocol": protocol, "policy": "itmprec"}, arguments)
    guide, world, dataset = experiment.guide, experiment.world, experiment.dataset
    assert isinstance(guide.policy, ITMPRec)
    encoder, options = guide.policy.encoder, experiment.protocol.rollout
    runtimes: dict[str, Any] = {"torch": None}
    if find_spec("openvino"):
        runtimes["OpenVINO"] = OpenVINOStates(encoder.transformer)
    rows: list[Row] = [
        {"protocol": protocol, "way": way, "cores": cores, "seconds": [], "shown": []}
        for way in runtimes
        for cores in (1, 2)
    ]

    def played(row: Row, target: IntArray) -> tuple[float, str]:
        encoder.runtime = runtimes[row["way"]]
        start = time.perf_counter()
        log = rollout(guide, world, dataset, target, options, n_workers=row["cores"]).log
        spent = time.perf_counter() - start
        return spent, hashlib.sha256(log.item_idx.tobytes() + log.accepted.tobytes()).hexdigest()

    rates, gflop = [], []
    for target in experiment.targets.item_idx[:, None]:
        rates.append(product_rate())
        gflop.append(flop_of(partial(played, rows[0], target))[1] / 1e9)  # and warms up
        for row in rows:
            spent, shown = played(row, target)
            row["seconds"].append(spent)
            row["shown"].append(shown)
    print(f"guidance {protocol}", flush=True)
    return [{**row, "gflop": gflop, "rate": median(rates)} for row in rows]


def guidance_table(rows: list[Row]) -> str:
    """Markdown: a row per protocol, runtime and number of cores."""
    lines = [
        "| protocol | encoder by | cores | seconds a target, median (lowest–highest) "
        "| speed beside one core | beside torch | time / products alone | same as torch |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    of = {(row["protocol"], row["way"], row["cores"]): row for row in rows}
    for (protocol, way, cores), row in of.items():
        spent, plain = row["seconds"], of[protocol, "torch", cores]
        alone = sum(row["gflop"]) / row["rate"] / cores
        same = sum(a == b for a, b in zip(row["shown"], plain["shown"], strict=True))
        lines.append(
            f"| {protocol} | {way} | {cores} "
            f"| {median(spent):.2f} ({min(spent):.2f}–{max(spent):.2f}) "
            f"| {ratio(of[protocol, way, 1]['seconds'], spent)} "
            f"| {ratio(plain['seconds'], spent)} | {sum(spent) / alone:.2f} "
            f"| {same} of {len(spent)} targets |"
        )
    return "\n".join(lines)


def ratio(before: list[float], after: list[float]) -> str:
    """Median of the ratios of neighbours, with the lowest and the highest."""
    found = [x / y for x, y in zip(before, after, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


if __name__ == "__main__":
    main()
