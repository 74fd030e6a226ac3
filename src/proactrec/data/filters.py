"""Which users and items have enough events to learn from: the k-core, and the paper's variant."""

import polars as pl

from proactrec.data.interactions import Interactions
from proactrec.errors import DataError, InvalidInputError
from proactrec.types import FilterName


def filter_interactions(interactions: Interactions, name: FilterName, k: int = 5) -> Interactions:
    """Interactions among users and items with at least `k` of them, in the same row order.

    Parameters
    ----------
    name : {"k-core", "paper", "none"}
        "k-core" drops items, then users, with fewer than `k` rows until none is left. "paper"
        is what the public code behind the published tables does: whenever a column has a count
        below `k`, it keeps only counts with ``k <= count < maximum``, so that the most frequent
        item (or user) goes too. "none" keeps every row.
    k : int, at least 1

    Raises
    ------
    InvalidInputError
        If `k` is below 1 or the name is not one of the three.
    DataError
        If no row is left.
    """
    if name not in ("k-core", "paper", "none"):
        raise InvalidInputError(f"filter must be 'k-core', 'paper' or 'none', got {name!r}")
    if k < 1:
        raise InvalidInputError(f"k must be at least 1, got {k}")
    if name == "none":
        return interactions
    kept = _core(interactions.table, k, drop_maximum=name == "paper")
    if kept.height == 0:
        raise DataError(
            f"the {name} filter with k={k} leaves none of {len(interactions)} interactions "
            f"({interactions.table['user_id'].n_unique()} users, "
            f"{interactions.table['item_id'].n_unique()} items)"
        )
    return Interactions(kept)


def _core(table: pl.DataFrame, k: int, *, drop_maximum: bool) -> pl.DataFrame:
    height = -1
    while table.height != height:
        height = table.height
        for column in ("item_id", "user_id"):
            counts = table.select(count=pl.len().over(column))["count"]
            is_kept = counts >= k
            if drop_maximum and not is_kept.all():
                is_kept &= counts < counts.max()
            table = table.filter(is_kept)
    return table
