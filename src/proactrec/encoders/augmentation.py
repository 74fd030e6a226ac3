"""Random views of item sequences for contrastive learning: crop, mask, reorder."""

import torch
from torch import Tensor

CROP, MASK, REORDER = 0.2, 0.7, 0.2
"""How much of a sequence each operation touches (values of ICLRec)."""


def random_view(item_seq: Tensor, rng: torch.Generator) -> Tensor:
    """One random view of every sequence, the operation drawn uniformly per row.

    - crop: keep a contiguous piece of ``floor(0.2 n)`` items (one item at least);
    - mask: set ``floor(0.7 n)`` random items to padding, which hides them from attention too;
    - reorder: shuffle a contiguous piece of ``floor(0.2 n)`` items.

    Parameters
    ----------
    item_seq : int tensor on the CPU, shape (B, L)
        Left-padded with 0.

    Returns
    -------
    int tensor, shape (B, L), left-padded.
    """
    operation = torch.randint(3, (len(item_seq),), generator=rng)
    order = torch.rand(item_seq.shape, generator=rng)
    views = [
        cropped(item_seq, CROP, rng),
        masked(item_seq, MASK, order),
        reordered(item_seq, REORDER, order, rng),
    ]
    return chosen(views, operation)


def cropped(item_seq: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """A contiguous piece of ``floor(share n)`` items of every row (B, L), one item at least."""
    length, n = item_seq.shape[1], (item_seq != 0).sum(1)
    n_kept = (share * n).long()
    begin = _random_start(torch.where(n_kept == 0, n, n - n_kept), rng)
    n_kept = n_kept.clamp(min=1)
    return _right_aligned(item_seq, length - n + begin, n_kept.clamp(max=n))


def masked(item_seq: Tensor, share: float, order: Tensor) -> Tensor:
    """Rows (B, L) without ``floor(share n)`` items, those with the lowest `order` (B, L)."""
    n_masked = (share * (item_seq != 0).sum(1)).long()
    return item_seq.masked_fill(is_among_first(item_seq, n_masked, order), 0)


def reordered(item_seq: Tensor, share: float, order: Tensor, rng: torch.Generator) -> Tensor:
    """Rows (B, L) with a contiguous piece of ``floor(share n)`` items sorted by `order` (B, L)."""
    n_rows, length = item_seq.shape
    n = (item_seq != 0).sum(1)
    position = torch.arange(length).expand(n_rows, -1) - (length - n)[:, None]  # 0 = oldest item
    n_moved = (share * n).long()
    begin = _random_start(n - n_moved, rng)[:, None]
    is_moved = (position >= begin) & (position < begin + n_moved[:, None])
    # Sort by place, but inside the piece by a random key that stays within the piece.
    key = torch.where(is_moved, begin + n_moved[:, None] * order, position.float())
    return item_seq.gather(1, key.argsort(dim=1, stable=True))


def is_among_first(item_seq: Tensor, n_first: Tensor, order: Tensor) -> Tensor:
    """Whether a place of (B, L) holds one of the row's `n_first` (B,) items of lowest `order`."""
    is_item = item_seq != 0
    rank = order.masked_fill(~is_item, 2.0).argsort(1).argsort(1)
    return is_item & (rank < n_first[:, None])


def chosen(views: list[Tensor], operation: Tensor) -> Tensor:
    """Row b of the view with number `operation[b]`; all views are (B, L)."""
    return torch.stack(views)[operation, torch.arange(len(operation))]


def _random_start(n_places: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform integer in [0, n_places - 1], 0 where there is no place to choose."""
    return (torch.rand(len(n_places), generator=rng) * n_places).long()


def _right_aligned(item_seq: Tensor, begin: Tensor, n_kept: Tensor) -> Tensor:
    """Pieces ``item_seq[begin : begin + n_kept]`` moved to the right end, padded with 0."""
    length = item_seq.shape[1]
    offset = torch.arange(length) - (length - n_kept)[:, None]
    piece = item_seq.gather(1, (begin[:, None] + offset).clamp(0, length - 1))
    return piece.masked_fill(offset < 0, 0)
