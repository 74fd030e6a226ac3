"""The users that a guide's models were fitted on: their ids, and what they had then."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from proactrec.data.dataset import Dataset, Histories
from proactrec.types import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class KnownUsers:
    """Known users by row.

    Parameters
    ----------
    user_ids : tuple of length n_users
        Empty: who was there was erased, and nothing is known of them.
    history : Histories
        All that they had, by inside indices, items that training held out included.
    n_fitted : int array, shape (n_users,)
        Number of these items, the oldest, that models were fitted on.
    """

    user_ids: tuple[str, ...]
    history: Histories
    n_fitted: IntArray

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Everybody of a data set, with the whole history: online nothing is held back."""
        return cls(dataset.user_ids, dataset.histories, dataset.before("train").lengths)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of every id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids) if user_id}

    @cached_property
    def fitted(self) -> Histories:
        """The part of the histories that models were fitted on."""
        return self.history.first(self.n_fitted)

    @cached_property
    def is_there(self) -> BoolArray:
        """Who was not erased: (n_users,)."""
        return np.array([bool(user_id) for user_id in self.user_ids], bool)

    def without(self, row: int) -> Self:
        """The same without one of them; all others keep their rows."""
        others = np.arange(len(self.user_ids)) != row
        ids = tuple(one if other else "" for one, other in zip(self.user_ids, others, strict=True))
        history = self.history.first(self.history.lengths * others)
        return replace(self, user_ids=ids, history=history, n_fitted=self.n_fitted * others)

    def save(self, path: Path) -> None:
        """Write a table (Parquet) with a row a user."""
        offsets = self.history.offsets
        lists = np.split(self.history.item_idx.astype(np.int32), offsets[1:-1])
        columns = {
            "user_id": self.user_ids,
            "items": pl.Series(lists).cast(pl.List(pl.Int32)),  # equal lengths: made an Array
            "n_fitted": self.n_fitted,
        }
        pl.DataFrame(columns).write_parquet(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        table = pl.read_parquet(path, glob=False)
        offsets = np.concatenate([[0], table["items"].list.len().to_numpy().cumsum()])
        items = table["items"].explode(empty_as_null=False).to_numpy().astype(np.int64)
        history = Histories(offsets.astype(np.int64), items)
        return cls(tuple(table["user_id"]), history, table["n_fitted"].to_numpy().astype(np.int64))
