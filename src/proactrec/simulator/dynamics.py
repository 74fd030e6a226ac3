"""How an accepted item moves a user, and who moves how far."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.rng import generator

Receptivity = Literal["constant", "per-user", "arousal", "policy"]


def moved(user_vectors: Tensor, item_vectors: Tensor, kept_share: Tensor) -> Tensor:
    r"""User vectors after accepting an item, of unit length: :math:`\beta e_u + (1 - \beta) e_i`.

    Parameters
    ----------
    user_vectors, item_vectors : float tensors, shape (B, d)
    kept_share : float tensor, shape (B,)
        Share of the old vector that stays; receptivity is one minus it.
    """
    share = kept_share[:, None].to(user_vectors.dtype)
    return F.normalize(share * user_vectors + (1 - share) * item_vectors, dim=1)


def kept_share_per_user(
    n_users: int, *, mean: float, seed: int, concentration: float = 20.0
) -> Tensor:
    """Kept share of every user, drawn once from a Beta around the mean: (n_users,).

    Its parameters are mean and one minus it, times the concentration.
    """
    if mean in (0, 1):
        return torch.full((n_users,), float(mean))  # no Beta has such a mean
    rng = generator(seed, "receptivity")
    drawn = rng.beta(mean * concentration, (1 - mean) * concentration, n_users)
    return torch.from_numpy(drawn).float()
