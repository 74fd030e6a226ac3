"""Decisions over a million items: scoring everything, and one pass over int8 rows, in turns.

Usage: python benchmarks/retrieval.py PAGE.md [--n-items 1000000] [--n-users 60] [--n-batch 1000]
Vectors are random: rows in any direction, or in clusters. One core. Every journey is decided both
ways, right after a plain float32 product of one user with all items and their top 10, the limit
that times are told in. Penalties are made beforehand. Then a batch of users at once, in blocks of
32 (scoring everything) and one by one (the pass): rates, where scoring everything is timed on the
first of them. All is time of the processor, so that others on the machine cost less.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Histories
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.graphau import InterestVectors
from proactrec.intents import Intents
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import Candidates, Policy, View
from proactrec.policies.foresight import Foresight
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.views import Views
from proactrec.rng import generator, keys_of, torch_generator
from shared.page import origin, page_parser, write_page

N_HISTORY, N_ROUNDS, N_CLUSTERS, BRUTE_ROWS, N_BRUTE = 30, 20, 2_000, 32, 64


def main() -> None:
    """Measure all cases and write the page."""
    asked = _arguments()
    torch.set_num_threads(1)
    cases = []
    for kind in ("any direction", "clusters"):
        for name, policy, places in policies(asked.n_items, kind):
            case = {"vectors": kind, "policy": name, **compared(policy, places, asked)}
            cases.append(case)
            print(case, flush=True)
            del policy
    body = page(asked.n_items, cases)
    content = {"origin": origin(), "cases": cases}
    write_page(asked.page, "Decisions over a large catalogue", content, body)
    print(body)


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--n-items", type=int, default=1_000_000)
    parser.add_argument("--n-users", type=int, default=60)
    parser.add_argument("--n-batch", type=int, default=1_000)
    return parser.parse_args()


def rows_of(n: int, size: int, kind: str, *name: str | int) -> Tensor:
    """Unit rows (n, size)."""
    rng = torch_generator(0, "retrieval", *name)
    drawn = torch.randn(n, size, generator=rng)
    if kind == "clusters":
        centres = torch.randn(N_CLUSTERS, size, generator=torch_generator(0, "centres", size))
        drawn = 0.4 * drawn + centres[torch.randint(0, N_CLUSTERS, (n,), generator=rng)]
    return F.normalize(drawn, dim=1)


def table(n_items: int, size: int, kind: str, *name: str | int) -> Tensor:
    """Item vectors with padding in row 0."""
    return rows_of(n_items + 1, size, kind, "items", *name).index_fill_(0, torch.tensor([0]), 0)


def policies(n_items: int, kind: str) -> Iterator[tuple[str, Policy, Tensor]]:
    """Names, policies, and places of their users (1000, d)."""
    n_users = 1_000
    items = 3 * table(n_items, 64, kind)  # as long as trained item vectors are
    encoder = SASRec(n_items, EncoderOptions(embedding_dim=64))
    encoder.start(0, items)
    encoder.eval()
    users = 3 * rows_of(n_users, 64, kind, "users")
    yield "next-item", NextItem(encoder), users
    intents = Intents(rows_of(256, 64, kind, "intents"))
    yield "ITMPRec, 64 columns", ITMPRec(encoder, intents), users
    del encoder, items
    for size in (64, 256):
        users = rows_of(n_users, size, kind, "users")
        views = Views.beside(InterestVectors(users, table(n_items, size, kind)))
        counts = generator(0, "counts").integers(0, 1_000, n_items + 1)
        yield f"Foresight, {size} columns", Foresight(views, counts, nobody(n_users)), users


def nobody(n: int) -> Histories:
    """So many users without a history."""
    return Histories(np.zeros(n + 1, np.int64), np.zeros(0, np.int64))


def views_of(places: Tensor, n_items: int) -> Callable[[slice], View]:
    """What a policy sees of some users, each on the way to a target, 30 items being excluded."""
    n, rng = len(places), generator(0, "journeys")
    hidden = torch.from_numpy(rng.integers(1, n_items + 1, (n, N_HISTORY)))
    targets = torch.from_numpy(rng.integers(1, n_items + 1, n))
    key = keys_of(f"user {user}" for user in range(n))
    users = Users(key, np.arange(n), nobody(n), np.zeros(n, bool))
    journeys = Journeys.begun(users, torch.arange(n), targets, N_ROUNDS)

    def of(rows: slice) -> View:
        penalty = torch.zeros(len(places[rows]), n_items + 1)
        penalty.scatter_(1, hidden[rows], -torch.inf)[:, 0] = -torch.inf
        some = journeys.of(rows)
        return View(some, places[rows], Candidates(penalty), some.rounds_left)

    return of


@torch.no_grad()
def compared(policy: Any, places: Tensor, asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of decisions, both ways and beside the plain product, and rates of a batch."""
    search, view_of = policy._search, views_of(places, asked.n_items)
    product = table(asked.n_items, 64, "any direction").numpy()
    user = product[5].copy()

    def plain(view: View) -> Any:
        return torch.from_numpy(product @ user).topk(10)

    policy.decide(view_of(slice(0, 1)))  # compiled, and all pages touched
    spent: dict[str, list[float]] = {"product": [], "whole": [], "few": []}
    n_same = 0
    for row in range(asked.n_users):
        view = view_of(slice(row, row + 1))
        spent["product"].append(timed(plain, view)[0])
        policy._search = None
        seconds, whole = timed(policy.decide, view)
        spent["whole"].append(seconds)
        policy._search = search
        seconds, few = timed(policy.decide, view)
        spent["few"].append(seconds)
        n_same += int(whole.item_idx == few.item_idx)
    return {
        **{f"{name}_ms": round(1e3 * float(np.median(x)), 2) for name, x in spent.items()},
        "same": n_same,
        "of": asked.n_users,
        **batch(policy, search, view_of, asked.n_batch),
    }


def batch(policy: Any, search: Any, view_of: Callable[[slice], View], n: int) -> dict[str, float]:
    """Decisions a second of a batch; penalties are made outside of what is timed."""
    policy._search, whole = None, 0.0
    for at in range(0, N_BRUTE, BRUTE_ROWS):
        view = view_of(slice(at, at + BRUTE_ROWS))
        whole += timed(policy.decide, view)[0]
    policy._search, few = search, 0.0
    for at in range(n):
        view = view_of(slice(at, at + 1))
        few += timed(policy.decide, view)[0]
    return {"whole_rate": round(N_BRUTE / whole, 2), "few_rate": round(n / few, 2)}


def timed(work: Callable[[View], Any], view: View) -> tuple[float, Any]:
    """Seconds of the processor that it took, and what it gave."""
    start = time.thread_time()
    found = work(view)
    return time.thread_time() - start, found


def page(n_items: int, cases: list[dict[str, Any]]) -> str:
    """Markdown: a row per policy and kind of vectors."""
    lines = [
        f"{n_items:,} items, one core. A plain float32 product of one user of 64 columns with all "
        "items and its top 10, measured in turns with each row, is the unit of `x`.",
        "",
        "| vectors | policy | product, ms | all scored, ms | int8 pass, ms | x | same items | "
        "batch: all scored, 1/s | int8 pass, 1/s | times |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {case['vectors']} | {case['policy']} | {case['product_ms']} | {case['whole_ms']} | "
        f"{case['few_ms']} | {case['few_ms'] / case['product_ms']:.2f} | "
        f"{case['same']} of {case['of']} | {case['whole_rate']} | {case['few_rate']} | "
        f"{case['few_rate'] / case['whole_rate']:.1f} |"
        for case in cases
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
