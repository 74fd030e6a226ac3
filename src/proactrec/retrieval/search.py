"""The best items by a score: one exact pass over int8 rows where a catalogue is large.

Small catalogues are scored as a whole, which is quicker; so is all without Numba (the extra `fast`)
and on a GPU. Catalogues of more than ten million items are searched approximately.
"""

from importlib.util import find_spec
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from proactrec.retrieval.scores import KINDS, Score
from proactrec.retrieval.table import Int8Table
from proactrec.types import IntArray, SingleArray

LARGE = 16_384
"""Items from which a pass over int8 rows is quicker than to score everything."""
FEW, LARGER = 16, 100_000
"""Journeys at once for which one product is as quick as a pass each; items from which it is not."""
HUGE = 10_000_000
"""Items beyond which the best are sought among neighbours only."""
MOST = 20_000
"""Candidates beyond which all are scored after all: bounds that tell nothing apart, or ties."""


class Found(NamedTuple):
    """Items among which the best ones are, ascending, and what the k-th of them scores at least."""

    item_idx: IntArray
    least: float


class Search(Protocol):
    """Finds the best items of a catalogue by a score."""

    def best(self, score: Score, penalty: SingleArray, k: int) -> Found | None:
        """Items among which the best k are, of those with a penalty (n_items + 1,) of 0.

        None: too many to tell; score everything.
        """
        ...


class ExactSearch:
    """All of the best k, always: whatever can't be ruled out is a candidate.

    Parameters
    ----------
    vectors : float tensor, shape (n_items + 1, d)
        Row 0 is padding.
    """

    def __init__(self, vectors: Tensor) -> None:
        self._table = Int8Table.of(vectors[:2])
        nothing = np.zeros(vectors.shape[1], np.float32)
        self.best(Score("relevance", nothing, nothing), np.zeros(2, np.float32), 1)
        self._table = Int8Table.of(vectors)  # after a first pass: compiled before users wait

    def best(self, score: Score, penalty: SingleArray, k: int) -> Found | None:
        """See :class:`Search`."""
        from proactrec.retrieval.passes import candidates  # Numba takes a second to load

        rows, about = self._table
        found, most = np.empty(len(rows), np.int64), np.empty(len(rows))
        n, least = candidates(
            rows,
            about,
            score.per_item,
            score.user,
            score.target,
            KINDS.index(score.kind),
            score.numbers(),
            np.ascontiguousarray(penalty),  # else the pass would be compiled anew
            k,
            found,
            most,
        )
        return Found(found[:n].copy(), least) if n <= MOST else None


def search_in(vectors: Tensor) -> Search | None:
    """What finds the best of these item vectors (n_items + 1, d); None: score all of them."""
    n_items = len(vectors) - 1
    if vectors.is_cuda:
        return None
    if n_items > HUGE:
        from proactrec.retrieval.neighbours import Neighbours

        return Neighbours(vectors)
    return ExactSearch(vectors) if is_passed(n_items) else None


def is_quicker(n_journeys: int, n_items: int) -> bool:
    """Whether so many journeys at once are searched for quicker than they are scored."""
    return n_journeys < FEW or n_items >= LARGER


def is_passed(n_items: int) -> bool:
    """Whether a catalogue of so many items is searched by a pass over int8 rows, on a CPU."""
    return LARGE <= n_items <= HUGE and find_spec("numba") is not None
