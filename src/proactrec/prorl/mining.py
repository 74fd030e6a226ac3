"""Prompts mined from logs: runs of items whose neighbours share a category, and what came before.

Source: Hou et al. 2026, arXiv:2605.28293, algorithm 1.
"""

from typing import NamedTuple

import numpy as np

from proactrec.data.dataset import Histories
from proactrec.data.items import Items
from proactrec.data.trees import within
from proactrec.errors import InvalidInputError
from proactrec.types import BoolArray, IntArray

BLOCK = 65_536
"""Events whose categories are compared at once."""


class Prompts(NamedTuple):
    """Mined rows."""

    user_idx: IntArray  # (n,)
    history: IntArray  # (n, history_len), the items before the run, oldest first
    path: IntArray  # (n, max_path_len), the run without its last item, padded with 0 on the right
    target: IntArray  # (n,), the run's last item

    def of(self, rows: IntArray | BoolArray) -> "Prompts":
        """These rows only."""
        return Prompts(*(part[rows] for part in self))


def linking_categories(items: Items, largest_share: float) -> tuple[str, ...]:
    """Categories that link neighbours: all but the largest, where it is held by too many items.

    In a tree all that are held by too many and have others in them.
    """
    names, most = items.category_names, largest_share * len(items)
    parents = {one for name in names for one in within(name)[:-1]}
    too_wide = {one for one in (*names[:1], *parents) if items.category_sizes[one] > most}
    return names if len(names) < 2 else tuple(name for name in names if name not in too_wide)


def mine(
    known: Histories, items: Items, *, history_len: int, max_path_len: int, largest_share: float
) -> Prompts:
    """All maximal runs of 2 to `max_path_len` items with `history_len` items before them.

    Neighbours within a run share a linking category; the first item shares none with the one
    before it. Longer runs are dropped, not cut.

    Raises
    ------
    InvalidInputError
        If there is no such run.
    """
    start, length = _runs(known, items, largest_share)
    user_idx = known.user_idx[start]
    n_before = start - known.offsets[:-1][user_idx]
    is_row = (n_before >= history_len) & (length >= 2) & (length <= max_path_len)
    if not is_row.any():
        raise InvalidInputError(
            f"ProRL needs a run of 2 to {max_path_len} neighbours that share a category, with "
            f"{history_len} items before it, in some train history, got none"
        )
    start, length, user_idx = start[is_row], length[is_row], user_idx[is_row]
    before = known.item_idx[start[:, None] - np.arange(history_len, 0, -1)]
    within = np.arange(max_path_len)[None, :]
    is_path = within < length[:, None] - 1
    source = np.where(is_path, start[:, None] + within, 0)
    path = np.where(is_path, known.item_idx[source], 0)
    return Prompts(user_idx, before, path, known.item_idx[start + length - 1])


def split_prompts(prompts: Prompts, rng: np.random.Generator) -> tuple[Prompts, Prompts]:
    """Rows to train on, and those of a random tenth of their users to validate with.

    Raises
    ------
    InvalidInputError
        If all rows are of one user.
    """
    users = rng.permutation(np.unique(prompts.user_idx))
    if len(users) < 2:
        raise InvalidInputError(
            f"ProRL needs mined rows of two users, to train and to validate, got {len(users)}"
        )
    is_held_out = np.isin(prompts.user_idx, users[: max(1, round(len(users) / 10))])
    return prompts.of(~is_held_out), prompts.of(is_held_out)


def carried(items: Items, names: tuple[str, ...]) -> BoolArray:
    """Which item is of which of these categories: (n_items + 1, n_categories)."""
    table = np.zeros((len(items) + 1, len(names)), dtype=bool)
    for column, name in enumerate(names):
        table[items.of_category(name), column] = True
    return table


def _runs(known: Histories, items: Items, largest_share: float) -> tuple[IntArray, IntArray]:
    """First place, and length, of every maximal run."""
    n_events = len(known.item_idx)
    if not n_events:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    table = carried(items, linking_categories(items, largest_share))
    is_linked = np.zeros(n_events, dtype=bool)
    for at in range(1, n_events, BLOCK):
        here = known.item_idx[at : at + BLOCK]
        before = known.item_idx[at - 1 : at - 1 + len(here)]
        is_linked[at : at + BLOCK] = (table[before] & table[here]).any(1)
    is_linked[known.offsets[:-1][known.lengths > 0]] = False  # a user's first item
    start = np.flatnonzero(~is_linked)
    return start, np.diff(start, append=n_events)
