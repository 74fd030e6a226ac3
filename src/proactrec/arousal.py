"""Targeted individual arousal coefficients (TIAC): how strongly a user reacts to a target."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

TiacForm = Literal["one_minus", "literal"]


def arousal(
    user_vectors: Tensor,
    item_vectors: Tensor,
    penalty: Tensor,
    target_idx: Tensor,
    *,
    n_curious: int,
) -> Tensor:
    r"""Mean cosine to the target of the unseen items that a user likes most.

    :math:`\beta_u = \frac{1}{Q} \sum_{i \in \mathrm{top}_Q(\cos(e_u, e_i))} \cos(e_i, e_t)`

    Parameters
    ----------
    user_vectors : float tensor, shape (B, d)
    item_vectors : float tensor, shape (n_items + 1, d)
    penalty : float tensor, shape (B, n_items + 1)
        -inf for padding and items the user has seen, else 0 (:func:`proactrec.ranking.penalties`).
    target_idx : int tensor, shape (B,)
    n_curious : int
        Q; users with fewer unseen items have the mean over what there is (0 of none).

    Returns
    -------
    float tensor, shape (B,), in [-1, 1]
    """
    items = F.normalize(item_vectors, dim=1)
    # The length of a user's vector does not change the order.
    scores = (user_vectors @ items.T).add_(penalty)
    best = scores.topk(min(n_curious, scores.shape[1]), dim=1, sorted=False)
    is_unseen = best.values > -torch.inf
    cosine = torch.einsum("bqd,bd->bq", items[best.indices], items[target_idx])
    return (cosine * is_unseen).sum(1) / is_unseen.sum(1).clamp(min=1)


def kept_share(coefficient: Tensor, *, form: TiacForm, floor: float | None) -> Tensor:
    """Share of the old user vector that an accepted item leaves: (B,).

    `one_minus` (the code): ``1 - max(coefficient, floor)``, so that who likes the target's
    surroundings reacts more. `literal` (the paper's equation): the coefficient itself.
    """
    if floor is not None:
        coefficient = coefficient.clamp(min=floor)
    return 1 - coefficient if form == "one_minus" else coefficient
