"""What a caller offers for a round: items in its own order, of which the first is the plain one."""

import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.policies.base import Candidates, Decision


def check_offered(offered: Tensor, n_journeys: int, n_items: int) -> None:
    """Raise :class:`InvalidInputError` unless there is a row of the guide's items per journey."""
    if offered.dim() != 2 or len(offered) != n_journeys:
        raise InvalidInputError(
            f"offered must hold a row for each of {n_journeys} journeys, "
            f"got the shape {tuple(offered.shape)}"
        )
    least, most = (offered.min(), offered.max()) if offered.numel() else (0, 0)
    if least < 0 or most > n_items:
        raise InvalidInputError(
            f"offered must hold items 1 to {n_items} or 0, got {int(least)} to {int(most)}"
        )


def only_offered(candidates: Candidates, offered: Tensor) -> Candidates:
    """Of the whole catalogue what is offered (n, k), 0: padding; all of it in a row of zeros."""
    is_within = torch.zeros_like(candidates.penalty, dtype=torch.bool).scatter_(1, offered, True)
    is_within |= ~(offered > 0).any(1, keepdim=True)
    return Candidates(candidates.penalty.masked_fill(~is_within, -torch.inf))


def first_offered(
    offered: Tensor, candidates: Candidates, scores: Tensor, usual: Decision
) -> Decision:
    """The first offered item that may be shown, and the usual decision where there is none.

    Parameters
    ----------
    offered : int tensor, shape (n, k)
        In the caller's order; 0: padding.
    candidates : Candidates
        What may be shown, of the whole catalogue.
    scores : float tensor, shape (n, n_items + 1)
    usual : Decision
    """
    if not offered.shape[1]:
        return usual
    may = candidates.allow(offered)
    first = offered.gather(1, may.int().argmax(1, keepdim=True))  # the first of equals
    return Decision(
        torch.where(may.any(1), first[:, 0], usual.item_idx),
        torch.where(may.any(1), scores.gather(1, first)[:, 0], usual.score),
    )
