"""Training losses of the encoders."""

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.tables import rows_of

MOST_SCORES = 2**30
"""Scores of a batch by cross-entropy: 4 GiB in float32, of which training holds three."""


def sampled_binary_loss(
    states: Tensor, answer: Tensor, negative: Tensor, items: Tensor, *, touched: bool = False
) -> Tensor:
    r"""Mean of :math:`-\ln \sigma(h^\top e_y) - \ln(1 - \sigma(h^\top e_n))` over real answers.

    Parameters
    ----------
    states : float tensor, shape (B, L, d)
    answer, negative : int tensors, shape (B, L)
        Next item and a sampled other one; positions whose answer is 0 don't count.
    items : float tensor, shape (n_items + 1, d)
    touched : bool
        Whether the gradient of `items` is sparse.
    """
    is_real = answer != 0
    states = states[is_real]  # (n, d)
    positive_score = (states * rows_of(items, answer[is_real], touched=touched)).sum(1)
    negative_score = (states * rows_of(items, negative[is_real], touched=touched)).sum(1)
    return F.softplus(-positive_score).mean() + F.softplus(negative_score).mean()


def full_cross_entropy(states: Tensor, answer: Tensor, items: Tensor) -> Tensor:
    """Mean cross-entropy of the real answers among all items; padding is none of them.

    Parameters
    ----------
    states : float tensor, shape (B, L, d) or (B, d)
    answer : int tensor, shape (B, L) or (B,)
        Next item; where it is 0 nothing counts.
    items : float tensor, shape (n_items + 1, d)
        Row 0, the padding, gets no score and no gradient.

    Raises
    ------
    InvalidInputError
        If the batch takes more than `MOST_SCORES`.
    """
    is_real = answer != 0
    states, n_items = states[is_real], len(items) - 1
    if len(states) * n_items > MOST_SCORES:
        raise InvalidInputError(
            f"cross-entropy must score at most {MOST_SCORES:,} times in a batch, got "
            f"{len(states):,} answers × {n_items:,} items: take next_item_loss='sampled', or a "
            "smaller batch_size"
        )
    return F.cross_entropy(states @ items[1:].T, answer[is_real] - 1)


def contrast(x: Tensor, y: Tensor, same: Tensor | None = None) -> Tensor:
    """Contrastive loss (NCE, temperature 1, plain inner products) of matching rows of x and y.

    Parameters
    ----------
    x, y : float tensors, shape (B, m)
        Row b of one is the positive of row b of the other; all other rows of both are negatives.
    same : bool tensor, shape (B, B), optional
        Pairs that are no negatives (ICLRec's "de-noise": the same intent).
    """
    return pair_contrast(x @ y.T, x @ x.T, y @ y.T, same)


def pair_contrast(
    across: Tensor, within_x: Tensor, within_y: Tensor, same: Tensor | None = None
) -> Tensor:
    """The loss of :func:`contrast` from any similarities: cross-entropy over 2B rows of 2B.

    Parameters
    ----------
    across, within_x, within_y : float tensors, shape (B, B)
        Similarity of every x to every y, of x to x and of y to y.
    same : bool tensor, shape (B, B), optional
        Pairs that are no negatives.
    """
    n = len(across)
    own = torch.eye(n, dtype=torch.bool, device=across.device)
    is_dropped = own if same is None else own | same
    within_x = within_x.masked_fill(is_dropped, -torch.inf)
    within_y = within_y.masked_fill(is_dropped, -torch.inf)
    if same is not None:
        across = across.masked_fill(same & ~own, -torch.inf)
    logits = torch.cat([torch.cat([across, within_x], 1), torch.cat([within_y, across.T], 1)])
    return F.cross_entropy(logits, torch.arange(2 * n, device=across.device))
