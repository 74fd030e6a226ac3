"""Thresholds over a whole catalogue: where the best share of what may be shown begins."""

import math

import numpy as np
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
    most = math.ceil(scores.shape[1] * share) if scores.is_cuda else int(n_best.max())
    best = _highest(scores, most)  # a GPU would have to be waited for
    return best.gather(1, best.shape[1] - n_best[:, None])


def _highest(scores: Tensor, n: int) -> Tensor:
    """The n highest of every row, ascending."""
    if scores.is_cuda:
        return scores.topk(n, dim=1).values.flip(1)
    start = scores.shape[1] - n  # NumPy partitions and sorts eight times as fast as torch
    part = np.partition(scores.numpy(), start, axis=1)[:, start:]
    return torch.from_numpy(np.sort(part, axis=1))
