"""How fast the hot parts are on this machine, and what limits each: `make bench`.

Usage: python benchmarks/speed.py [--dataset ml-100k] [--n-targets 50] [--page PAGE.md]
Without the MovieLens files it measures on the demo world. Everything is timed in one run, next to
the machine's own matrix-product rate for the shapes in question, so a figure can be read as a
share of what the machine can do. Run it on a quiet machine: two torch threads beside another busy
process are slower than one.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.data.load import DATA_DIR_VARIABLE, load_dataset
from proactrec.encoders.base import Encoder, TrainingSequences
from proactrec.encoders.fitting import next_item_places
from proactrec.encoders.iclrec import ICLRec, ICLRecOptions
from proactrec.evaluation.protocols import COMMON, OFFICIAL, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.fitting.device import peak_memory_mb
from proactrec.fitting.options import DEFAULT_CATEGORIES
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau
from proactrec.intents import fit_intents
from proactrec.policies.itmprec import ITMPRec
from proactrec.simulator.world import World
from proactrec.targets import select_targets
from proactrec.training import StoppingOptions
from shared.page import origin, write_page


class Timing(Options):
    """Seconds of one part, and the floating-point work in it."""

    what: str
    seconds: float
    cpu_seconds: float
    gflop: float
    note: str


def main() -> None:
    """Measure and print a table; keep it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ml-100k" if has_movielens() else "demo")
    parser.add_argument("--n-targets", type=int, default=50)
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset)
    rate = product_rate()
    timings = [graphau_epoch(dataset)]
    vectors, _ = fit_graphau(dataset, _graphau(n_epochs=3))
    encoder = ICLRec(dataset.n_items, ICLRecOptions())
    encoder.start(0, vectors.item_vectors)
    timings.append(iclrec_epoch(encoder, dataset))
    timings += [
        guidance(encoder, dataset, vectors, protocol, arguments.n_targets)
        for protocol in (COMMON, OFFICIAL)
    ]
    content = {
        "origin": origin(),
        "timings": [timing.model_dump() for timing in timings],
        "threads": torch.get_num_threads(),
        "gflops_product": round(rate, 1),
        "load_before": os.getloadavg()[0],
        "dataset": dataset.name,
        "n_users": dataset.n_users,
        "n_items": dataset.n_items,
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
    body = table(timings, rate)
    print(body)
    if arguments.page:
        write_page(arguments.page, f"Speed on {dataset.name}", content, body)


def product_rate() -> float:
    """GFLOP/s of the encoder's widest product, (2400 × 64) · (64 × 256), on all threads."""
    left, right = torch.randn(2400, 64), torch.randn(64, 256)
    n_times = 400
    left @ right
    start = time.perf_counter()
    for _ in range(n_times):
        left @ right
    return n_times * 2 * left.numel() * right.shape[1] / (time.perf_counter() - start) / 1e9


def graphau_epoch(dataset: Dataset) -> Timing:
    """One pass over the edges; the kernel of uniformity is most of the work."""
    options = _graphau(n_epochs=1)
    n_edges = len(dataset.before("train").item_idx)
    # Two sides, two products of (batch × batch × d) each.
    gflop = 2 * 2 * 2 * n_edges * options.batch_size * options.embedding_dim / 1e9
    seconds, cpu = timed(lambda: fit_graphau(dataset, options))
    return Timing(
        what="GraphAU epoch", seconds=seconds, cpu_seconds=cpu, gflop=gflop, note="exp of pairs"
    )


def iclrec_epoch(encoder: Encoder, dataset: Dataset) -> Timing:
    """Clustering, one training pass and validation."""
    sequences = TrainingSequences(dataset, encoder.options)
    optimizer = torch.optim.Adam(encoder.parameters())
    rng = torch.Generator().manual_seed(0)

    def epoch() -> None:
        encoder.eval()
        encoder.start_epoch(sequences, 0)
        encoder.train()
        for rows in torch.randperm(len(sequences.item_seq)).split(encoder.options.batch_size):
            optimizer.zero_grad()
            encoder.loss(sequences.batch(rows, rng, encoder.device), rng).backward()
            optimizer.step()
        encoder.eval()
        next_item_places(encoder, dataset, "validation")

    epoch()
    n_tokens = sequences.item_seq.numel()
    gflop = n_tokens * _flop_per_token(encoder) * (3 * 3 + 2) / 1e9  # three passes, both ways
    seconds, cpu = timed(epoch)
    note = "products, then memory traffic of activations"
    return Timing(what="ICLRec epoch", seconds=seconds, cpu_seconds=cpu, gflop=gflop, note=note)


def guidance(
    encoder: Encoder, dataset: Dataset, vectors: InterestVectors, protocol: Protocol, n_targets: int
) -> Timing:
    """The guidance stage: all users × targets × 20 rounds."""
    users = encoder.encode(encoder.sequences(dataset.before("train")))
    intents = fit_intents(users, 32, seed=0)
    wanted = protocol.targets.model_copy(update={"n_targets": n_targets, "space": "graphau"})
    category = DEFAULT_CATEGORIES[dataset.name]
    targets = select_targets(dataset, category, *vectors, wanted).item_idx
    policy = ITMPRec(encoder, intents, protocol.itmprec)
    world = World(dataset, *vectors, targets, protocol.world)
    log = rollout(policy, world, dataset, targets[:1], protocol.rollout).log  # warm up
    start, cpu_start = time.perf_counter(), time.process_time()
    log = rollout(policy, world, dataset, targets, protocol.rollout).log
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    n_encoded, n_decided = int(log.accepted.sum()), int(log.is_shown.sum())
    length, dim = encoder.options.max_seq_len, encoder.options.embedding_dim
    per_decision = 2 * dim * dataset.n_items
    gflop = (
        n_encoded * length * _flop_per_token(encoder) / 2 / 1e9
    )  # the last layer is one position
    gflop += (n_decided + n_encoded) * per_decision / 1e9
    note = f"{n_decided:,} decisions, {n_encoded:,} histories encoded again"
    return Timing(
        what=f"guidance, {protocol.name}, {len(targets)} targets",
        seconds=seconds,
        cpu_seconds=cpu,
        gflop=gflop,
        note=note,
    )


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of three runs."""
    best = (float("inf"), 0.0)
    for _ in range(3):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        best = min(best, (time.perf_counter() - start, time.process_time() - cpu))
    return best


def table(timings: list[Timing], rate: float) -> str:
    """Markdown: seconds, and the share of them that the products alone would take."""
    lines = [
        "| part | seconds | CPU seconds | GFLOP | products alone | what limits it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {t.what} | {t.seconds:.2f} | {t.cpu_seconds:.2f} | {t.gflop:.0f} "
        f"| {t.gflop / rate:.2f} s | {t.note} |"
        for t in timings
    ]
    return "\n".join([*lines, "", f"Matrix products reach {rate:.0f} GFLOP/s here."])


def _flop_per_token(encoder: Encoder) -> float:
    dim, length = encoder.options.embedding_dim, encoder.options.max_seq_len
    return encoder.options.n_layers * (2 * 12 * dim**2 + 4 * length * dim)


def _graphau(*, n_epochs: int) -> GraphAUOptions:
    return GraphAUOptions(stopping=StoppingOptions(n_epochs=n_epochs))


def has_movielens() -> bool:
    """Whether the files of ML-100k are where data sets are looked for."""
    return (Path(os.environ.get(DATA_DIR_VARIABLE, "../shared/data")) / "ml-100k").is_dir()


if __name__ == "__main__":
    main()
