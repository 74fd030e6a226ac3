"""How long one target of ITMPRec takes, by runtime of the encoder and number of cores.

All users are guided to one target after the other; every target is played by all four in turn, by
guidance_side.py's models. What two cores bring is the ratio of neighbours.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop

from guidance_side import made
from proactrec.encoders.runtime import OpenVINOStates
from proactrec.evaluation.rollout import rollout
from proactrec.policies.itmprec import ITMPRec
from proactrec.types import IntArray
from speed import product_rate

PROTOCOLS = ("official", "common")
ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop}
Row = dict[str, Any]
FoundT = TypeVar("FoundT")


def guided(arguments: argparse.Namespace) -> list[Row]:
    """A row for each protocol, runtime and number of cores."""
    return [row for name in PROTOCOLS for row in guided_by(name, arguments)]


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


def flop_of(work: Callable[[], FoundT]) -> tuple[FoundT, int]:
    """What work in this thread gives, and the floating-point operations of its products."""
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        found = work()
    return found, counter.get_total_flops()


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
