"""What `proactrec estimate` says of some sizes, beside what they took: memory and time.

Usage: python benchmarks/estimated.py PAGE.md [--folder runs/estimated] [--only-finished]
Each size runs in a process of its own, from tables of events to its end, on all cores; data and
vectors are random. What is done already, with the rates it was estimated by, lies in the folder.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proactrec.encoders.fitting import fit_encoder
from proactrec.estimating.estimate import GIB, estimated
from proactrec.estimating.rates import Rates
from proactrec.estimating.size import Size
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.files import read_json, write_json
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.policies.views import companions
from proactrec.training import StoppingOptions
from shared import random_shop
from shared.child import taken
from shared.page import origin, write_page

ASKED = 1 / 3
"""How far memory may be from what was said, as a share of what was taken."""
SMALL = {"users": 2000, "items": 5000, "targets": 2, "rounds": 5}
MIDDLE = {"users": 5000, "items": 20_000, "rounds": 3}
LARGE = {"users": 10_000, "items": 20_000, "rounds": 3}
MANY = {"users": 100_000, "items": 1000, "targets": 2, "rounds": 5, "interactions": 1_000_000}
LONG = {"users": 100_000, "items": 20_000, "rounds": 20, "policy": "foresight"}
MILLION = {"users": 10_000, "items": 1_000_000, "rounds": 5}
SIZES: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "middle": MIDDLE,
    "large": LARGE,
    "many users": MANY,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        f"{name}, {policy}": ("rollout", {**size, "policy": policy})
        for name, size in SIZES.items()
        for policy in ("foresight", "itmprec")
    },
    "many rounds, foresight": ("rollout", LONG),
    "a million items, foresight": ("rollout", {**MILLION, "policy": "foresight"}),
    "a million items, itmprec": ("rollout", {**MILLION, "policy": "itmprec"}),
    "large, GraphAU": ("graphau", LARGE),
    "middle, encoder": ("encoder", {**MIDDLE, "policy": "itmprec"}),
    "middle, companions": ("companions", MIDDLE),
    "large, companions": ("companions", LARGE),
}
STAGES = {
    "rollout": ("rollout, its start", "rollout, a round"),
    "graphau": ("GraphAU, an epoch",),
    "encoder": ("encoder, an epoch",),
    "companions": ("companions",),
}
ONCE = StoppingOptions(n_epochs=1)


def main() -> None:
    """Do what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown page to write")
    parser.add_argument("--folder", type=Path, default=Path("runs/estimated"))
    parser.add_argument("--only-finished", action="store_true", help="play nothing more")
    parser.add_argument("--play", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        print(json.dumps(played(*CASES[arguments.play])))
        return
    rates = rates_of(arguments.folder)
    cases = [
        x for x in CASES if not arguments.only_finished or path_of(x, arguments.folder).exists()
    ]
    rows = [row(name, rates, arguments.folder) for name in cases]
    body = table(rows, rates)
    print(body)
    if arguments.page:
        content = {"origin": origin(), "rates": rates.model_dump(), "rows": rows}
        write_page(arguments.page, "Estimates, and what was taken", content, body)


def rates_of(folder: Path) -> Rates:
    """Of this machine, measured before the first size."""
    path = folder / "rates.json"
    if not path.exists():
        write_json(path, Rates.measured().model_dump())
    return Rates.load(path)


def path_of(name: str, folder: Path) -> Path:
    """Where what a size took is kept."""
    return folder / f"{name.replace(', ', '-').replace(' ', '-')}.json"


def row(name: str, rates: Rates, folder: Path) -> dict[str, Any]:
    """A size: estimated anew, and taken once."""
    (kind, values), path = CASES[name], path_of(name, folder)
    if not path.exists():
        load = os.getloadavg()[0]
        done = taken([sys.executable, *sys.argv[:1], "--play", name])
        if done.code:
            raise SystemExit(done.code)
        found = json.loads(done.out) | {"gib": done.gib, "load_before": load}
        write_json(path, found)
    said = estimated(Size(**values, epochs=1), rates)
    stages = [said.stage(stage) for stage in STAGES[kind]]
    times = [stage.times if kind == "rollout" else 1 for stage in stages]
    memory = max(stage.memory for stage in (said.stage("read data"), *stages))
    return {
        "name": name,
        "size": values,
        "said_gib": memory / GIB,
        "said_seconds": sum(n * stage.seconds for n, stage in zip(times, stages, strict=True)),
        "n_threads": rates.cores if kind == "rollout" else 1,
        **read_json(path),
    }


def played(kind: str, values: dict[str, Any]) -> dict[str, float]:
    """Time that the stage took; memory of everything before it is of the process too."""
    size = Size(**values)
    work = PLAYS[kind](size, random_shop.dataset(size))
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


def a_rollout(size: Size, data: Any) -> Callable[[], Any]:
    """Guidance, and its log as a table."""
    guide, world = random_shop.guide(size, data), random_shop.world(size, data)
    options, wanted = RolloutOptions(n_rounds=size.rounds), random_shop.targets(size)
    return lambda: rollout(guide, world, data, wanted, options).log.to_table()


def a_graphau(size: Size, data: Any) -> Callable[[], Any]:
    """One epoch."""
    return lambda: fit_graphau(data, GraphAUOptions(embedding_dim=size.dim, stopping=ONCE))


def an_encoder(size: Size, data: Any) -> Callable[[], Any]:
    """One epoch of ICLRec."""
    options = {"embedding_dim": size.dim, "stopping": ONCE}
    items = random_shop.interest(size).item_vectors
    return lambda: fit_encoder("iclrec", data, items, options=options)


def the_companions(size: Size, data: Any) -> Callable[[], Any]:
    """All of them."""
    return lambda: companions(data, size.dim)


PLAYS: dict[str, Callable[[Size, Any], Callable[[], Any]]] = {
    "rollout": a_rollout,
    "graphau": a_graphau,
    "encoder": an_encoder,
    "companions": the_companions,
}


def table(rows: list[dict[str, Any]], rates: Rates) -> str:
    """Markdown: a row a size."""
    lines = [
        "| what | users | items | targets | rounds | memory said, GiB | taken | said / taken "
        "| time said, s | CPU taken, of a thread | said / taken | by the clock | load before |",
        f"| --- |{' ---: |' * 12}",
    ]
    for one in rows:
        size = Size(**one["size"])
        rounds = size.rounds if CASES[one["name"]][0] == "rollout" else 0
        lines.append(
            f"| {one['name']} | {size.users:,} | {size.items:,} | {size.targets} | {rounds or ''} "
            f"| {one['said_gib']:.2f} | {one['gib']:.2f} | {one['said_gib'] / one['gib']:.2f} "
            f"| {one['said_seconds']:.1f} | {(own := one['cpu_seconds'] / one['n_threads']):.1f} "
            f"| {one['said_seconds'] / own:.2f} | {one['seconds']:.1f} | {one['load_before']:.1f} |"
        )
    within = sum(abs(one["said_gib"] / one["gib"] - 1) <= ASKED for one in rows)
    judged = f"Memory is within a third in {within} of {len(rows)}."
    return "\n".join([*lines, "", judged, told(rates)])


def told(rates: Rates) -> str:
    """How it was done."""
    return (
        f"Rates, measured before: {rates.products / 1e9:.0f} GFLOP/s a core, "
        f"{rates.bandwidth / 1e9:.1f} GB/s of one core and {rates.bandwidth_together / 1e9:.1f} of "
        f"{rates.cores}. Taken: the most resident memory of a process that built the data set from "
        "tables and did the stage, and the time of the stage: that of the processor, shared by the "
        "threads, since others worked on the machine. GraphAU, encoder: one epoch. Histories have "
        "50 items on average, 10 of many users. The factors of times were measured on the same "
        "machine ([page](estimate-factors.md)), so they tell whether formulas carry over from one "
        "size to another, not from one machine to another."
    )


if __name__ == "__main__":
    main()
