"""Which categories guidance is promising for, with reasons in words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset, Histories
from proactrec.data.items import Items
from proactrec.errors import InvalidInputError
from proactrec.rng import generator
from proactrec.targets import foremost, prematch_scores
from proactrec.types import IntArray

COLD_BELOW = 5
"""An item with fewer train interactions has a vector that says little."""
N_PAIRS = 20_000
"""Random pairs of user and item that interest is measured against."""
MUCH, LITTLE = 0.5, 0.1
FAR = 0.5


class Suggestion(NamedTuple):
    """A category as a goal of guidance, and what speaks for it and against it."""

    category: str
    score: float
    n_items: int
    n_cold: int
    reach: float
    seen: float
    distance: float
    reasons: tuple[str, ...]


class Past(NamedTuple):
    """What users had, by which categories are judged."""

    items: Items
    known: Histories  # of users whose vectors there are
    counts: IntArray  # how many of all users have an item: (n_items + 1,)
    n_users: int  # all of them


def suggest_categories(
    dataset: Dataset,
    user_vectors: Tensor,
    item_vectors: Tensor,
    *,
    n_targets: int = 50,
    seed: int = 0,
) -> list[Suggestion]:
    r"""All categories, the most promising first.

    The score is the geometric mean of three shares, so that none makes up for another:

    .. math::
        \left( \min(1, \tfrac{n_{warm}}{n_{targets}}) \cdot (1 - seen)
        \cdot \tfrac{1}{1 + e^{distance}} \right)^{1/3}

    A rule of thumb: it orders categories, and it promises no gain.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
    item_vectors : float tensor, shape (n_items + 1, d)
        Interest vectors, whose inner product is interest.
    n_targets : int, at least 1
        How many targets are wanted.
    seed : int
        Decides the random pairs.

    Returns
    -------
    list of Suggestion
        `n_cold` of `n_items` have fewer than `COLD_BELOW` train interactions. `reach` is the share
        of users with an item of the category in their train history, `seen` the mean share who have
        a target in it; targets are the best `n_targets` by pre-match. `distance` is how much lower
        users' mean interest in the targets is than in random items, in standard deviations over
        random pairs: below 0 it is nearer than chance.

    Raises
    ------
    InvalidInputError
        If no item has a category.
    """
    if not dataset.items.category_names:
        raise InvalidInputError(f"{dataset.name} has no categories to choose from")
    past = Past(dataset.items, dataset.before("train"), dataset.train_counts, dataset.n_users)
    names = dataset.items.category_names
    return ranked(names, past, user_vectors, item_vectors, n_targets=n_targets, seed=seed)


def ranked(
    categories: Sequence[str],
    past: Past,
    user_vectors: Tensor,
    item_vectors: Tensor,
    *,
    n_targets: int = 50,
    seed: int = 0,
) -> list[Suggestion]:
    """These categories as :func:`suggest_categories` ranks all, by what users had."""
    if n_targets < 1:
        raise InvalidInputError(f"n_targets must be at least 1, got {n_targets}")
    users, items = user_vectors.double(), item_vectors.double()
    scores = prematch_scores(users, items, np.arange(len(items)))
    mean_user = users.mean(0)
    middle, spread = _chance(users, items, seed)
    found = []
    for category in categories:
        pool = past.items.of_category(category)
        best = foremost(scores, pool, n_targets).item_idx
        interest = float(mean_user @ items[torch.from_numpy(best)].mean(0))
        distance = (middle - interest) / spread
        found.append(_judged(category, past, pool, best, distance, n_targets))
    return sorted(found, key=lambda one: (-one.score, one.category))


def grouped(suggestions: Sequence[Suggestion]) -> dict[tuple[str, ...], list[str]]:
    """Categories by their reasons, each in the order of the suggestions."""
    found: dict[tuple[str, ...], list[str]] = {}
    for one in suggestions:
        found.setdefault(one.reasons, []).append(one.category)
    return found


def _judged(
    category: str, past: Past, pool: IntArray, best: IntArray, distance: float, n_targets: int
) -> Suggestion:
    """A category of these items, of which the best are targets."""
    counts, known = past.counts, past.known
    is_in_pool = np.zeros(len(counts), dtype=bool)
    is_in_pool[pool] = True
    has_met = np.unique(known.user_idx[is_in_pool[known.item_idx]])
    seen = float(counts[best].mean()) / past.n_users
    n_cold = int((counts[pool] < COLD_BELOW).sum())
    nearness = 1 / (1 + np.exp(distance))
    share = min(1.0, (len(pool) - n_cold) / n_targets)
    return Suggestion(
        category,
        score=float(np.cbrt(share * (1 - seen) * nearness)),
        n_items=len(pool),
        n_cold=n_cold,
        reach=len(has_met) / len(known.lengths),
        seen=seen,
        distance=distance,
        reasons=(
            _pool_in_words(len(pool), n_cold, n_targets),
            _seen_in_words(seen),
            _distance_in_words(distance),
        ),
    )


def _pool_in_words(n_items: int, n_cold: int, n_targets: int) -> str:
    n_warm = n_items - n_cold
    cold = f", {n_cold} more are cold" if n_cold else ""
    if n_warm < n_targets:
        return f"only {n_warm} known items for {n_targets} targets{cold}"
    return f"{n_warm} known items to choose from{cold}"


def _seen_in_words(seen: float) -> str:
    if seen > MUCH:
        return f"a target is known to {seen:.0%} of users already: little is left to gain"
    if seen < LITTLE:
        return f"a target is known to {seen:.0%} of users only: much room"
    return f"a target is known to {seen:.0%} of users"


def _distance_in_words(distance: float) -> str:
    if distance > FAR:
        return f"far from users ({distance:.1f} deviations below chance): a long way"
    if distance < -FAR:
        return f"near to users ({-distance:.1f} deviations above chance)"
    return "about as near to users as random items"


def _chance(users: Tensor, items: Tensor, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the interest of random users in random items."""
    rng = generator(seed, "suggestions")
    who = torch.from_numpy(rng.integers(0, len(users), N_PAIRS))
    what = torch.from_numpy(rng.integers(1, len(items), N_PAIRS))
    interest = (users[who] * items[what]).sum(1)
    return float(interest.mean()), max(float(interest.std()), 1e-12)
