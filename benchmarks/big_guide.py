"""A guide as large as a shop's, made without training: for load tests and timings.

Usage: python benchmarks/big_guide.py FOLDER [--n-users 100000] [--n-items 20000] [--seed 0]
       [--views companions categories] [--rails '{"plain_share": 0.25, "relevance_floor": 0.1}']
Items stand near the vector of their category, users near what they have, and the encoder has random
weights: what is shown means nothing, but takes as long and as much memory as if it were trained.
`open_guide` opens the folder; the policy is `foresight`, its other options are the default ones.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.sasrec import SASRec
from proactrec.graphau import InterestVectors
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.saved import Recipe, SavedGuide
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.views import VIEWS, Views
from proactrec.rng import generator, torch_generator
from proactrec.types import IntArray

N_CATEGORIES, N_EACH, N_LIKED = 20, 32, 3
"""Categories; about as many items as a user has; of as many categories are most of them."""
LIKED_SHARE, NEARNESS = 0.7, 1.0
"""Of a user's items that are of liked categories; of items to the vector of their category."""
DIM, MAIN_DIM = 64, 128
"""Of the encoder and of every other view; of the main one, which is two models side by side."""
NO_RAILS = RailsOptions()
OTHER_VIEWS = ForesightOptions().other_views


def big_guide(
    folder: Path,
    *,
    n_users: int = 100_000,
    n_items: int = 20_000,
    seed: int = 0,
    other_views: Sequence[str] = OTHER_VIEWS,
    rails: RailsOptions = NO_RAILS,
) -> SavedGuide:
    """The guide, saved in the folder.

    Users are `u0000000` and on, items `sku-00001` and on, categories `kind 0` to `kind 19`.
    """
    data = shop(n_users, n_items, seed)
    options = ForesightOptions(other_views=other_views)
    views = placed(data, options, seed)
    encoder = SASRec(n_items)
    encoder.start(seed, item_vectors(n_items, DIM, seed, "encoder"))
    policy = Foresight(views, data.train_counts, data.before("train"), options)
    within = Rails(rails, data.items, seed=seed)
    guide = Guide(policy, data.items, within, NextItem(encoder.eval()))
    with tempfile.TemporaryDirectory() as place:
        parts = {name: Path(place) / name for name in ("encoder", "views")}
        encoder.save(parts["encoder"], data)
        parts["views"].mkdir()
        save_file({n: x.contiguous() for n, x in views._asdict().items()}, parts["views"] / VIEWS)
        saved = SavedGuide(guide, KnownUsers.of(data), _recipe(data, options, parts), seed, n_items)
        saved.save(folder)
    return saved


def _recipe(data: Dataset, options: ForesightOptions, parts: dict[str, Path]) -> Recipe:
    about = {"name": data.name, "fingerprint": data.fingerprint}
    described = options.model_dump(mode="json")
    return Recipe(about, Foresight.name, described, parts["encoder"], {"views": parts["views"]})


def shop(n_users: int, n_items: int, seed: int) -> Dataset:
    """Users with items of which most are of the categories that they like; item n is of one."""
    rng = generator(seed, "big guide")
    of_kind = np.array_split(np.argsort(kinds(n_items), kind="stable") + 1, N_CATEGORIES)
    liked = rng.integers(N_CATEGORIES, size=(n_users, N_LIKED))
    kind = np.take_along_axis(liked, rng.integers(N_LIKED, size=(n_users, N_EACH)), 1)
    is_liked = rng.random((n_users, N_EACH)) < LIKED_SHARE
    kind = np.where(is_liked, kind, rng.integers(N_CATEGORIES, size=kind.shape))
    least = min(map(len, of_kind))
    table = np.stack([items[:least] for items in of_kind])
    place = (rng.random(kind.shape) ** 2 * least).astype(np.int64)  # some are had by many
    histories = _each_once(table[kind, place], n_items)
    return Dataset(
        name="big shop",
        user_ids=tuple(f"u{user:07}" for user in range(n_users)),
        item_ids=tuple(f"sku-{item:05}" for item in range(1, n_items + 1)),
        titles=tuple(f"Item {item}" for item in range(1, n_items + 1)),
        categories=tuple((f"kind {kind}",) for kind in kinds(n_items)),
        histories=histories,
        timestamps=np.arange(len(histories.item_idx)),
    )


def kinds(n_items: int) -> IntArray:
    """Category of every item: (n_items,)."""
    return np.arange(n_items) % N_CATEGORIES


def _each_once(item_idx: IntArray, n_items: int) -> Histories:
    """Rows (n_users, n) of items as histories, without those that were had before."""
    n_users, n_each = item_idx.shape
    key = np.arange(n_users)[:, None] * (n_items + 1) + item_idx
    first = np.unique(key, return_index=True)[1]
    first.sort()
    lengths = np.bincount(first // n_each, minlength=n_users)
    return Histories(np.concatenate([[0], lengths.cumsum()]), item_idx.ravel()[first])


def placed(data: Dataset, options: ForesightOptions, seed: int) -> Views:
    """The main view and the other ones, each with centres of its own."""
    main, *others = [
        _view(data, item_vectors(data.n_items, dim, seed, name))
        for name, dim in (("main", MAIN_DIM), *((name, DIM) for name in options.other_views))
    ]
    return Views.beside(main, others, options.view_share)


def item_vectors(n_items: int, dim: int, seed: int, name: str) -> Tensor:
    """Unit rows (n_items + 1, dim) around the vectors of their categories; 0 for padding."""
    rng = torch_generator(seed, "big guide", name)
    centres = F.normalize(torch.randn(N_CATEGORIES, dim, generator=rng), dim=1)
    own = F.normalize(torch.randn(n_items, dim, generator=rng), dim=1)
    rows = F.normalize(NEARNESS * centres[torch.from_numpy(kinds(n_items))] + own, dim=1)
    return torch.cat([rows.new_zeros(1, dim), rows])


def _view(data: Dataset, items: Tensor) -> InterestVectors:
    """Users at the mean of their train items."""
    train = data.before("train")
    user, item = torch.from_numpy(train.user_idx), torch.from_numpy(train.item_idx)
    users = torch.zeros(data.n_users, items.shape[1]).index_add(0, user, items[item])
    return InterestVectors(F.normalize(users, dim=1), items)


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-users", type=int, default=100_000)
    parser.add_argument("--n-items", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", nargs="*", default=OTHER_VIEWS, help="beside the main one")
    parser.add_argument("--rails", type=json.loads, default={}, help="JSON")
    given = parser.parse_args()
    rails, sizes = RailsOptions(**given.rails), {"n_users": given.n_users, "n_items": given.n_items}
    big_guide(given.folder, **sizes, seed=given.seed, other_views=given.views, rails=rails)


if __name__ == "__main__":
    main()
