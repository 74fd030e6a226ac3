"""Approximate search for catalogues of many millions: neighbours of user and target, by FAISS.

A guided item is relevant, or leads to the target, or both: it is sought among the items nearest to
either, which are then scored exactly. What lies near neither is missed.
"""

import numpy as np
from torch import Tensor

from proactrec.retrieval.scores import Score
from proactrec.retrieval.search import Found
from proactrec.rng import generator
from proactrec.types import SingleArray

N_NEIGHBOURS = 2048
"""Of each of the two, more than what most users have in their histories."""
N_PROBES = 64
LISTS_PER_ROOT = 4
TRAINED_ON = 64
"""Vectors of a list that its centre is made of."""


class Neighbours:
    """An inverted file of item vectors as int8.

    Parameters
    ----------
    vectors : float tensor, shape (n_items + 1, d)
        Row 0 is padding.
    seed : int
        Draws the vectors that centres of lists are made of.
    """

    def __init__(self, vectors: Tensor, *, seed: int = 0) -> None:
        import faiss  # here: it takes long to load, and few catalogues need it

        rows = vectors.numpy()[1:]
        n, size = rows.shape
        n_lists = max(1, min(n // TRAINED_ON, round(LISTS_PER_ROOT * n**0.5)))
        coarse = faiss.IndexFlatIP(size)
        self._index = faiss.IndexIVFScalarQuantizer(
            coarse, size, n_lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        rng = generator(seed, "neighbours")
        some = rng.choice(n, min(n, TRAINED_ON * n_lists), replace=False)
        self._index.train(np.ascontiguousarray(rows[np.sort(some)]))
        self._index.add(np.ascontiguousarray(rows))
        self._index.nprobe = min(N_PROBES, n_lists)

    def best(self, score: Score, penalty: SingleArray, k: int) -> Found | None:
        """See :class:`proactrec.retrieval.search.Search`; `least` is not known: -inf."""
        queries = np.stack([score.user, score.target]).astype(np.float32)
        _, near = self._index.search(queries, max(k, N_NEIGHBOURS))
        item_idx = np.unique(near[near >= 0] + 1)
        return Found(item_idx[penalty[item_idx] == 0], -np.inf)
