"""Thresholds over a whole catalogue: where the best share of what may be shown begins."""

import torch
from torch import Tensor


def least_of_best(scores: Tensor, share: float) -> Tensor:
    """Lowest score among the best share of those above -inf, at least one: (n, 1).

    Parameters
    ----------
    scores : float tensor, shape (n, n_items + 1)
    share : float in (0, 1]
    """
    n_all = (scores > -torch.inf).sum(1).double()
    n_best = (n_all * share - 1e-9).ceil().long().clamp(min=1)  # (n,); 30 × 0.1 is 3, not more
    best = scores.topk(int(n_best.max()), dim=1).values
    return best.gather(1, n_best[:, None] - 1)
