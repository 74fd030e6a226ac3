"""How well items and users that were held out entirely are placed in the interest space.

Usage: python benchmarks/cold_items.py PAGE.md [--datasets demo ml-100k lastfm] [--seeds 0 1 2]
A fifth of the items and a tenth of the users are taken out of the log before GraphAU is trained.

Items: for every user in training who really touched some of the held-out items, these must score
above the other held-out items. AUC is the chance that they do, NDCG@20 looks at the first twenty.
Users: from a user's first events the vector is made that ranks all training items but the first
ten; what the user touched after these ten must come first. The category choice is the commonest
category among the first ten.

Trained vectors lie in runs/cold-items, so it goes on where it was killed. Intervals are 95 % over
seeds (Student's t).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from proactrec.cold_start import fit_content_map, user_from_category, user_from_items
from proactrec.content import ContentOptions, content_vectors
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.data.load import load_dataset
from proactrec.fitting.artefacts import ArtefactStore
from proactrec.graphau import InterestVectors, fit_graphau
from proactrec.rng import generator
from proactrec.types import BoolArray, FloatArray, IntArray
from shared.page import origin, page_parser, write_page
from shared.tables import interval, table

COLD_ITEMS, COLD_USERS = 0.2, 0.1
N_TOP = 20
FIGURES = ("auc", "ndcg")
FIRST_EVENTS = (1, 3, 5, 10)
N_NEIGHBOURS = 20
ONE_EVENT = "mean of the first 1"
ITEM_ROWS = {
    "random": "random",
    "category popularity": "mean popularity of the item's categories (no user in it)",
    "category mean": "mean vector of the item's categories",
    "neighbours": f"mean of the {N_NEIGHBOURS} training items with the nearest content",
    "categories only": "ridge from categories",
    "words only": "ridge from title words",
    "content map": "ridge from words and categories (what proactrec does)",
    "popularity": "true popularity of the held-out items, which nobody can know",
    "learned": "vector learned with all interactions, the answers among them",
}


class Split(NamedTuple):
    """What is left for training, and what was held out."""

    full: Dataset
    kept: Dataset
    is_cold_item: BoolArray  # (n_items,) of the full data set
    is_cold_user: BoolArray  # (n_users,)


def main() -> None:
    """Measure what is missing and write the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", default=["demo", "ml-100k", "lastfm"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    cells: dict[str, dict[str, Any]] = {}
    for name in arguments.datasets:
        for seed in arguments.seeds:
            cells[f"{name} seed={seed}"] = measured(name, seed)
            print(name, seed, cells[f"{name} seed={seed}"], flush=True)
    body = "\n\n".join(section(name, arguments.seeds, cells) for name in arguments.datasets)
    print(body)
    content = {"origin": origin(), "arguments": {k: str(v) for k, v in vars(arguments).items()}}
    write_page(arguments.page, "Cold items and users", {**content, "cells": cells}, body)


def measured(name: str, seed: int) -> dict[str, Any]:
    """All figures of one data set and seed."""
    split = held_out(load_dataset(name), seed)
    vectors, all_vectors = trained(split.kept, seed), trained(split.full, seed)
    return {
        "n_cold_items": int(split.is_cold_item.sum()),
        "n_cold_users": int(split.is_cold_user.sum()),
        "items": item_figures(split, vectors, all_vectors, seed),
        "users": user_figures(split, vectors),
    }


def held_out(dataset: Dataset, seed: int) -> Split:
    """The data set without a fifth of its items and a tenth of its users."""
    rng = generator(seed, "cold-start")
    is_cold_item = rng.random(dataset.n_items) < COLD_ITEMS
    is_cold_user = rng.random(dataset.n_users) < COLD_USERS
    user, item = dataset.histories.user_idx, dataset.histories.item_idx
    kept = ~is_cold_user[user] & ~is_cold_item[item - 1]
    events = pl.DataFrame(
        {
            "user_id": np.array(dataset.user_ids)[user[kept]],
            "item_id": np.array(dataset.item_ids)[item[kept] - 1],
            "timestamp": dataset.timestamps[kept],
        }
    )
    catalogue = Catalogue(
        pl.DataFrame(
            {
                "item_id": dataset.item_ids,
                "title": dataset.titles,
                "categories": [list(names) for names in dataset.categories],
            },
            schema_overrides={"categories": pl.List(pl.String)},
        )
    )
    left = Dataset.build(dataset.name, Interactions(events), catalogue)
    return Split(dataset, left, is_cold_item, is_cold_user)


def trained(dataset: Dataset, seed: int) -> InterestVectors:
    """GraphAU's vectors at its defaults, made once."""

    def make(folder: Path) -> None:
        users, items = fit_graphau(dataset, seed=seed)[0]
        save_file({"users": users, "items": items}, folder / "vectors.safetensors")

    inputs = {"dataset": dataset.fingerprint, "seed": seed}
    stage = ArtefactStore(Path("runs/cold-items")).get_or_make("interest", inputs, make)
    saved = load_file(stage.folder / "vectors.safetensors")
    return InterestVectors(saved["users"], saved["items"])


def item_figures(
    split: Split, vectors: InterestVectors, all_vectors: InterestVectors, seed: int
) -> dict[str, dict[str, float]]:
    """AUC and NDCG@20 of held-out items for users in training, by how they are placed."""
    full, kept = split.full, split.kept
    number = {item_id: row for row, item_id in enumerate(full.item_ids)}
    warm = np.array([number[item_id] for item_id in kept.item_ids])
    cold = np.flatnonzero(split.is_cold_item)
    answers = cold_answers(split)
    rows = {user_id: row for row, user_id in enumerate(full.user_ids)}
    same_users = torch.tensor([rows[user_id] for user_id in kept.user_ids])
    popularity = np.bincount(full.histories.item_idx, minlength=full.n_items + 1)[1:]
    learned = vectors.item_vectors[1:]
    content = {
        name: content_vectors(full.titles, full.categories, options=options, seed=seed)
        for name, options in {
            "content map": ContentOptions(),
            "words only": ContentOptions(category_weight=0),
            "categories only": ContentOptions(text_weight=0),
        }.items()
    }
    placed = {
        name: F.normalize(fit_content_map(z[warm], learned)(z[cold]), dim=1)
        for name, z in content.items()
    }
    nearest = F.normalize(content["content map"], dim=1)
    placed["neighbours"] = neighbours(nearest[cold] @ nearest[warm].T, learned)
    membership = memberships(full)
    placed["category mean"] = category_means(membership, warm, cold, learned)
    users = vectors.user_vectors
    scores: dict[str, FloatArray] = {
        name: (users @ items.T).double().numpy() for name, items in placed.items()
    }
    shape = (kept.n_users, len(cold))
    scores["random"] = generator(seed, "random-scores").random(shape)
    scores["popularity"] = np.broadcast_to(popularity[cold].astype(np.float64), shape)
    warm_popularity = torch.from_numpy(popularity[warm]).float()[:, None]
    of_category = category_means(membership, warm, cold, warm_popularity, is_unit=False)
    scores["category popularity"] = np.broadcast_to(of_category[:, 0].double().numpy(), shape)
    all_items = all_vectors.item_vectors[1:][cold]
    scores["learned"] = (all_vectors.user_vectors[same_users] @ all_items.T).double().numpy()
    return {name: ranking_figures(scores[name], answers) for name in ITEM_ROWS}


def user_figures(split: Split, vectors: InterestVectors) -> dict[str, dict[str, float]]:
    """AUC and NDCG@20 of held-out users' later items, by what their vector is made from."""
    full, kept = split.full, split.kept
    row = {item_id: number for number, item_id in enumerate(kept.item_ids, start=1)}
    of_full = np.array([0, *(row.get(item_id, 0) for item_id in full.item_ids)])
    longest = max(FIRST_EVENTS)
    histories = []
    for user in np.flatnonzero(split.is_cold_user):
        history = of_full[full.histories.of(int(user))]
        if len(history := history[history > 0]) > longest:
            histories.append(history)
    items = vectors.item_vectors
    popularity = np.bincount(kept.before("train").item_idx, minlength=kept.n_items + 1)
    made: dict[str, list[Tensor]] = {}
    for history in histories:
        for n in FIRST_EVENTS:
            first = history[:n]
            made.setdefault(f"mean of the first {n}", []).append(user_from_items(items, first))
            made.setdefault(f"ridge of the first {n}", []).append(folded_in(items, first))
        category = favourite(kept, history[:longest])
        listed = kept.items.of_category(category) if category else history[:longest]
        made.setdefault("a category: mean of its items", []).append(user_from_items(items, listed))
        taken = user_from_category(kept, items, category) if category else made[ONE_EVENT][-1]
        made.setdefault("a category: mean of its interactions", []).append(taken)
    answers = [history[longest:] - 1 for history in histories]
    known = [history[:longest] - 1 for history in histories]
    figures = {}
    for name, users in made.items():
        scores = (torch.stack(users) @ items[1:].T).double().numpy()
        figures[name] = ranking_figures(scores, answers, known)
    shape = (len(histories), kept.n_items)
    same = np.broadcast_to(popularity[1:].astype(np.float64), shape)
    return {"popularity": ranking_figures(same, answers, known), **figures}


def folded_in(item_vectors: Tensor, item_idx: IntArray, penalty: float = 1.0) -> Tensor:
    r"""A user's unit vector by ridge regression to an interest of 1 in the first events.

    With their vectors V it is :math:`n((V^\top V + \lambda I)^{-1} V^\top 1)`: items that lie near
    each other count less than in the mean.
    """
    rows = item_vectors[torch.from_numpy(item_idx)].double()
    gram = rows.t() @ rows + penalty * torch.eye(rows.shape[1], dtype=torch.float64)
    return F.normalize(torch.linalg.solve(gram, rows.sum(0)), dim=0).float()


def cold_answers(split: Split) -> list[IntArray]:
    """Places among the held-out items of those that each user in training touched."""
    place = np.cumsum(split.is_cold_item) - 1
    row = {user_id: number for number, user_id in enumerate(split.full.user_ids)}
    answers = []
    for user_id in split.kept.user_ids:  # who touched only held-out items is in no training
        touched = split.full.histories.of(row[user_id]) - 1
        answers.append(place[touched[split.is_cold_item[touched]]])
    return answers


def ranking_figures(
    scores: FloatArray, answers: list[IntArray], known: list[IntArray] | None = None
) -> dict[str, float]:
    """Mean AUC and NDCG@20 over the users who have an answer; known items are left out."""
    auc, ndcg = [], []
    discount = 1 / np.log2(np.arange(2, N_TOP + 2))
    for row, wanted in enumerate(answers):
        is_wanted = np.zeros(scores.shape[1], dtype=bool)
        is_wanted[wanted] = True
        own = scores[row]
        if known is not None:
            is_left = np.ones(len(own), dtype=bool)
            is_left[known[row]] = False
            own, is_wanted = own[is_left], is_wanted[is_left]
        n = int(is_wanted.sum())
        if n == 0 or n == len(own):
            continue
        ranks = mean_ranks(own)
        auc.append((ranks[is_wanted].sum() - n * (n - 1) / 2) / (n * (len(own) - n)))
        first = is_wanted[np.argsort(-own, kind="stable")[:N_TOP]]
        ndcg.append((first * discount[: len(first)]).sum() / discount[:n].sum())
    return {"auc": float(np.mean(auc)), "ndcg": float(np.mean(ndcg)), "n_users": len(auc)}


def mean_ranks(scores: FloatArray) -> FloatArray:
    """Rank of every score from 0, equal ones sharing the mean of their ranks."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def neighbours(similarity: Tensor, vectors: Tensor) -> Tensor:
    """Mean of the most similar items' vectors, weighted by similarity."""
    top = similarity.topk(min(N_NEIGHBOURS, similarity.shape[1]), dim=1)
    weights = torch.zeros_like(similarity).scatter(1, top.indices, top.values.clamp_min(0))
    return F.normalize(weights @ vectors, dim=1)


def memberships(dataset: Dataset) -> Tensor:
    """Which item has which category: (n_items, n_categories)."""
    column = {name: number for number, name in enumerate(dataset.items.category_names)}
    found = torch.zeros(dataset.n_items, max(1, len(column)))
    for row, names in enumerate(dataset.categories):
        found[row, [column[name] for name in names]] = 1
    return found


def category_means(
    membership: Tensor, warm: IntArray, cold: IntArray, values: Tensor, *, is_unit: bool = True
) -> Tensor:
    """Mean over an item's categories of the mean value of their training items."""
    sizes = membership[warm].sum(0).clamp_min(1)[:, None]
    means = membership[warm].T @ values / sizes  # (n_categories, d)
    own = membership[cold] * (membership[warm].sum(0) > 0)
    found = own @ means / own.sum(1).clamp_min(1)[:, None]
    found[own.sum(1) == 0] = values.mean(0)
    return F.normalize(found, dim=1) if is_unit else found


def favourite(dataset: Dataset, items: IntArray) -> str | None:
    """The category that most of these items have: what somebody would have chosen."""
    counts: dict[str, int] = {}
    for item in items:
        for name in dataset.categories[item - 1]:
            counts[name] = counts.get(name, 0) + 1
    return max(sorted(counts), key=lambda name: counts[name]) if counts else None


def section(name: str, seeds: list[int], cells: dict[str, dict[str, Any]]) -> str:
    """Markdown of one data set: items, then users."""
    found = [cells[f"{name} seed={seed}"] for seed in seeds]
    sizes = ", ".join(f"{cell['n_cold_items']}" for cell in found)
    lines = [
        f"## {name}",
        "",
        f"Held out: {sizes} items. Mean over {len(seeds)} seeds ± half of the 95 % interval.",
        "",
    ]
    for kind, labels in (
        ("items", ITEM_ROWS),
        ("users", {key: key for key in found[0]["users"]}),
    ):
        rows = [
            [label, *(interval([cell[kind][key][f] for cell in found], 3) for f in FIGURES)]
            for key, label in labels.items()
        ]
        lines += [table([f"cold {kind} placed by", "AUC", "NDCG@20"], rows), ""]
    return "\n".join(lines[:-1])


if __name__ == "__main__":
    main()
