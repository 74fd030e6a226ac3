"""The frozen data set everything else is built on: histories in time order, and their items."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, Removal
from proactrec.data.items import Items
from proactrec.data.trees import lowest
from proactrec.errors import DataError
from proactrec.types import IntArray

Split = Literal["train", "validation", "test"]
Side = Literal["left", "right"]
MIN_SPLIT_LENGTH = 3


class Histories(NamedTuple):
    """Item sequences of all users, one after the other.

    `item_idx[offsets[u]:offsets[u + 1]]` is user `u`'s sequence, oldest first.
    """

    offsets: IntArray  # (n_users + 1,)
    item_idx: IntArray  # (n_interactions,), items count from 1

    @property
    def lengths(self) -> IntArray:
        """Length of every user's sequence, shape (n_users,)."""
        return np.diff(self.offsets)

    @property
    def user_idx(self) -> IntArray:
        """User of every interaction, shape (n_interactions,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    def first(self, kept: IntArray) -> "Histories":
        """The oldest `kept` (n_users,) items of every user."""
        within = np.arange(len(self.item_idx)) - np.repeat(self.offsets[:-1], self.lengths)
        return Histories(
            np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
            self.item_idx[within < np.repeat(kept, self.lengths)],
        )

    def newest(self, n_most: int) -> "Histories":
        """The newest items of every user, `n_most` at the most."""
        kept = np.minimum(self.lengths, n_most)
        from_end = np.repeat(self.offsets[1:], self.lengths) - np.arange(len(self.item_idx))
        return Histories(
            np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
            self.item_idx[from_end <= n_most],
        )

    def of(self, user_idx: int) -> IntArray:
        """One user's sequence, oldest first."""
        return self.item_idx[self.offsets[user_idx] : self.offsets[user_idx + 1]]

    def rows(self, user_idx: IntArray) -> tuple[IntArray, IntArray]:
        """Place in `user_idx` and item of every interaction of these users, as two flat arrays."""
        starts = self.offsets[user_idx]
        lengths = self.offsets[user_idx + 1] - starts
        row = np.repeat(np.arange(len(user_idx)), lengths)
        within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return row, self.item_idx[starts[row] + within]

    def padded(
        self, length: int, *, side: Side = "left", user_idx: IntArray | None = None
    ) -> IntArray:
        """The newest `length` items of everybody, or of these users, padded with 0: (n, length)."""
        rows = slice(None) if user_idx is None else user_idx
        ends = self.offsets[1:][rows]
        kept = np.minimum(ends - self.offsets[:-1][rows], length)
        if not len(self.item_idx):
            return np.zeros((len(kept), length), np.int64)
        position = np.arange(length)[None, :] - (length - kept[:, None] if side == "left" else 0)
        source = (ends - kept)[:, None] + position
        inside = (position >= 0) & (position < kept[:, None])
        return np.where(inside, self.item_idx[np.where(inside, source, 0)], 0)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Users' histories over a catalogue, with inside indices, split by leaving the last two out.

    Users are numbered from 0 and items from 1 (0 is padding), both in ascending order of their
    ids (as numbers where every id is one, else as text). Events of a user are ordered by time;
    equal times keep the source's row order. Validation answer: the last but one item of a user;
    test answer: the last. Users with fewer than three items keep all of them in train and have no
    answers.

    Build it with :meth:`Dataset.build`.
    """

    name: str
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    histories: Histories
    timestamps: IntArray
    removed: tuple[Removal, ...] = ()
    """What filters took out before, step by step; no part of the fingerprint."""
    texts: tuple[str, ...] = ()
    """Further text of items, where the catalogue has a column `text`."""

    @classmethod
    def build(
        cls,
        name: str,
        interactions: Interactions,
        catalogue: Catalogue,
        removed: Sequence[Removal] = (),
        *,
        keep_cold: bool = False,
    ) -> "Dataset":
        """Join events and items; items nobody touched are left out unless `keep_cold`.

        Raises
        ------
        DataError
            If an interaction names an item that the catalogue lacks.
        """
        events, items = interactions.table, catalogue.table
        unknown = events.join(items, on="item_id", how="anti")
        if unknown.height:
            raise DataError(
                f"{unknown.height} of {events.height} interactions name "
                f"{unknown['item_id'].n_unique()} items that the catalogue lacks, "
                f"first {unknown['item_id'].unique(maintain_order=True).head(3).to_list()}"
            )
        user_ids = _ordered_ids(events["user_id"])
        item_ids = _ordered_ids((items if keep_cold else events)["item_id"])
        users = pl.DataFrame({"user_id": user_ids, "user_idx": np.arange(len(user_ids))})
        rows = pl.DataFrame({"item_id": item_ids, "item_idx": np.arange(1, len(item_ids) + 1)})
        known = rows.join(items, on="item_id", how="left", maintain_order="left")
        indexed = (
            events.join(users, on="user_id", how="left", maintain_order="left")
            .join(rows, on="item_id", how="left", maintain_order="left")
            .sort("user_idx", "timestamp", maintain_order=True)
        )
        lengths = np.bincount(indexed["user_idx"].to_numpy(), minlength=len(user_ids))
        return cls(
            name=name,
            user_ids=tuple(user_ids),
            item_ids=tuple(item_ids),
            titles=tuple(
                known.select(pl.coalesce(pl.col("title").replace("", None), "item_id"))["title"]
            ),
            categories=tuple(map(lowest, known["categories"].to_list())),
            histories=Histories(
                np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                indexed["item_idx"].to_numpy().astype(np.int64),
            ),
            timestamps=indexed["timestamp"].to_numpy(),
            removed=tuple(removed),
            texts=tuple(known["text"]) if "text" in known.columns else (),
        )

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items, padding not counted."""
        return len(self.item_ids)

    @property
    def n_interactions(self) -> int:
        """Number of (user, item) events, held-out ones included."""
        return len(self.histories.item_idx)

    @cached_property
    def train_counts(self) -> IntArray:
        """Number of users who have the item in the train part: (n_items + 1,), 0 for padding."""
        return np.bincount(self.before("train").item_idx, minlength=self.n_items + 1)

    @cached_property
    def items(self) -> Items:
        """The catalogue with its train counts."""
        about = self.name, self.item_ids, self.titles, self.categories
        return Items(*about, self.train_counts, self.texts)

    def before(self, split: Split) -> Histories:
        """What is known before the answers of a split.

        `before("train")`, what models are fitted on, and `before("validation")` end two items
        before the end; `before("test")` ends one before it, at the validation item.
        """
        held_out = {"train": 2, "validation": 2, "test": 1}[split]
        lengths = self.histories.lengths
        kept = np.where(lengths >= MIN_SPLIT_LENGTH, lengths - held_out, lengths)
        return self.histories.first(kept)

    def answers(self, split: Literal["validation", "test"]) -> IntArray:
        """Held-out item of every user, 0 where the user is too short to have one: (n_users,)."""
        back = {"validation": 2, "test": 1}[split]
        lengths, offsets = self.histories.lengths, self.histories.offsets
        has_answer = lengths >= MIN_SPLIT_LENGTH
        position = np.where(has_answer, offsets[1:] - back, 0)
        return np.where(has_answer, self.histories.item_idx[position], 0)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids and histories, by which artefacts made from the data set are named."""
        content = hashlib.sha256()
        for ids in (self.user_ids, self.item_ids):
            content.update("\x00".join(ids).encode())
        content.update("\x00".join("\x01".join(names) for names in self.categories).encode())
        content.update(self.histories.offsets.tobytes())
        content.update(self.histories.item_idx.tobytes())
        return content.hexdigest()[:16]


def _ordered_ids(ids: pl.Series) -> list[str]:
    distinct = ids.unique()
    numbers = distinct.cast(pl.Int64, strict=False)
    order = distinct.to_frame().with_columns(number=numbers)
    # Leading zeros make equal numbers of different texts: the text settles those.
    by = ["number", ids.name] if numbers.null_count() == 0 else [ids.name]
    return order.sort(by)[ids.name].to_list()
