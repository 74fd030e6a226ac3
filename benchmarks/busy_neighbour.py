"""What a busy neighbour costs: encoding and deciding, alone and beside a process that never rests.

Usage: python benchmarks/busy_neighbour.py PAGE.md [--seconds 2] [--repeats 2]
Every setting works in a process of its own, all settings by turns (A B C A B C), each alone and
beside the neighbour, whose one thread multiplies matrices. Vectors are random: nothing is trained.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from proactrec.data.dataset import Histories
from proactrec.data.items import Items
from proactrec.encoders.iclrec import ICLRec
from proactrec.guidance.guide import Guide
from proactrec.intents import fit_intents
from proactrec.journeys import Journeys, Users
from proactrec.policies.itmprec import ITMPRec
from proactrec.rng import keys_of
from proactrec.threads import MapBlocks, block_map, n_cores
from shared.page import origin, write_page

SPIN, SLEEP, BLOCKS = "teams that spin", "teams that sleep", "blocks of one thread each"
FIRST = {SPIN: "torch", SLEEP: "proactrec", BLOCKS: "proactrec"}
"""What is imported first: where it is torch, proactrec's waiting policy comes too late."""
SETTLED = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PROACTREC_THREADS")
"""Left to each setting."""
N_USERS, N_ITEMS, N_HISTORY = 2000, 5000, 50
PART = 250
"""Histories encoded in a block."""
NEIGHBOUR = """
import torch
torch.set_num_threads(1)
x = torch.randn(512, 512)
print("busy", flush=True)
while True:
    x @ x
"""
Row = dict[str, Any]


def main() -> None:
    """Let all settings work by turns, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown page to write")
    parser.add_argument("--seconds", type=float, default=2.0, help="that each work goes on")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--work", choices=FIRST, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(worked(arguments.work, arguments.seconds)))
        return
    load = os.getloadavg()[0]
    rows = [
        row
        for _ in range(arguments.repeats)
        for setting in FIRST
        for is_beside in (False, True)
        for row in child(setting, arguments.seconds, is_beside=is_beside)
    ]
    body = "\n".join([*table(rows), "", told(load)])
    print(body)
    if arguments.page:
        content = {"origin": origin(), "load_before": load, "rows": rows}
        write_page(arguments.page, "What a busy neighbour costs", content, body)


def child(setting: str, seconds: float, *, is_beside: bool) -> list[Row]:
    """What a process with this setting did."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTLED}
    code = f"import {FIRST[setting]}, busy_neighbour; busy_neighbour.main()"
    command = [sys.executable, "-c", code, "--work", setting, "--seconds", str(seconds)]
    here = Path(__file__).parent  # where -c looks for modules first
    with neighbour() if is_beside else nullcontext():
        done = subprocess.run(command, env=kept, cwd=here, stdout=subprocess.PIPE, check=True)
    rows = json.loads(done.stdout)
    return [{"setting": setting, "is_beside": is_beside, **row} for row in rows]


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def worked(setting: str, seconds: float) -> list[Row]:
    """How much of each work was done, by the clock and by the processor."""
    torch.set_num_threads(n_cores())
    works = encoding(), deciding()
    if setting != BLOCKS:
        return [timed(name, n, partial(work, None), seconds) for name, n, work in works]
    with block_map() as map_blocks:
        return [timed(name, n, partial(work, map_blocks), seconds) for name, n, work in works]


def timed(name: str, n: int, work: Callable[[], Any], seconds: float) -> Row:
    """So many units a time, over and over."""
    work()  # what is made on first use
    n_done, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        work()
        n_done += n
    spent = time.perf_counter() - start, time.process_time() - cpu
    return {"work": name, "a_second": n_done / spent[0], "a_cpu_second": n_done / spent[1]}


Work = tuple[str, int, Callable[[MapBlocks | None], Any]]


def encoding() -> Work:
    """Histories to vectors."""
    encoder, sequences = an_encoder(), torch.from_numpy(histories().padded(N_HISTORY))

    def work(map_blocks: MapBlocks | None) -> Any:
        if map_blocks is None:
            return encoder.encode(sequences)
        return list(map_blocks(encoder.encode, sequences.split(PART)))

    return "histories encoded", len(sequences), work


def deciding() -> Work:
    """ITMPRec's decisions of a round."""
    encoder = an_encoder()
    intents = fit_intents(encoder.item_vectors[1:], 32, seed=0)
    ids = tuple(str(item) for item in range(1, N_ITEMS + 1))
    counts = np.bincount(histories().item_idx, minlength=N_ITEMS + 1)
    guide = Guide(ITMPRec(encoder, intents), Items("random", ids, ids, ((),) * N_ITEMS, counts))
    everybody = np.arange(N_USERS)
    key, nobody_out = keys_of(map(str, everybody)), np.zeros(N_USERS, bool)
    users = Users(key, everybody, histories(), nobody_out)
    who = torch.from_numpy(everybody)
    journeys = Journeys.begun(users, who, torch.ones_like(who), 20)
    places = guide.places(journeys)

    def work(map_blocks: MapBlocks | None) -> Any:
        return guide.decide(journeys, places=places, map_blocks=map_blocks or map)

    return "decisions", N_USERS, work


def an_encoder() -> ICLRec:
    """Random weights."""
    encoder = ICLRec(N_ITEMS)
    encoder.start(0, None)
    return encoder.eval()


def histories() -> Histories:
    """Items at random."""
    offsets = np.arange(N_USERS + 1, dtype=np.int64) * N_HISTORY
    drawn = np.random.default_rng(0).integers(1, N_ITEMS + 1, N_USERS * N_HISTORY)
    return Histories(offsets, drawn)


def table(rows: list[Row]) -> list[str]:
    """Markdown: every work and setting, means over the repeats."""
    lines = [
        "| work | how | alone, a second | a CPU second | beside, a second | a CPU second "
        "| kept by the clock | kept by CPU |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for work in dict.fromkeys(row["work"] for row in rows):
        for setting in FIRST:
            own = [row for row in rows if (row["work"], row["setting"]) == (work, setting)]
            alone, beside = (
                [mean(row[of] for row in own if row["is_beside"] is is_beside) for of in RATES]
                for is_beside in (False, True)
            )
            rates = " | ".join(f"{rate:,.0f}" for rate in (*alone, *beside))
            kept = (f"{after / before:.2f}" for before, after in zip(alone, beside, strict=True))
            lines.append(f"| {work} | {setting} | {rates} | {' | '.join(kept)} |")
    return lines


RATES = ("a_second", "a_cpu_second")


def told(load: float) -> str:
    """What else is to be known of the figures."""
    n = n_cores()
    return (
        f"{n} threads on {n} cores; {N_ITEMS:,} items, histories of {N_HISTORY}; load of the "
        f"machine before: {load:.1f}. Of {n + 1} threads each gets {n}/{n + 1} of a core: to keep "
        f"{n / (n + 1):.2f} by the clock, and all by CPU, is to lose no more than the neighbour's "
        "share. Teams: every product is cut into a part for each thread of OpenMP, "
        "and those who are done spin (torch loaded before proactrec, as in a program that does not "
        "know the waiting policy), or sleep. Blocks: what `proactrec.threads.block_map` does."
    )


if __name__ == "__main__":
    main()
