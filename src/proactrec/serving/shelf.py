"""A guide's items as people look for them, and its categories as goals: made once, when asked."""

import threading
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from proactrec.data.dataset import Histories
from proactrec.guidance.saved import SavedGuide
from proactrec.rng import generator
from proactrec.suggestions import Past, Suggestion, ranked
from proactrec.types import BoolArray, IntArray

MOST_USERS = 2000
"""Known users, drawn once, whose vectors stand for all: more would take time from decisions."""
MOST_CATEGORIES = 1000
"""The largest ones."""


class Shelf:
    """What a guide has to show, and how many users it knows to have had it.

    Parameters
    ----------
    saved : SavedGuide
    """

    def __init__(self, saved: SavedGuide) -> None:
        self.items, self._saved = saved.guide.items, saved
        self.n_users = len(saved.known.index)
        had = saved.known.history.item_idx
        self.counts: IntArray = np.bincount(had, minlength=len(self.items) + 1)
        """Known users who had an item: (n_items + 1,)."""
        self._suggestions: list[Suggestion] | None = None
        self._one_at_a_time = threading.Lock()

    @cached_property
    def order(self) -> IntArray:
        """Inside indices, those that most users had first: (n_items,)."""
        found: IntArray = np.argsort(-self.counts[1:], kind="stable") + 1
        return found

    @cached_property
    def place(self) -> IntArray:
        """Of every item in :attr:`order`: (n_items + 1,), -1 for padding."""
        place = np.full(len(self.items) + 1, -1)
        place[self.order] = np.arange(len(self.items))
        return place

    def search(self, text: str, is_wanted: BoolArray, after: int) -> Iterator[int]:
        """Items (inside indices) that have a text in title or id, in their order.

        Parameters
        ----------
        is_wanted : bool array, shape (n_items + 1,)
            Only these.
        after : int
            Inside index of the item behind which to begin; 0: at the beginning.
        """
        rest, wanted = self.order[self.place[after] + 1 :], text.casefold()
        for item_idx in rest[is_wanted[rest]].tolist():
            if wanted in self._texts[item_idx - 1]:
                yield item_idx

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        both = zip(self.items.titles, self.items.item_ids, strict=True)
        return tuple(f"{title}\n{item_id}".casefold() for title, item_id in both)

    @property
    def suggestions(self) -> list[Suggestion]:
        """The largest categories as goals, the most promising first; somebody must be known."""
        with self._one_at_a_time:
            if self._suggestions is None:
                self._suggestions = self._suggested()
            return self._suggestions

    def _suggested(self) -> list[Suggestion]:
        recommender = self._saved.guide.recommender
        assert recommender is not None
        encoder, some = recommender.encoder, self._some_users()
        past = Past(self.items, some, self.counts, self.n_users)
        users = encoder.encode(encoder.sequences(some))
        names = self.items.category_names[:MOST_CATEGORIES]
        return ranked(names, past, users, encoder.item_vectors, seed=self._saved.seed)

    def _some_users(self) -> Histories:
        known = self._saved.known
        rows = np.flatnonzero(known.is_there)
        if len(rows) > MOST_USERS:
            rng = generator(self._saved.seed, "shelf")
            rows = np.sort(rng.choice(rows, MOST_USERS, replace=False))
        lengths = known.history.lengths[rows]
        return Histories(np.append(0, lengths.cumsum()), known.history.rows(rows)[1])
