r"""ProRL's policy gradient: centred rewards (SRC), and a baseline of every position (PSAE).

Source: Hou et al. 2026, arXiv:2605.28293. A path of :math:`n` items has actions at positions
:math:`0 \dots n`, the last being its end, unless it is as long as paths may be.
"""

import torch
from torch import Tensor

from proactrec.prorl.options import Estimator


def is_action(n_items: Tensor, n_most: int) -> Tensor:
    """Whether something was chosen at every position: (..., n_most + 1), `n_items` being (...).

    At position `n_most` nothing is: the path ends by itself.
    """
    position = torch.arange(n_most + 1, device=n_items.device)
    return (position <= n_items[..., None]) & (position < n_most)


def returns(reward: Tensor) -> Tensor:
    r""":math:`G_k = \sum_{l \ge k} r_l` of rewards (..., T), and 0 of an end: (..., T + 1)."""
    after = reward.flip(-1).cumsum(-1).flip(-1)
    return torch.cat([after, torch.zeros_like(after[..., :1])], -1)


def advantages(
    reward: Tensor, n_items: Tensor, estimator: Estimator = "prorl", *, own_return: bool = True
) -> Tensor:
    r"""What the log-probability of every action is weighted by.

    .. math:: A_{j,k} = G_{j,k} - \frac{1}{|S_k|} \sum_{j' \in S_k} G_{j',k}

    Parameters
    ----------
    reward : float tensor, shape (B, n, T)
        Of every item of n samples for each of B prompts; 0 after the end.
    n_items : int tensor, shape (B, n)
    estimator
        "prorl" as above, :math:`S_k` being the prompt's samples that act at position k;
        "rtg": :math:`G_{j,k}`; "reinforce": the sum of all rewards at every position;
        "grpo": the same less the mean of the prompt's samples.
    own_return : bool
        Whether a sample's own return counts in the mean, as published. Without it the mean is of
        the others. Alone at a position, A is 0 either way.

    Returns
    -------
    float tensor, shape (B, n, T + 1)
        0 where nothing was chosen.
    """
    acts, found = is_action(n_items, reward.shape[-1]), returns(reward)
    if estimator in ("reinforce", "grpo"):
        total = found[..., :1]
        if estimator == "grpo":
            total = total - total.mean(1, keepdim=True)
        return total * acts
    found = found * acts
    if estimator == "rtg":
        return found
    n_acting, sums = acts.sum(1, keepdim=True), found.sum(1, keepdim=True)
    if own_return:
        return (found - sums / n_acting.clamp(min=1)) * acts
    others = (sums - found) / (n_acting - 1).clamp(min=1)
    return (found - others) * (acts & (n_acting > 1))


def exact_kl(now: Tensor, then: Tensor) -> Tensor:
    r""":math:`\sum_a p(a) \ln (p(a) / p^0(a))` of log-probabilities (..., C): (...)."""
    is_open = now > -torch.inf
    ratio = now.masked_fill(~is_open, 0) - then.masked_fill(~is_open, 0)
    return (now.exp() * ratio).sum(-1)
