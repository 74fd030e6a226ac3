r"""Laws of drift beyond the paper's step: where a round leaves users.

An accepted item moves by :math:`\alpha_n = \alpha / (1 + \delta n)` after n accepted ones: the
weights of a running average of impressions, at :math:`\delta = \alpha` (Anderson 1981, Foundations
of Information Integration Theory). A refused one moves by
:math:`\alpha_r = \eta - \rho`: toward what was seen (mere exposure, Zajonc 1968) or away from what
was pushed (psychological reactance, Brehm 1966). Then users go back to where they began,
:math:`(1 - \kappa) e_u + \kappa e_u^0` (attachment to one's initial opinion, Friedkin & Johnsen
1990), and wander, :math:`e_u + \sigma z / \sqrt d` (a Gaussian random walk, as that of Dynamic
Poisson Factorization, Charlin et al. 2015). Every vector is scaled to unit length.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.rng import uniform_at
from proactrec.simulator.dynamics import moved
from proactrec.simulator.laws import LawOptions
from proactrec.types import IntArray

LUCK_OF_WANDERING = 1 << 21
"""First slot of the numbers by which users wander, one slot a dimension."""


def diminished(kept_share: Tensor, n_accepted: Tensor, laws: LawOptions) -> Tensor:
    r"""Kept share after some accepted items, :math:`1 - \alpha / (1 + \delta n)`: (B,)."""
    if not laws.diminishing:
        return kept_share
    return 1 - (1 - kept_share) / (1 + laws.diminishing * n_accepted.to(kept_share.dtype))


def diminished_once_more(kept_share: Tensor, n_accepted: Tensor, laws: LawOptions) -> Tensor:
    """Kept share one accepted item later than :func:`diminished` gave it: (B,)."""
    if not laws.diminishing:
        return kept_share
    before = 1 + laws.diminishing * n_accepted.to(kept_share.dtype)
    return 1 - (1 - kept_share) * before / (before + laws.diminishing)


def kept_of_refused(laws: LawOptions) -> float:
    r"""Kept share of a refused item, :math:`1 + \rho - \eta`: above one away from it."""
    return 1 + laws.reactance - laws.exposure


def refused(user_vectors: Tensor, item_vectors: Tensor, laws: LawOptions) -> Tensor:
    """User vectors after refusing an item, of unit length: (B, d)."""
    if not laws.moves_by_refusal:
        return user_vectors
    share = torch.full_like(user_vectors[:, 0], kept_of_refused(laws))
    return moved(user_vectors, item_vectors, share)


def returned(user_vectors: Tensor, start: Tensor, laws: LawOptions) -> Tensor:
    """User vectors after going back some of the way to the start, of unit length: (B, d)."""
    if not laws.returning:
        return user_vectors
    return F.normalize((1 - laws.returning) * user_vectors + laws.returning * start, dim=1)


def wandered(user_vectors: Tensor, steps: Tensor, laws: LawOptions) -> Tensor:
    """User vectors after their own random steps (B, d), standard normal: (B, d)."""
    length = laws.wandering / math.sqrt(user_vectors.shape[1])
    return F.normalize(user_vectors + length * steps.to(user_vectors.dtype), dim=1)


def random_steps(
    seeds: IntArray, user_idx: IntArray, target_idx: IntArray, round_idx: IntArray, dim: int
) -> Tensor:
    """Standard normal numbers of (seed, user, target, round), arrays (B,): (B, dim)."""
    slot = torch.arange(dim).numpy() + LUCK_OF_WANDERING
    number = (round_idx[:, None] + (slot << 32)[None, :]).ravel()
    seed, user, target = (x.repeat(dim) for x in (seeds, user_idx, target_idx))
    return normal_of(torch.from_numpy(uniform_at(seed, user, target, number))).view(-1, dim)


def normal_of(uniform: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones in [0, 1)."""
    normal: Tensor = torch.special.ndtri(uniform + 2.0**-54)
    return normal


def interest_after(
    share: Tensor | float,
    near: Tensor,
    now: Tensor,
    toward: Tensor,
    home: tuple[Tensor, Tensor, Tensor] | None,
    laws: LawOptions,
) -> Tensor:
    r"""Interest in the target after a step toward items, and the way back to the start: (B, K).

    Parameters
    ----------
    share : float tensor, shape (B, 1), or float
        Kept share of the step; above one away from the items.
    near, toward : float tensors, shape (B, K)
        Inner products of the items with user and target.
    now : float tensor, shape (B, 1)
        Interest in the target now.
    home : three float tensors, (B, 1), (B, K) and (B, 1), where users go back
        Inner products of the start with user, items and target.

    Notes
    -----
    :math:`\beta e_u + (1 - \beta) e_i` has the squared length
    :math:`\beta^2 + (1 - \beta)^2 + 2 \beta (1 - \beta) e_u^\top e_i`, as all are of length one.
    """
    length = (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * near).sqrt_()
    after = (share * now + (1 - share) * toward).div_(length)
    if home is None:
        return after
    of_user, of_items, of_target = home
    from_start = (share * of_user + (1 - share) * of_items) / length
    stays, back = 1 - laws.returning, laws.returning
    length = (stays**2 + back**2 + 2 * stays * back * from_start).sqrt()
    return (stays * after + back * of_target) / length
