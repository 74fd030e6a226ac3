"""How near all items are to targets: the same for everybody, so made once a target."""

import torch
from torch import Tensor

MOST_KEPT = 16_000_000
"""Products that are kept, 64 MB; then it begins anew."""
STEADY_ROWS = 4
"""BLAS sums products of fewer rows in another order: their last bits would depend on company."""


class Toward:
    """Inner products of targets with all items.

    Parameters
    ----------
    items : float tensor, shape (n_items + 1, d)
    """

    def __init__(self, items: Tensor) -> None:
        self._items, self._kept = items, dict[int, Tensor]()

    def of(self, target_idx: Tensor) -> Tensor:
        """Products of targets (n,): (n, n_items + 1), not to be written to.

        On a GPU nothing is kept: which targets they are would have to be waited for.
        """
        if target_idx.is_cuda:
            return self._items[target_idx] @ self._items.T
        targets = target_idx.tolist()
        kept = self._kept if len(self._kept) * len(self._items) < MOST_KEPT else {}
        fresh = [target for target in dict.fromkeys(targets) if target not in kept]
        if fresh:
            kept = {**kept, **dict(zip(fresh, self._made(fresh), strict=True))}
            self._kept = kept  # never changed in place: other threads may be reading it
        if len(set(targets)) == 1:
            return kept[targets[0]].expand(len(targets), -1)
        return torch.stack([kept[target] for target in targets])

    def _made(self, targets: list[int]) -> list[Tensor]:
        rows = targets + targets[-1:] * (-len(targets) % STEADY_ROWS)
        made = self._items[rows] @ self._items.T
        return [row.clone() for row in made[: len(targets)]]
