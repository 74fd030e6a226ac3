"""What the kernels of `proactrec estimate` take of their roofline: the factors of the package.

Usage: python benchmarks/estimate_factors.py PAGE.md [--only TEXT]
One thread, by its processor time; random vectors. Prints the table that belongs into
`src/proactrec/estimating/factors.py`, which is that of the page.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from proactrec.content import left_singular
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import TrainingSequences
from proactrec.estimating.kernels import BATCH, KERNELS, PASSES
from proactrec.estimating.rates import Rates, seconds_of
from proactrec.estimating.size import ENCODER, FORESIGHT, Size
from proactrec.graphau import Graph, GraphAU, GraphAUOptions
from proactrec.guidance.recorded import train_users
from proactrec.intents import IntentOptions, cluster
from proactrec.journeys import Journeys
from proactrec.policies.base import Evidence
from proactrec.policies.together import information
from proactrec.policies.views import companions
from proactrec.ranking import answer_places
from proactrec.rng import torch_generator
from proactrec.simulator.environment import Environment
from proactrec.tables import adam, rows_of
from proactrec.threads import one_thread
from shared import random_shop
from shared.page import origin, write_page

Measured = tuple[str, Size, float, Callable[[], Any]]
"""A kernel, the size it is measured at, how many units a call does, and the call."""
SMALL = Size(users=2000, items=2000)
LARGE = Size(users=2000, items=16_000)
SEARCHED = Size(users=2000, items=100_000)
"""Beyond what is scored as a whole (`retrieval/`)."""
COMPANIONS = (
    (Size(users=2000, items=5000), "counting", "decomposing"),
    (Size(users=7000, items=20_000), "counting by item", "decomposing kept pairs"),
)
N_TABLE, N_HISTORIES, N_ROUNDS = 50_000, 480, 10


def main() -> None:
    """Measure all, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown page to write")
    parser.add_argument("--only", default="", help="kernels whose name holds this text")
    arguments = parser.parse_args()
    load, rates = os.getloadavg()[0], Rates.measured()
    with one_thread():
        rows = list(factors(rates, arguments.only))
    body = "\n".join([*table(rows), "", told(rates, load)])
    print(body)
    print("\n".join(f'    "{row["kernel"]}": {row["factor"]:.3g},' for row in rows))
    if arguments.page:
        content = {
            "origin": origin(),
            "load_before": load,
            "rates": rates.model_dump(),
            "rows": rows,
        }
        write_page(arguments.page, "Factors of the roofline", content, body)


def factors(rates: Rates, only: str) -> Iterator[dict[str, Any]]:
    """Every kernel by its time; of two that come together, the first is known when the other is."""
    for name, size, n_units, work in measured():
        if only in name:
            yield row(name, size, seconds_of(work, median) / n_units, rates)
    for size, counting, decomposing in COMPANIONS:
        if only in counting or only in decomposing:
            yield from of_companions(size, counting, decomposing, rates)
    if any(only in f"{what} foresight" for what in ("weighing by", "narrowing by", "planning of")):
        yield from of_foresight(rates)


def row(name: str, size: Size, seconds: float, rates: Rates) -> dict[str, Any]:
    """A kernel's time of a unit, beside its roofline."""
    kernel = KERNELS[name]
    operations, n_bytes = kernel.operations(size), kernel.n_bytes(size)
    floor = max(operations / rates.products, n_bytes / rates.bandwidth)
    about = {"kernel": name, "unit": kernel.unit, "size": size.model_dump()}
    cost = {"operations": operations, "bytes": n_bytes, "seconds": seconds, "floor": floor}
    return {**about, **cost, "factor": seconds / floor}


def measured() -> Iterator[Measured]:
    """Kernels that are measured by themselves."""
    yield reading()
    yield uniformity()
    yield step()
    yield scores()
    yield training()
    yield encoding()
    yield clustering()
    yield touched()
    data, searched = random_shop.dataset(LARGE), random_shop.dataset(SEARCHED)
    for policy in PASSES:
        if policy != "foresight":
            yield looking("weighing", LARGE.model_copy(update={"policy": policy}), data)
            yield looking("narrowing", SEARCHED.model_copy(update={"policy": policy}), searched)
    yield hiding(data)
    yield moving(data)
    yield answering(data)
    yield learning(data)


def reading() -> Measured:
    """Tables of events to a data set."""
    tables = random_shop.tables(LARGE)
    size = LARGE.n_interactions
    return "reading", LARGE, size, lambda: Dataset.build("x", *tables, keep_cold=True)


def uniformity() -> Measured:
    """A batch of GraphAU and its way back, on tables too small to count."""
    rng = np.random.default_rng(0)
    users, items = (rng.integers(1, 2000, BATCH) for _ in range(2))
    graph = Graph.of(users, items, 2000, 2000)
    model = GraphAU(2000, 1999, graph, GraphAUOptions(), 0)
    edges = torch.from_numpy(users), torch.from_numpy(items)
    return "uniformity", SMALL, BATCH, lambda: model.loss(*edges).backward()


def step() -> Measured:
    """A dense step of Adam, of a table of which few rows were touched."""
    table = torch.nn.Parameter(torch.randn(N_TABLE, SMALL.dim))
    optimizer = torch.optim.Adam([table], weight_decay=1e-6)
    touched = torch.arange(BATCH)

    def work() -> None:
        table[touched].sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return "step", SMALL, N_TABLE, work


def touched() -> Measured:
    """A step of Adam that moves the rows of a batch, of a large table."""
    table = torch.nn.Parameter(torch.randn(4 * N_TABLE, SMALL.dim))
    optimizer = adam([table], lr=0.1, weight_decay=1e-6, touched=True)
    rows = torch.randperm(len(table))[:BATCH]

    def work() -> None:
        rows_of(table, rows, touched=True).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return "step of touched rows", SMALL, BATCH, work


def scores() -> Measured:
    """Places of answers among all items."""
    users, items = random_shop.interest(LARGE)
    known = random_shop.dataset(LARGE).before("train")
    answers = np.ones(LARGE.users, np.int64)

    def work() -> Any:
        return answer_places(
            lambda rows: users[torch.from_numpy(rows)] @ items.T, answers, known, LARGE.n_rows
        )

    return "scores", LARGE, LARGE.users, work


def training() -> Measured:
    """A batch of ICLRec and its way back: a sequence and two views."""
    encoder, data = random_shop.encoder(SMALL).train(), random_shop.dataset(SMALL)
    encoder.eval()
    rows = TrainingSequences(data, encoder.options)
    encoder.start_epoch(rows, 0)
    encoder.train()
    batch = rows.batch(torch.arange(ENCODER.batch_size), torch_generator(0, "x"), encoder.device)
    rng = torch_generator(0, "y")
    return "training", SMALL, 3 * ENCODER.batch_size, lambda: encoder.loss(batch, rng).backward()


def encoding() -> Measured:
    """Histories to vectors."""
    encoder = random_shop.encoder(SMALL)
    drawn = torch.randint(1, SMALL.n_rows, (N_HISTORIES, ENCODER.max_seq_len))
    return "encoding", SMALL, N_HISTORIES, lambda: encoder.encode(drawn)


def clustering() -> Measured:
    """K-means of vectors."""
    points, n = torch.randn(8192, SMALL.dim), IntentOptions().n_intents
    return "clustering", SMALL, len(points), lambda: cluster(points, n, seed=0)


def on_the_way(data: Dataset, size: Size) -> Journeys:
    """Everybody, some rounds played; every other item was accepted."""
    users, everybody = train_users(data), torch.arange(size.users)
    journeys = Journeys.begun(users, everybody, torch.ones_like(everybody), size.rounds)
    rng = torch.Generator().manual_seed(0)
    for number in range(N_ROUNDS):
        shown = torch.randint(2, size.n_rows, (size.users,), generator=rng)
        taken = torch.full((size.users,), number % 2 == 0)
        journeys = journeys.after(shown, taken, taken)
    return journeys


def looking(how: str, size: Size, data: Dataset) -> Measured:
    """Decisions of a block of journeys, places and what may be shown being made."""
    guide, journeys = random_shop.guide(size, data), on_the_way(data, size)
    journeys = journeys.of(slice(0, int(size.block)))
    view = guide.view(journeys, guide.places(journeys))
    policy = guide.policy
    return f"{how} by {size.policy}", size, len(journeys.user), lambda: policy.decide(view)


def hiding(data: Dataset) -> Measured:
    """What may be shown, for a block of journeys."""
    guide, journeys = random_shop.guide(LARGE, data), on_the_way(data, LARGE).of(slice(0, 74))
    places = guide.places(journeys)
    return "hiding", LARGE, len(journeys.user), lambda: guide.view(journeys, places)


def moving(data: Dataset) -> Measured:
    """Foresight's places, made from all answers so far."""
    policy, journeys = random_shop.policy(LARGE, data), on_the_way(data, LARGE)
    return "moving", LARGE, LARGE.users * N_ROUNDS, lambda: policy.place(journeys)


def answering(data: Dataset) -> Measured:
    """Simulated users of a block in a round, again and again."""
    environment = Environment(random_shop.world(LARGE, data))
    n, shown = 500, torch.full((500,), 7)
    environment.reset(np.arange(n), np.ones(n, np.int64), n_rounds=5000)  # more than are timed
    return "answering", LARGE, n, lambda: environment.step(shown)


def learning(data: Dataset) -> Measured:
    """The acceptance model takes in answers."""
    policy: Any = random_shop.policy(LARGE, data)
    rng = torch.Generator().manual_seed(0)
    n = 20_000
    shown = torch.randint(1, LARGE.n_rows, (n,), generator=rng)
    features = torch.randn(n, len(policy.knowledge.weights) - 1, generator=rng) / 8
    told = Evidence(shown, features, torch.rand(n, generator=rng) < 0.5)
    return "learning", LARGE, n, lambda: policy.learned(policy.knowledge, told)


def of_companions(
    size: Size, counting: str, decomposing: str, rates: Rates
) -> Iterator[dict[str, Any]]:
    """All of it less decomposing what is kept is counting."""
    data = random_shop.dataset(size)
    known, n_rows = data.before("train"), size.n_rows
    n_met = int((known.lengths**2).sum())
    matrix, transposed = information(known, n_rows)
    rng, n = torch_generator(0, "x"), matrix.values().numel()
    spent = seconds_of(lambda: left_singular(matrix, transposed, FORESIGHT.view_dim, rng), median)
    yield row(decomposing, size, spent / n, rates)
    whole = seconds_of(lambda: companions(data, FORESIGHT.view_dim), median)
    yield row(counting, size, max(0.0, whole - spent) / n_met, rates)


def of_foresight(rates: Rates) -> Iterator[dict[str, Any]]:
    """Decisions: what grows with items that are all scored is weighing, the rest planning.

    Where they are searched, what is not planning is narrowing.
    """
    spent = {size.items: seconds_of_foresight(size) for size in (SMALL, LARGE, SEARCHED)}
    an_item = (spent[LARGE.items] - spent[SMALL.items]) / (LARGE.items - SMALL.items)
    planning = max(0.0, spent[SMALL.items] - an_item * SMALL.n_rows)
    yield row("weighing by foresight", LARGE, an_item * LARGE.n_rows, rates)
    yield row("narrowing by foresight", SEARCHED, spent[SEARCHED.items] - planning, rates)
    yield row("planning", SMALL, planning, rates)


def seconds_of_foresight(size: Size) -> float:
    """Of one of its decisions in a block."""
    data = random_shop.dataset(size)
    guide = random_shop.guide(size, data)
    journeys = on_the_way(data, size).of(slice(0, int(size.block)))
    view = guide.view(journeys, guide.places(journeys))
    return seconds_of(partial(guide.policy.decide, view), median) / len(journeys.user)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: a row a kernel."""
    lines = [
        "| kernel | a unit is | operations; bytes of a unit | µs a unit | roofline, µs | factor |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for one in rows:
        name = one["kernel"]
        lines.append(
            f"| {name} | {one['unit']} | {KERNELS[name].words} | {1e6 * one['seconds']:.3g} "
            f"| {1e6 * one['floor']:.3g} | {one['factor']:.3g} |"
        )
    return lines


def told(rates: Rates, load: float) -> str:
    """What the rooflines are made of."""
    return (
        f"One thread, by its processor time; {rates.products / 1e9:.0f} GFLOP/s in products of "
        f"(1024 × 64) · (64 × 2048), {rates.bandwidth / 1e9:.1f} GB/s in copies of 128 MiB, both "
        f"at best; load before: {load:.1f}. "
        f"{SMALL.users:,} users, {SMALL.items:,} or {LARGE.items:,} items, "
        f"{SEARCHED.items:,} where they are searched, histories of 50 on average, vectors of 64. "
        "A factor below 1: what is read is still in the cache."
    )


if __name__ == "__main__":
    main()
