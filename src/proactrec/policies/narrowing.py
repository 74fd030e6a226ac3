"""Views of a large catalogue narrowed to the items among which a policy's choice is certain to be.

The policy then decides as ever, of these few. Whatever it would do with all items it does with them
(but for the last bits of products, which are summed in another order).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from proactrec.encoders.base import Encoder
from proactrec.policies.base import Candidates, View
from proactrec.ranking import products
from proactrec.retrieval.search import Search, is_quicker, search_in
from proactrec.types import IntArray, SingleArray

Find = Callable[[int, SingleArray], IntArray | None]
"""From a journey's row and the penalty of all items (n_items + 1,), items in question."""


def narrowed(view: View, find: Find) -> View:
    """The view of the items that `find` gives for each journey; as it is, if it gives None for one.

    Items stand in their order, so that the first of equals stays the first.
    """
    penalty = view.candidates.penalty
    n_journeys, n_columns = penalty.shape
    if view.candidates.item_idx is not None or not is_quicker(n_journeys, n_columns - 1):
        return view
    found = list[IntArray]()
    for row, of_row in enumerate(penalty.numpy()):
        item_idx = find(row, of_row)
        if item_idx is None:
            return view
        found.append(item_idx)
    few = torch.from_numpy(_padded(found))
    return view._replace(candidates=Candidates(penalty.gather(1, few), few))


def search_for(encoder: Encoder) -> Search | None:
    """What finds the best items by an encoder's relevance, if that is a product of vectors."""
    is_product = type(encoder).score is Encoder.score
    return search_in(encoder.item_vectors) if is_product else None


def scores_of(
    candidates: Candidates, search: Search | None, made: Callable[[Tensor | None], Tensor]
) -> Tensor:
    """Scores of the candidates (n, C), new; of a large catalogue, which is searched, no others.

    `made` gives scores of items (n, C), or, for None, of all items (n, n_items + 1).
    """
    return candidates.scores(made(None)) if search is None else made(candidates.item_idx)


def relevance(encoder: Encoder, users: Tensor, item_idx: Tensor | None = None) -> Tensor:
    """How well all items fit users (n, d), or these (n, C) if the encoder's score is a product."""
    if item_idx is None:
        return encoder.score(users)
    return products(users, encoder.item_vectors, item_idx)


def floats(x: Tensor) -> SingleArray:
    """As a pass over the catalogue reads it."""
    return np.ascontiguousarray(x.numpy(), dtype=np.float32)


def _padded(found: list[IntArray]) -> IntArray:
    """Rows of one length, (n, C), at least 1; 0: padding, which may never be shown."""
    padded = np.zeros((len(found), max([1, *map(len, found)])), np.int64)
    for row, item_idx in zip(padded, found, strict=True):
        row[: len(item_idx)] = item_idx
    return padded
