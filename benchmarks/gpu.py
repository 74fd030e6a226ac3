"""Whether a GPU computes what the CPU does, and how fast: one run of under four minutes.

Usage: python benchmarks/gpu.py PAGE.md [--device cuda]
       python benchmarks/gpu.py --device cpu --small
All data and vectors are drawn here, nothing is trained before. Every part is done by one core, by
all cores and by the GPU, one after the other in one process; the GPU also does what the cores did,
for comparison, and more for its own rate. Copies between host and GPU are counted by the profiler,
as what rounds 5 to 8 of a rollout add to rounds 1 to 4. The second form tries the script where
there is no GPU: it prints, and writes no page.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.graphau import Graph, GraphAU, GraphAUOptions, InterestVectors
from proactrec.intents import fit_intents
from proactrec.policies.base import Policy
from proactrec.policies.foresight import Foresight
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.views import Views
from proactrec.rng import generator, torch_generator
from proactrec.simulator.world import World, WorldOptions
from proactrec.training import mean_loss
from shared.page import origin, write_page

STRIDE = 7919
"""A prime: so many items on, none comes twice in a history."""
GUIDES = ("ITMPRec", "Foresight")
MOST_COPIES = {"ITMPRec": 2.0, "Foresight": 14.0}
"""Copies a round, in one block. ITMPRec reads how many histories are to be encoded again. Foresight
reads two such numbers; and what it learns goes down and up between rounds: five and four copies."""
LEAST_SAME, MOST_APART = 0.99, 1e-3
"""Share of decisions that are the same; distance of vectors, and of losses by their size."""


class Scale(NamedTuple):
    """How much there is, and how much of it cores and GPU do."""

    name: str
    n_users: int
    n_items: int
    n_history: int  # items of every user
    guided: tuple[int, int]  # users on the CPU and on the GPU
    n_targets: tuple[int, int]
    n_rounds: tuple[int, int]
    encoded: tuple[int, int]  # histories
    graphau_steps: tuple[int, int]
    sasrec_steps: tuple[int, int]


SCALES = (
    Scale(
        "as ML-100k",
        943,
        1682,
        106,
        (943, 943),
        (16, 50),
        (5, 20),
        (1886, 94_300),
        (10, 100),
        (3, 50),
    ),
    Scale(
        "100k × 100k",
        *(100_000, 100_000, 100),
        *((240, 4096), (1, 1), (5, 10), (2000, 100_000), (5, 50), (3, 50)),
    ),
)
SMALL = (
    Scale("small", 60, 90, 12, (60, 60), (2, 2), (2, 3), (60, 120), (2, 2), (1, 2)),
    Scale("sparse", 300, 2000, 8, (20, 30), (1, 1), (2, 2), (40, 60), (2, 2), (1, 2)),
)


class Side(NamedTuple):
    """Who does the work."""

    name: str
    device: str
    n_threads: int


class Part(NamedTuple):
    """A kind of work: prepared for a side and a share (0: what the cores do, 1: the GPU's own)."""

    name: str
    unit: str
    prepare: Callable[[Side, int], Callable[[], tuple[int, Tensor]]]
    check: Callable[[Tensor, Tensor], tuple[float, bool]]  # a figure, and whether it will do
    epoch: int = 0  # units of an epoch


class Drawn(NamedTuple):
    """Drawn data and vectors of a scale, on the CPU."""

    scale: Scale
    data: Dataset
    encoder: SASRec
    rows: Any


def main() -> None:
    """Do everything, print it, and write the page if a GPU did it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown page to write")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="toy sizes")
    arguments = parser.parse_args()
    start, n_cores = time.perf_counter(), os.cpu_count() or 1
    sides = [Side("one core", "cpu", 1), Side("all cores", "cpu", n_cores)]
    name = "again" if arguments.device == "cpu" else "GPU"
    sides.append(Side(name, arguments.device, n_cores))
    rows, copies = [], {}
    for scale in SMALL if arguments.small else SCALES:
        made = drawn(scale)
        rows += [measured(scale, part, sides) for part in parts_of(made)]
        if arguments.device != "cpu":
            copies[scale.name] = {name: copies_of(made, name, sides[-1]) for name in GUIDES}
    content = {
        "origin": origin(),
        "device": device_name(arguments.device),
        "n_cores": n_cores,
        "rows": rows,
        "copies_per_round": copies,
        "seconds": time.perf_counter() - start,
    }
    body = page(content)
    print(body)
    if arguments.page and arguments.device != "cpu":
        write_page(arguments.page, f"On {content['device']}", content, body)
    if not all_well(content):
        raise SystemExit(1)


def device_name(device: str) -> str:
    """What computes."""
    return "the CPU" if device == "cpu" else torch.cuda.get_device_name()


def drawn(scale: Scale) -> Drawn:
    """Data of a scale, an encoder with random weights, and what it trains on."""
    data = data_of(scale, scale.n_users)
    encoder = SASRec(scale.n_items, EncoderOptions(dropout=0.0))
    encoder.start(0, F.normalize(normal("items", scale.n_items + 1, 64), dim=1))
    return Drawn(scale, data, encoder.eval(), encoder.training_rows(data))


def data_of(scale: Scale, n_users: int) -> Dataset:
    """Users with histories in which no item comes twice."""
    first = generator(0, "gpu").integers(scale.n_items, size=n_users)
    items = (first[:, None] + STRIDE * np.arange(scale.n_history)) % scale.n_items + 1
    offsets = np.arange(n_users + 1, dtype=np.int64) * scale.n_history
    users, named = (tuple(map(str, range(n))) for n in (n_users, scale.n_items))
    histories = Histories(offsets, items.astype(np.int64).ravel())
    categories = ((),) * scale.n_items
    return Dataset("drawn", users, named, named, categories, histories, np.arange(items.size))


def normal(purpose: str, *shape: int) -> Tensor:
    """Normal numbers of a purpose."""
    return torch.randn(shape, generator=torch_generator(0, "gpu", purpose))


def parts_of(made: Drawn) -> Iterator[Part]:
    """All that is measured at a scale."""
    n_edges = len(made.data.before("train").item_idx)
    for name in GUIDES:
        yield Part(f"guidance, {name}", "decisions", guidance(made, name), same_items)
    yield Part("encoding", "histories", encoding(made), near)
    yield Part("training GraphAU", "edges", graphau(made), near, n_edges)
    yield Part("training SASRec", "sequences", sasrec(made), near, len(made.rows.item_seq))


def guidance(made: Drawn, name: str) -> Any:
    """Rollouts of a guide; gives what was shown."""

    def prepare(side: Side, share: int) -> Callable[[], tuple[int, Tensor]]:
        play = player(made, name, side, share)

        def work() -> tuple[int, Tensor]:
            log = play(made.scale.n_rounds[share]).log
            return int(log.is_shown.sum()), torch.from_numpy(log.item_idx)

        return work

    return prepare


def player(made: Drawn, name: str, side: Side, share: int) -> Callable[[int], Any]:
    """Plays so many rounds with users and vectors of its own."""
    scale = made.scale
    data = data_of(scale, scale.guided[share])
    users, items = (F.normalize(normal(x, n, 64), dim=1) for x, n in sizes_of(data).items())
    items[0] = 0
    targets, options = np.arange(1, scale.n_targets[share] + 1), WorldOptions()
    world = World(data, users, items, targets, options, device=side.device)
    policy = policy_of(made, data, name, side.device)

    def play(n_rounds: int) -> Any:
        return rollout(policy, world, data, targets, RolloutOptions(n_rounds=n_rounds))

    return play


def sizes_of(data: Dataset) -> dict[str, int]:
    """Rows of the tables of users and items."""
    return {"users": data.n_users, "items": data.n_items + 1}


def policy_of(made: Drawn, data: Dataset, name: str, device: str) -> Policy:
    """A guide's policy on a device."""
    if name == "ITMPRec":
        encoder = SASRec(made.scale.n_items, made.encoder.options)
        encoder.load_state_dict(made.encoder.state_dict())
        intents = fit_intents(made.encoder.item_vectors, 32, seed=0, source="random")
        return ITMPRec(encoder.to(device).eval(), intents)
    main, companions, categories = (
        InterestVectors(*(F.normalize(normal(f"{x} {n}", n, d), dim=1) for n in sizes))
        for x, d, sizes in (
            (kind, width, sizes_of(data).values())
            for kind, width in (("main", 128), ("companions", 64), ("categories", 64))
        )
    )
    views = Views.beside(main, [companions, categories]).to(device)
    return Foresight(views, data.train_counts, data.before("train"))


def encoding(made: Drawn) -> Any:
    """Histories to vectors; gives the first of them."""

    def prepare(side: Side, share: int) -> Callable[[], tuple[int, Tensor]]:
        encoder = SASRec(made.scale.n_items, made.encoder.options).to(side.device).eval()
        encoder.load_state_dict(made.encoder.state_dict())
        sequences = encoder.sequences(made.data.before("train"))
        n = made.scale.encoded[share]
        some = sequences[torch.arange(n) % len(sequences)].to(side.device)
        return lambda: (n, encoder.encode(some)[:100].cpu())

    return prepare


def graphau(made: Drawn) -> Any:
    """Steps of GraphAU; gives the loss."""
    known, options = made.data.before("train"), GraphAUOptions()
    users, items = (torch.from_numpy(x) for x in (known.user_idx, known.item_idx))
    # One layer needs no graph.
    nothing = Graph.of(known.user_idx[:1], known.item_idx[:1], *sizes_of(made.data).values())

    def prepare(side: Side, share: int) -> Callable[[], tuple[int, Tensor]]:
        n_steps, order = made.scale.graphau_steps[share], torch_generator(0, "gpu", "edges")
        size = min(options.batch_size, len(users) // 2)
        drawn = torch.randint(len(users), (n_steps, size), generator=order)
        batches = [(users[edges].to(side.device), items[edges].to(side.device)) for edges in drawn]
        sizes = made.data.n_users, made.data.n_items
        model = GraphAU(*sizes, nothing.to(torch.device(side.device)), options, 0).to(side.device)

        def work() -> tuple[int, Tensor]:
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
            loss = mean_loss(optimizer, (model.loss(*batch) for batch in batches))
            return drawn.numel(), torch.tensor([loss])

        return work

    return prepare


def sasrec(made: Drawn) -> Any:
    """Steps of SASRec; gives the loss."""

    def prepare(side: Side, share: int) -> Callable[[], tuple[int, Tensor]]:
        encoder = SASRec(made.scale.n_items, made.encoder.options).to(side.device)
        n_all, size = len(made.rows.item_seq), encoder.options.batch_size

        def work() -> tuple[int, Tensor]:
            encoder.load_state_dict(made.encoder.state_dict())
            encoder.train()
            optimizer = torch.optim.Adam(encoder.parameters())
            rng = torch_generator(0, "gpu", "sequences")
            drawn = torch.randint(n_all, (made.scale.sasrec_steps[share], size), generator=rng)
            losses = (
                encoder.loss(made.rows.batch(rows, rng, encoder.device), rng) for rows in drawn
            )
            return drawn.numel(), torch.tensor([mean_loss(optimizer, losses)])

        return work

    return prepare


def same_items(one: Tensor, other: Tensor) -> tuple[float, bool]:
    """Share of decisions that are the same."""
    share = float((one == other).double().mean())
    return share, share >= LEAST_SAME


def near(one: Tensor, other: Tensor) -> tuple[float, bool]:
    """Largest distance, by the largest number."""
    apart = float((one - other).abs().max() / one.abs().max())
    return apart, apart <= MOST_APART


def measured(scale: Scale, part: Part, sides: list[Side]) -> dict[str, Any]:
    """Units a second of every side, and how far the last is from the first."""
    rates, found = {}, {}
    for side in sides:
        torch.set_num_threads(side.n_threads)
        work = part.prepare(side, 0)
        _, found[side.name] = work()  # warms up
        if side is sides[-1]:
            work = part.prepare(side, 1)
            work()
        rates[side.name] = rate(work, side.device)
        print(
            f"{scale.name}, {part.name}, {side.name}: {rates[side.name]:,.0f} a second", flush=True
        )
    figure, will_do = part.check(found[sides[0].name], found[sides[-1].name])
    about = {"scale": scale.name, "part": part.name, "unit": part.unit, "epoch": part.epoch}
    return about | {"rates": rates, "check": figure, "will_do": will_do}


def rate(work: Callable[[], tuple[int, Tensor]], device: str) -> float:
    """Units a second, once all is done."""
    start = time.perf_counter()
    done, _ = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return done / (time.perf_counter() - start)


def copies_of(made: Drawn, name: str, side: Side) -> dict[str, float]:
    """Copies to the GPU and from it, a round."""
    play = player(made, name, side, 0)
    play(1)
    four, eight = (copied(partial(play, n)) for n in (4, 8))
    return {way: (eight[way] - four[way]) / 4 for way in four}


def copied(work: Callable[[], Any]) -> dict[str, int]:
    """Copies between host and GPU."""
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    events = profile.key_averages()
    ways = ("HtoD", "DtoH")
    return {way: sum(e.count for e in events if e.key.startswith(f"Memcpy {way}")) for way in ways}


def all_well(content: dict[str, Any]) -> bool:
    """Whether results are the same, and rounds ask next to nothing."""
    return all(row["will_do"] for row in content["rows"]) and all(
        sum(ways.values()) <= MOST_COPIES[name]
        for of_scale in content["copies_per_round"].values()
        for name, ways in of_scale.items()
    )


def page(content: dict[str, Any]) -> str:
    """Markdown: rates, checks and copies."""
    names = list(content["rows"][0]["rates"])
    lines = [
        f"| data | part | unit | {' | '.join(names)} | last by first | last by second "
        "| an epoch by the last | last beside first |",
        f"| --- | --- | --- | {'---: | ' * len(names)}---: | ---: | ---: | --- |",
    ]
    for row in content["rows"]:
        one, every, gpu = row["rates"].values()
        epoch = f"{row['epoch'] / gpu:,.2f} s" if row["epoch"] else "–"
        rates = " | ".join(f"{x:,.0f}" for x in row["rates"].values())
        kind = "same" if row["part"].startswith("guidance") else "apart"
        check = f"{row['check']:.4g} {kind}{'' if row['will_do'] else ': too far'}"
        lines.append(
            f"| {row['scale']} | {row['part']} | {row['unit']} a second | {rates} "
            f"| {gpu / one:,.1f} | {gpu / every:,.1f} | {epoch} | {check} |"
        )
    lines += [
        "",
        f"{content['n_cores']} cores; {content['device']}. *Same*: share of decisions of guidance "
        "that are those of the CPU. *Apart*: largest distance of vectors, or of losses, by their "
        f"size. {content['seconds']:,.0f} seconds in all.",
        "",
        "| data | guide | copies to the GPU, a round | from it |",
        "| --- | --- | ---: | ---: |",
        *(
            f"| {scale} | {name} | {ways['HtoD']:.1f} | {ways['DtoH']:.1f} |"
            for scale, of_scale in content["copies_per_round"].items()
            for name, ways in of_scale.items()
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
