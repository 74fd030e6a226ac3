r"""The most similar item of every item, and views of sequences that insert or substitute it.

Similarity is ItemCF-IUF over train histories, users with many items counting less:

.. math::
    s(i, j) = \frac{1}{\sqrt{n_i n_j}} \sum_{u \ni i, j} \frac{1}{\ln(1 + |S_u|)}

Source: Liu et al. 2021, arXiv:2108.06479 (CoSeRec), as in MStein's code.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.encoders.augmentation import chosen, cropped, is_among_first, masked, reordered
from proactrec.threads import one_thread

if TYPE_CHECKING:
    from proactrec.encoders.mstein import MSteinOptions

SIMILARITY_CELLS = 2_000_000
"""Numbers held at once in a block of similarities, or of users by items (16 MB in float64)."""


@one_thread()
def most_similar_items(known: Histories, n_items: int) -> Tensor:
    """The most similar other item of every item, 0 where no user shares it with another one.

    Parameters
    ----------
    known : Histories
        An item that a user repeats counts once.
    n_items : int

    Returns
    -------
    int tensor, shape (n_items + 1,)
        Equal similarities go to the lowest index; row 0 (padding) is 0.
    """
    best = torch.zeros(n_items + 1, dtype=torch.int64)
    for items, similarity in similarity_blocks(known, n_items):
        highest, found = similarity.max(1)
        best[items] = torch.where(highest > 0, found, 0)
    return best


def similarity_blocks(known: Histories, n_items: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Items (b,) and their similarities (b, n_items + 1) to all items, block by block.

    An item's similarity to itself is 0, as is everything's to padding. The memory that a block
    takes does not grow with the number of interactions.
    """
    n_users, n_rows = len(known.lengths), n_items + 1
    pairs = np.unique(known.user_idx * n_rows + known.item_idx)  # each item of a user once
    user, item = (torch.from_numpy(x) for x in np.divmod(pairs, n_rows))
    weight = 1 / torch.bincount(user, minlength=n_users).double().log1p()  # (n_users,)
    weighted = torch.sparse_coo_tensor(
        torch.stack([item, user]), weight[user], (n_rows, n_users), check_invariants=False
    ).coalesce()
    scale = torch.bincount(item, minlength=n_rows).double().rsqrt()  # infinite without users
    scale = scale.masked_fill(scale.isinf(), 0)
    for items in torch.arange(1, n_rows).split(max(1, SIMILARITY_CELLS // max(n_users, n_rows))):
        is_inside = (item >= items[0]) & (item <= items[-1])
        has_item = torch.zeros(n_users, len(items), dtype=torch.float64)
        has_item[user[is_inside], item[is_inside] - items[0]] = 1
        similarity = (weighted @ has_item).T * scale * scale[items, None]  # (b, n_rows)
        similarity[torch.arange(len(items)), items] = 0
        yield items, similarity


def similar_view(
    item_seq: Tensor, most_similar: Tensor, rng: torch.Generator, options: "MSteinOptions"
) -> Tensor:
    """One random view of every sequence, the operation drawn uniformly per row.

    Rows of at most `options.threshold` items are inserted into, substituted or masked; longer ones
    may also be cropped or reordered. An item without a similar one is given a random one.

    Parameters
    ----------
    item_seq : int tensor on the CPU, shape (B, L)
        Left-padded with 0.
    most_similar : int tensor on the CPU, shape (n_items + 1,)
        See :func:`most_similar_items`.

    Returns
    -------
    int tensor, shape (B, L), left-padded but for masked items.
    """
    n_operations = torch.where((item_seq != 0).sum(1) <= options.threshold, 3, 5)
    operation = (torch.rand(len(item_seq), generator=rng) * n_operations).long()
    order = torch.rand(item_seq.shape, generator=rng)
    similar = _similar_to(item_seq, most_similar, rng)
    views = [
        inserted(item_seq, similar, options.insert_share, order),
        substituted(item_seq, similar, options.substitute_share, order),
        masked(item_seq, options.mask_share, order),
        cropped(item_seq, options.crop_share, rng),
        reordered(item_seq, options.reorder_share, order, rng),
    ]
    return chosen(views, operation)


def inserted(item_seq: Tensor, similar: Tensor, share: float, order: Tensor) -> Tensor:
    """Rows (B, L) with `similar` (B, L) before ``max(floor(share n), 1)`` items, the newest L.

    The items are those of lowest `order` (B, L).
    """
    is_chosen = is_among_first(item_seq, _at_least_one(item_seq, share), order)
    doubled = torch.stack([similar.masked_fill(~is_chosen, 0), item_seq], 2).flatten(1)  # (B, 2L)
    to_the_right = (doubled != 0).int().argsort(dim=1, stable=True)
    return doubled.gather(1, to_the_right)[:, -item_seq.shape[1] :]


def substituted(item_seq: Tensor, similar: Tensor, share: float, order: Tensor) -> Tensor:
    """Rows (B, L) with `similar` (B, L) in place of ``max(floor(share n), 1)`` items.

    The items are those of lowest `order` (B, L).
    """
    is_chosen = is_among_first(item_seq, _at_least_one(item_seq, share), order)
    return torch.where(is_chosen, similar, item_seq)


def _at_least_one(item_seq: Tensor, share: float) -> Tensor:
    return (share * (item_seq != 0).sum(1)).long().clamp(min=1)


def _similar_to(item_seq: Tensor, most_similar: Tensor, rng: torch.Generator) -> Tensor:
    """Most similar items of (B, L), random where an item has none, 0 at padding."""
    similar = most_similar[item_seq]
    is_alone = (similar == 0) & (item_seq != 0)
    drawn = torch.randint(1, len(most_similar), (int(is_alone.sum()),), generator=rng)
    return similar.masked_scatter(is_alone, drawn)
