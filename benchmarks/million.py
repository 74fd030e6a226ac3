"""Foresight over a million journeys and 20,000 items, in shards, and the memory that it takes.

Usage: python benchmarks/million.py [--n-journeys 1000000] [--n-items 20000] [--dim 256]
       [--shard 10000] [--n-shards ALL] [--folder runs/million] [--page PAGE.md]
Vectors are random: nothing is trained. A shard is decided, answered by simulated users and written;
once all have played a round, the acceptance model learns from the answers of everybody. So a run
goes on after the last whole shard. What it will take is printed before it starts, and kept beside
what a process of its own then took at most. `--n-shards` plays the first ones only.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Histories
from proactrec.data.items import Items
from proactrec.estimating import memory
from proactrec.estimating.memory import Part, at_most
from proactrec.evaluation.rollout import evidence_of
from proactrec.files import replacing
from proactrec.guidance.guide import BLOCK_SCORES, Guide
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import Evidence
from proactrec.policies.foresight import Foresight
from proactrec.policies.views import Views
from proactrec.rng import generator, keys_of, uniform_at
from proactrec.simulator.dynamics import moved
from proactrec.simulator.response import DistributionResponse
from shared.child import taken
from shared.page import origin, write_page

LIMIT_GIB = 4.0
N_ROUNDS, N_TARGETS, N_HISTORY = 2, 10, 20
VIEWS = (0.5, 0.25, 0.25)
"""Share of each view in the columns: two interest models, companions, categories."""
DOUBT = 0.5
"""Length of what the guide does not know of a user's vector."""


class Scale(NamedTuple):
    """How much there is to do."""

    n_journeys: int
    n_items: int
    dim: int
    shard: int
    n_shards: int
    folder: Path

    @classmethod
    def asked(cls, arguments: argparse.Namespace) -> "Scale":
        """What the command line says; no more shards than there are."""
        n_all = -(-arguments.n_journeys // arguments.shard)
        name = f"{arguments.n_journeys}-{arguments.n_items}-{arguments.dim}-{arguments.shard}"
        n_shards = min(n_all, arguments.n_shards or n_all)
        asked = arguments.n_journeys, arguments.n_items, arguments.dim, arguments.shard
        return cls(*asked, n_shards, arguments.folder / f"{name}-{n_shards}")

    def shards(self) -> Iterator[tuple[int, slice]]:
        """Numbers and journeys of those that are played."""
        for number in range(self.n_shards):
            start = number * self.shard
            yield number, slice(start, min(start + self.shard, self.n_journeys))


def main() -> None:
    """State the memory, play in a process of its own, and compare."""
    arguments = _arguments()
    scale = Scale.asked(arguments)
    if arguments.play:
        play(scale)
        return
    parts = stated(scale)
    print(memory_table(parts), flush=True)
    done = taken([sys.executable, *sys.argv, "--play"])
    if done.code:
        raise SystemExit(done.code)
    body = page(scale, parts, done.gib)
    print(body)
    if arguments.page:
        content = {
            "origin": origin(),
            "scale": scale._asdict() | {"folder": str(scale.folder)},
            "stated_bytes": {part.name: part.n_bytes for part in parts},
            "gib": done.gib,
            "rounds": rounds(scale),
        }
        title = f"Foresight over {scale.n_journeys:,} journeys and {scale.n_items:,} items"
        write_page(arguments.page, title, content, body)
    if done.gib > LIMIT_GIB or done.gib > at_most(parts) / 2**30:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-journeys", type=int, default=1_000_000)
    parser.add_argument("--n-items", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--shard", type=int, default=10_000, help="journeys of a shard")
    parser.add_argument("--n-shards", type=int, help="that are played; all by default")
    parser.add_argument("--folder", type=Path, default=Path("runs/million"))
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def stated(scale: Scale) -> tuple[Part, ...]:
    """Every part of the process."""
    n, n_views, n_rows = scale.n_journeys, len(VIEWS), scale.n_items + 1
    n_played = min(n, scale.n_shards * scale.shard)
    shard, answers = (4 * scale.dim + 300) * scale.shard, 2 * (9 + 4 * n_views) * n_played
    return (
        memory.process(),
        memory.user_vectors(n, scale.dim),
        memory.item_vectors(n_rows, scale.dim),
        memory.users(n, N_HISTORY),
        memory.hashing(n, N_HISTORY),
        Part("a shard", "by turns", "(4 · dim + 300) · journeys of a shard", shard),
        memory.block(max(BLOCK_SCORES, n_rows)),
        Part("answers", "held", "2 · (9 + 4 · views) · journeys", answers),
        memory.learning(n_views, n_played),
    )


def play(scale: Scale) -> None:
    """All rounds of all shards; what is written already is read."""
    torch.set_num_threads(1)
    guide, users = opened(scale)
    for number in range(1, N_ROUNDS + 1):
        told = []
        for shard, rows in scale.shards():
            path = file_of(scale, number, shard)
            if not path.exists():
                start, cpu = time.perf_counter(), time.process_time()
                played(scale, guide, users, rows, number, path)
                spent = time.perf_counter() - start, time.process_time() - cpu
                np.save(path.with_suffix(".npy"), np.array(spent))
                text = f"round {number}, shard {shard + 1}/{scale.n_shards}"
                print(f"{text}: {spent[0]:.1f} s, CPU {spent[1]:.1f} s", file=sys.stderr)
            told.append(evidence_in(path))
        if number < N_ROUNDS:
            policy: Any = guide.policy
            everybody = Evidence(
                *(torch.cat(column) for column in zip(*(one[:3] for one in told), strict=True))
            )
            guide = guide.knowing(policy.learned(guide.knowledge, everybody))


def opened(scale: Scale) -> tuple[Guide, Users]:
    """A guide that knows everybody, and everybody."""
    rng = generator(0, "million")
    sizes = [int(share * scale.dim) for share in VIEWS]
    of_column = torch.arange(len(VIEWS)).repeat_interleave(torch.tensor(sizes))
    deviations = torch.tensor([size**-0.5 for size in sizes])
    shares = torch.tensor([0.8, 0.1, 0.1])
    views = Views(
        unit_rows(rng, scale.n_journeys, sizes),
        unit_rows(rng, scale.n_items + 1, sizes).index_fill_(0, torch.tensor([0]), 0),
        of_column,
        shares,
        deviations,
    )
    n, n_items = scale.n_journeys, scale.n_items
    offsets = np.arange(n + 1, dtype=np.int64) * N_HISTORY
    history = Histories(offsets, rng.integers(1, n_items + 1, n * N_HISTORY))
    key = keys_of(f"user {user}" for user in range(n))
    users = Users(key, np.arange(n), history, np.zeros(n, dtype=bool))
    item_ids = tuple(str(item) for item in range(1, n_items + 1))
    counts = np.bincount(history.item_idx, minlength=n_items + 1)
    items = Items("million", item_ids, item_ids, ((),) * n_items, counts)
    return Guide(Foresight(views, counts, history), items), users


def unit_rows(rng: np.random.Generator, n: int, sizes: list[int]) -> Tensor:
    """Random vectors (n, sum of sizes) with length 1 in every view, made a few at a time."""
    found = torch.empty(n, sum(sizes))
    for rows in found.split(10_000):
        drawn = torch.from_numpy(rng.standard_normal(rows.shape, dtype=np.float32))
        rows.copy_(torch.cat([F.normalize(part, dim=1) for part in drawn.split(sizes, 1)], 1))
    return found


@torch.no_grad()
def played(scale: Scale, guide: Guide, users: Users, rows: slice, number: int, path: Path) -> None:
    """A shard's round: decided, answered and written."""
    policy: Any = guide.policy
    every = torch.arange(rows.start, rows.stop)
    targets = every * N_TARGETS // scale.n_journeys + 1
    journeys = Journeys.begun(users, every, targets, N_ROUNDS)
    views: Views = policy.views
    hidden = felt(views, every)
    for before in range(1, number):
        told = evidence_in(file_of(scale, before, rows.start // scale.shard))
        hidden = after_answer(hidden, views, told.item_idx, told.accepted)
        journeys = journeys.after(told.item_idx, told.accepted, told.item_idx > 0)
    ruled = guide.decide(journeys)
    interest = (hidden * views.item_vectors[ruled.item_idx]).sum(1)
    chance = DistributionResponse(slope=8.0, offset=0.1).accept_prob(interest.double())
    luck = uniform_at(0, users.key[rows], targets.numpy(), np.full(len(every), number))
    accepted = (torch.from_numpy(luck) < chance) & (ruled.item_idx > 0)
    told = evidence_of(ruled, ruled.item_idx, accepted)
    assert len(told.item_idx) == len(every), "nothing was left to be shown"
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **{name: x.numpy() for name, x in told._asdict().items() if x is not None})


def felt(views: Views, users: Tensor) -> Tensor:
    """Hidden vectors of users (n, d), as one view: near what the guide knows of them."""
    known = views.user_vectors[users]
    rng = generator(1, "million", int(users[0]))
    doubt = torch.from_numpy(rng.standard_normal(known.shape, dtype=np.float32))
    return F.normalize(F.normalize(known, dim=1) + DOUBT * F.normalize(doubt, dim=1), dim=1)


def after_answer(hidden: Tensor, views: Views, item_idx: Tensor, accepted: Tensor) -> Tensor:
    """Hidden vectors once items (n,) were answered."""
    share = torch.where(accepted, 0.8, 1.0)
    return moved(hidden, F.normalize(views.item_vectors[item_idx], dim=1), share)


def file_of(scale: Scale, number: int, shard: int) -> Path:
    """Where the answers of a shard's round lie."""
    return scale.folder / f"round-{number}" / f"{shard:05}.npz"


def evidence_in(path: Path) -> Evidence:
    """The answers of a shard's round."""
    with np.load(path) as saved:
        return Evidence(**{name: torch.from_numpy(saved[name]) for name in saved.files})


def rounds(scale: Scale) -> list[dict[str, float]]:
    """Journeys, acceptances and time of every round."""
    found = []
    for number in range(1, N_ROUNDS + 1):
        paths = [file_of(scale, number, shard) for shard, _ in scale.shards()]
        accepted = torch.cat([evidence_in(path).accepted for path in paths])
        spent = np.sum([np.load(path.with_suffix(".npy")) for path in paths], axis=0)
        row = {"journeys": len(accepted), "accepted": float(accepted.double().mean())}
        found.append(row | {"seconds": float(spent[0]), "cpu_seconds": float(spent[1])})
    return found


def memory_table(parts: tuple[Part, ...]) -> str:
    """Markdown: a row per part, and the most at one time."""
    rows = [(part.name, part.held, part.words, part.n_bytes) for part in parts]
    most = ("at most", "", "what is held and the largest of the rest", at_most(parts))
    lines = [
        f"| {name} | {held} | {words} | {n_bytes / 2**20:,.0f} |"
        for name, held, words, n_bytes in (*rows, most)
    ]
    return "\n".join(["| part | held | bytes | MiB |", "| --- | --- | --- | ---: |", *lines])


def page(scale: Scale, parts: tuple[Part, ...], gib: float) -> str:
    """Markdown: what was stated, what was taken, and the rounds."""
    lines = [
        memory_table(parts),
        "",
        f"**Taken at most: {gib:.2f} GiB** (stated {at_most(parts) / 2**30:.2f}, limit "
        f"{LIMIT_GIB:.0f}), the most resident memory of a process of its own.",
        "",
        "| round | journeys | accepted | seconds | CPU seconds | CPU ms per decision |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number, row in enumerate(rounds(scale), start=1):
        each = 1e3 * row["cpu_seconds"] / row["journeys"]
        lines.append(
            f"| {number} | {row['journeys']:,} | {row['accepted']:.3f} | {row['seconds']:,.0f} "
            f"| {row['cpu_seconds']:,.0f} | {each:.2f} |"
        )
    lines += [
        "",
        f"{scale.n_shards} shards of {scale.shard:,} journeys, one thread; {scale.dim} dimensions "
        f"in {len(VIEWS)} views, {N_HISTORY} items in a history. In the last round nothing is "
        "looked ahead to, so it is quicker. What was learned from round 1 decides round 2.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
