"""Which items of a category to promote: pre-match (P), random ones, or a given list."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset, Histories
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.graphau import InterestVectors
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray

OFFICIAL_POOL_SEED, OFFICIAL_RANDOM_SEED = 2021, 2024


class TargetOptions(Options):
    """How targets are chosen."""

    mode: Literal["prematch", "random_category", "random_all"] = Field(
        "prematch", description="best pre-match scores of the category, or random items"
    )
    n_targets: int = Field(
        50, ge=1, description="number of targets to choose; a smaller pool gives fewer"
    )
    pool: int | None = Field(
        None, ge=1, description="candidates scored: that many at random, or all of the category"
    )
    space: Literal["graphau", "encoder"] = Field(
        "graphau", description="vectors of the pre-match score: interest vectors, or the encoder's"
    )
    official_shuffle: bool = Field(
        False, description="random choices by the authors' code's own seeds, not the run's"
    )


class Targets(NamedTuple):
    """Chosen targets, best first."""

    item_idx: IntArray  # (n_targets,)
    score: FloatArray  # (n_targets,), NaN where targets were not scored


def prematch_scores(user_vectors: Tensor, item_vectors: Tensor, candidates: IntArray) -> FloatArray:
    r"""Preference of all users for each candidate: :math:`L(l) = \sum_u e_l^\top e_u`.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
    item_vectors : float tensor, shape (n_items + 1, d)
    candidates : int array, shape (n_candidates,)

    Returns
    -------
    float array, shape (n_candidates,)
    """
    everybody = user_vectors.double().sum(0)
    return (item_vectors.double() @ everybody).cpu().numpy()[candidates]


def prematch(
    user_vectors: Tensor, item_vectors: Tensor, candidates: IntArray, n_targets: int
) -> Targets:
    """The `n_targets` candidates with the highest scores, best first (equal ones by index)."""
    everything = np.arange(len(item_vectors))
    scores = prematch_scores(user_vectors, item_vectors, everything)
    return foremost(scores, candidates, n_targets)


def foremost(scores: FloatArray, candidates: IntArray, n_targets: int) -> Targets:
    """The same by scores of all items (n_items + 1,)."""
    best = candidates[np.lexsort((candidates, -scores[candidates]))[:n_targets]]
    return Targets(best, scores[best])


def select_targets(
    dataset: Dataset,
    category: str,
    user_vectors: Tensor,
    item_vectors: Tensor,
    options: TargetOptions | None = None,
    *,
    seed: int = 0,
) -> Targets:
    """Targets of a category.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
    item_vectors : float tensor, shape (n_items + 1, d)
        Both in the space that `options.space` names.
    seed : int
        Decides every random choice (unless `official_shuffle`).

    Raises
    ------
    UnknownIdError
        If the category has no item.
    InvalidInputError
        If more targets are asked for than the data set has items.
    """
    options = options or TargetOptions()
    check_choice(dataset, category, options)
    if options.mode == "random_all":
        return _unscored(_shuffled_everything(dataset.n_items, options, seed)[: options.n_targets])
    pool = dataset.items.of_category(category)
    if options.mode == "random_category":
        return _unscored(_shuffled(pool, options, seed)[: options.n_targets])
    if options.pool is not None and options.pool < len(pool):
        pool = np.sort(_shuffled(pool, options, seed)[: options.pool])
    return prematch(user_vectors, item_vectors, pool, options.n_targets)


def fixed_targets(
    way: Literal["nearest", "prematched"],
    vectors: InterestVectors,
    user_idx: IntArray,
    items: IntArray,
    owned: Histories,
) -> IntArray:
    r"""One item for every user for good, 0 for those who have all: (n_users,).

    Parameters
    ----------
    way : "nearest" or "prematched"
        :math:`\arg\max_i e_i^\top e_u`, or :math:`\arg\max_i \sum_u e_i^\top e_u`, the best
        pre-match score, over those of `items` that the user does not have; the first of equals.
    vectors : InterestVectors
    user_idx : int array, shape (n_users,)
    items : int array, shape (k,)
    owned : Histories
        Of everybody.
    """
    users, of_items = (x.double().cpu() for x in vectors)
    scores = np.tile(prematch_scores(users, of_items, items), (len(user_idx), 1))
    if way == "nearest":
        scores = (users[user_idx] @ of_items[items].T).numpy()
    place = np.full(len(of_items), -1)
    place[items] = np.arange(len(items))
    row, item_idx = owned.rows(user_idx)
    has = place[item_idx] >= 0
    scores[row[has], place[item_idx[has]]] = -np.inf
    best = items[scores.argmax(1)]
    return np.where(np.isneginf(scores).all(1), 0, best)


def check_choice(dataset: Dataset, category: str, options: TargetOptions) -> None:
    """Raise what :func:`select_targets` would raise, without any vectors."""
    if options.n_targets > dataset.n_items:
        raise InvalidInputError(
            f"n_targets must be at most the number of items ({dataset.n_items}), "
            f"got {options.n_targets}"
        )
    dataset.items.of_category(category)


def given_targets(dataset: Dataset, item_ids: Sequence[str]) -> Targets:
    """Targets by their outside ids, in the order given.

    Raises
    ------
    UnknownIdError
        If an id is not in the data set.
    """
    rows = dataset.items.index
    unknown = [item_id for item_id in item_ids if item_id not in rows]
    if unknown:
        raise UnknownIdError(
            f"{len(unknown)} of {len(item_ids)} targets are not items of {dataset.name}, "
            f"first {unknown[:3]} (items without interactions need --cold-items)"
        )
    found = np.array([rows[item_id] for item_id in dict.fromkeys(item_ids)], dtype=np.int64)
    if not len(found):
        raise InvalidInputError("targets must name at least one item, got none")
    return _unscored(found)


def _unscored(item_idx: IntArray) -> Targets:
    return Targets(item_idx, np.full(len(item_idx), np.nan))


def share_seen(dataset: Dataset, targets: IntArray) -> FloatArray:
    """Share of users who have a target in their train history already: (n_targets,)."""
    return dataset.train_counts[targets] / dataset.n_users


def _shuffled(pool: IntArray, options: TargetOptions, seed: int) -> IntArray:
    if options.official_shuffle:
        order = pool.tolist()
        random.Random(OFFICIAL_POOL_SEED).shuffle(order)
        return np.array(order, dtype=np.int64)
    return generator(seed, "targets").permutation(pool)


def _shuffled_everything(n_items: int, options: TargetOptions, seed: int) -> IntArray:
    if not options.official_shuffle:
        return _shuffled(np.arange(1, n_items + 1), options, seed)
    # The authors shuffle 0 … max id + 1, so that two of the indices name no item.
    order = list(range(n_items + 2))
    random.Random(OFFICIAL_RANDOM_SEED).shuffle(order)
    return np.array([row + 1 for row in order if row < n_items], dtype=np.int64)
