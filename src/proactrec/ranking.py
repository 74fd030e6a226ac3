"""The place of one item among many by inner product, and the next-item figures made of places."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray

CUTOFFS = (5, 10, 20)
SCORE_BLOCK = 1_000_000
"""Scores held at once while ranking (4 MB in float32)."""
BLOCK_USERS = 32
"""Fewest users ranked at once: above 31,000 items, where `SCORE_BLOCK` leaves fewer, reading the
item table takes longer than the products (1,000 users × 1M items: 43 s one by one)."""
MOST_SCORES, LEAST_DRAWN = 2_000_000_000, 1_000
"""Scores of a validation after each epoch, and users in it whatever the number of items."""


def penalties(known: Histories, user_idx: IntArray, n_rows: int, device: torch.device) -> Tensor:
    """0 for items that a user may be shown, -inf for padding and those in `known`.

    Added to scores it hides items, ten times as fast as a bool mask on the CPU.

    Parameters
    ----------
    known : Histories
        What must not be shown, for all users.
    user_idx : int array, shape (B,)
    n_rows : int
        Number of items + 1.

    Returns
    -------
    float tensor, shape (B, n_rows)
    """
    penalty = np.zeros((len(user_idx), n_rows), np.float32)
    penalty[:, 0] = -np.inf
    row, item_idx = known.rows(user_idx)
    penalty.ravel()[row * n_rows + item_idx] = -np.inf  # one index is half the work of two
    return torch.from_numpy(penalty).to(device)


def places(scores: Tensor, item_idx: Tensor, known: Histories, user_idx: IntArray) -> Tensor:
    """0-based place of one item per user: how many others that they don't know score higher.

    Parameters
    ----------
    scores : float tensor, shape (B, n_items + 1)
        Overwritten.
    item_idx : int tensor, shape (B,)
        The item whose place is asked; its user may know it.
    known : Histories
        What is left out of the ranking, for all users; each item once.
    user_idx : int array, shape (B,)

    Returns
    -------
    int tensor, shape (B,)
    """
    is_above = scores.gt_(scores.gather(1, item_idx[:, None]))
    row, known_idx = known.rows(user_idx)
    at, row_of = (
        torch.from_numpy(x).to(scores.device) for x in (row * scores.shape[1] + known_idx, row)
    )
    n_above = is_above[:, 1:].sum(1)
    return n_above.index_add_(0, row_of, is_above.view(-1)[at], alpha=-1).long()


def products(rows: Tensor, table: Tensor, item_idx: Tensor) -> Tensor:
    """Inner products of rows (n, d) with a few items each (n, C) of a table: (n, C).

    Equal items have equal products, wherever they stand.
    """
    return (rows[:, None] * table[item_idx]).sum(2)


def best_item(scores: Tensor) -> Tensor:
    """Column of the highest score of every row, the first of equals: (B,)."""
    if scores.is_cuda:
        return scores.argmax(1)
    return torch.from_numpy(scores.numpy().argmax(1))  # eight times as fast as torch's


def answer_places(
    score: Callable[[IntArray], Tensor], answers: IntArray, known: Histories, n_rows: int
) -> IntArray:
    """Places of held-out answers among all items that a user does not know, for users with one.

    Parameters
    ----------
    score
        Gives new scores of every item for the users with these indices, shape (n, n_rows).
    answers : int array, shape (n_users,)
        0 where a user has none.
    known : Histories
        Items left out of the ranking; an answer itself never is.
    n_rows : int
        Number of items + 1.
    """
    users = np.flatnonzero(answers)
    block = max(BLOCK_USERS, SCORE_BLOCK // n_rows)
    # Filled in place: small arrays kept from every block would lie in the way of its large ones, so
    # that memory is never used again (gigabytes after a few hundred blocks).
    found = np.empty(len(users), np.int64)
    for start in range(0, len(users), block):
        rows = users[start : start + block]
        scores = score(rows)
        answer = torch.from_numpy(answers[rows]).to(scores.device)
        found[start : start + block] = places(scores, answer, known, rows).cpu().numpy()
    return found


def drawn_answers(
    answers: IntArray, n_rows: int, n_users: int | None, *, seed: int
) -> tuple[IntArray, str]:
    """Answers (n_users,) of some users, 0 for all others, and a note of how many where not all.

    Parameters
    ----------
    answers : int array, shape (n_users,)
        0 where a user has none.
    n_rows : int
        Number of items + 1.
    n_users : int, optional
        Users to draw; by default all, or as many as take `MOST_SCORES`, `LEAST_DRAWN` at least.
    seed : int
        Decides who is drawn.
    """
    users = np.flatnonzero(answers)
    most = n_users or most_drawn(n_rows)
    if len(users) <= most:
        return answers, ""
    drawn = generator(seed, "validated users").choice(users, most, replace=False)
    kept = np.zeros_like(answers)
    kept[drawn] = answers[drawn]
    return kept, f" of {most:,} of {len(users):,} users"


def most_drawn(n_rows: int) -> int:
    """Users whose answers are ranked by default, of more: as many as take `MOST_SCORES`."""
    return max(LEAST_DRAWN, MOST_SCORES // n_rows)


def hit_rate(place: IntArray, k: int) -> float:
    """Share of answers among the first `k`."""
    return float((place < k).mean())


def ndcg(place: IntArray, k: int) -> float:
    """Mean of ``1 / log2(place + 2)`` over answers, 0 for places from `k` on."""
    return float(np.where(place < k, 1 / np.log2(place + 2.0), 0.0).mean())


def next_item_figures(place: IntArray) -> dict[str, float]:
    """HR@k and NDCG@k at k = 5, 10, 20."""
    figures: dict[str, float] = {}
    for k in CUTOFFS:
        figures[f"hr@{k}"] = hit_rate(place, k)
        figures[f"ndcg@{k}"] = ndcg(place, k)
    return figures


def popularity_places(n_rows: int, answers: IntArray, known: Histories) -> IntArray:
    """Places of held-out answers when everybody is shown the most popular items they don't know.

    Popularity is counted in `known`. Equal counts are ordered by item index, so that no tie
    flatters the baseline.
    """
    counts = np.bincount(known.item_idx, minlength=n_rows)
    order = np.lexsort((np.arange(n_rows), -counts))
    score = np.empty(n_rows)
    score[order] = -np.arange(n_rows)
    everybody = torch.from_numpy(score)
    return answer_places(lambda rows: everybody.repeat(len(rows), 1), answers, known, n_rows)


def mean_and_deviation(values: FloatArray) -> dict[str, float]:
    """Mean and standard deviation, as reports show them."""
    mean = float(values.mean())
    return {"mean": mean, "std": math.sqrt(float(((values - mean) ** 2).mean()))}
