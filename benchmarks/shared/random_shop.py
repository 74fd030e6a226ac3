"""A shop of any size with random vectors: nothing is trained, so guidance alone is timed."""

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.iclrec import ICLRec, ICLRecOptions
from proactrec.estimating.size import FORESIGHT, Size
from proactrec.graphau import InterestVectors
from proactrec.guidance.guide import Guide
from proactrec.intents import IntentOptions, fit_intents
from proactrec.policies.base import Policy
from proactrec.policies.foresight import Foresight
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.views import Views
from proactrec.rng import generator
from proactrec.simulator.world import World

LEAST = 3
"""Items of a history: else there is nothing to validate on."""


def tables(size: Size) -> tuple[Interactions, Catalogue]:
    """Events of users, some of whom have far more items than others, and the items."""
    rng = generator(0, "random shop")
    drawn = LEAST + rng.exponential(max(0.0, size.history - LEAST), size.users).astype(np.int64)
    n_each = np.minimum(drawn, size.items)
    user = np.repeat(np.arange(size.users), n_each)
    number = np.arange(len(user)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
    start = rng.integers(size.items, size=size.users)
    step = rng.integers(1, np.maximum(2, size.items // n_each))  # no item twice
    item = (start[user] + step[user] * number) % size.items
    events = pl.DataFrame({"user_id": user, "item_id": item, "timestamp": number})
    events = events.with_columns(pl.col("user_id", "item_id").cast(pl.String))
    ids = pl.Series(np.arange(size.items)).cast(pl.String)
    nothing = pl.Series([["any"]], dtype=pl.List(pl.String)).new_from_index(0, size.items)
    catalogue = pl.DataFrame({"item_id": ids, "title": ids, "categories": nothing})
    return Interactions(events), Catalogue(catalogue)


def dataset(size: Size) -> Dataset:
    """Joined as those of users are; items that nobody has stay."""
    return Dataset.build("random", *tables(size), keep_cold=True)


def interest(size: Size) -> InterestVectors:
    """Of the simulated users."""
    return InterestVectors(*unit_tables(size, [size.dim]))


def unit_tables(size: Size, widths: list[int]) -> tuple[Tensor, Tensor]:
    """Vectors of users and items, of length 1 in every view; padding is zero."""
    rng = torch.Generator().manual_seed(0)
    made = []
    for n in (size.users, size.n_rows):
        views = (F.normalize(torch.randn(n, width, generator=rng), dim=1) for width in widths)
        made.append(torch.cat(list(views), 1))
    made[1][0] = 0
    return made[0], made[1]


def world(size: Size, data: Dataset) -> World:
    """Simulated users, as by default."""
    return World(data, *interest(size), targets(size))


def targets(size: Size) -> np.ndarray:
    """The first items."""
    return np.arange(1, size.targets + 1)


def guide(size: Size, data: Dataset) -> Guide:
    """The policy of that name."""
    return Guide(policy(size, data), data.items)


def policy(size: Size, data: Dataset) -> Policy:
    """With random vectors or weights."""
    if size.has_views:
        return Foresight(views(size), data.train_counts, data.before("train"))
    if size.policy == "itmprec":
        model = encoder(size)
        n_intents = min(IntentOptions().n_intents, size.items)
        return ITMPRec(model, fit_intents(model.item_vectors[1:], n_intents, seed=0))
    return IPG(encoder(size)) if size.policy == "ipg" else NextItem(encoder(size))


def views(size: Size) -> Views:
    """Interest models, companions and categories."""
    others = [FORESIGHT.view_dim] * (size.n_views - 1)
    widths = [FORESIGHT.n_models * size.dim, *others]
    share = FORESIGHT.view_share
    return Views(
        *unit_tables(size, widths),
        torch.arange(len(widths)).repeat_interleave(torch.tensor(widths)),
        torch.tensor([1 - share * len(others), *[share] * len(others)]),
        torch.tensor(widths) ** -0.5,
    )


def encoder(size: Size) -> ICLRec:
    """Random weights."""
    made = ICLRec(size.items, ICLRecOptions(embedding_dim=size.dim))
    made.start(0, None)
    return made.eval()
