"""Paths that a planner writes: only items that may be on them, each once, then an end.

An action is an item or :data:`STOP`; a path has at least one item, and ends by itself after
`max_path_len`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from proactrec.prorl.network import STOP, Memory, ProRL
from proactrec.ranking import best_item

Choose = Callable[[Tensor], Tensor]
"""Columns (n,) chosen by masked logits (n, n_items + 1)."""


def closed_by(model: ProRL, history: Tensor, target: Tensor) -> Tensor:
    """-inf for items of prompts, which are never on their paths, else 0: (n, n_items + 1)."""
    closed = torch.zeros(len(target), model.n_items + 1, device=target.device)
    closed.scatter_(1, torch.cat([history, target[:, None]], 1), -torch.inf)
    closed[:, STOP] = 0
    return closed


def masks(closed: Tensor, path: Tensor) -> Tensor:
    """What is added to logits before every item of paths (n, T), and after the last.

    Parameters
    ----------
    closed : float tensor, shape (n, n_items + 1)
        -inf for what may not be on the path at all.

    Returns
    -------
    float tensor, shape (n, T + 1, n_items + 1)
    """
    found, now = [], closed.clone()
    for number in range(path.shape[1] + 1):
        mask = now.clone()
        if number == 0:
            mask[:, STOP] = -torch.inf
        found.append(mask)
        if number < path.shape[1]:
            now = now.scatter(1, path[:, number : number + 1], -torch.inf)
            now[:, STOP] = 0
    return torch.stack(found, 1)


@torch.no_grad()
def write(model: ProRL, memory: Memory, closed: Tensor, choose: Choose) -> Tensor:
    """Paths (n, max_path_len), padded with 0 on the right; a path without items: nothing is open.

    Parameters
    ----------
    closed : float tensor, shape (n, n_items + 1)
        -inf for what may not be on the path; what is on it already is never written again.
    """
    n_most = model.options.max_path_len
    path = torch.zeros(len(closed), n_most, dtype=torch.int64, device=closed.device)
    now, is_over = closed.clone(), torch.zeros(len(closed), dtype=torch.bool, device=closed.device)
    for number in range(n_most):
        state = model.states(memory, path[:, :number])[:, -1]
        now[:, STOP] = -torch.inf if number == 0 else 0
        scores = model.logits(state) + now
        is_over = is_over | (scores == -torch.inf).all(1)
        scores[:, STOP] = scores[:, STOP].masked_fill(is_over, 0)
        item_idx = choose(scores).masked_fill(is_over, STOP)
        is_over = is_over | (item_idx == STOP)
        path[:, number] = item_idx
        now = now.scatter(1, item_idx[:, None], -torch.inf)
        if not path.is_cuda and bool(is_over.all()):
            break
    return path


def greedy(scores: Tensor) -> Tensor:
    """The likeliest action, the first of equals."""
    return best_item(scores)


def sampler(rng: torch.Generator, top_k: int = 0) -> Choose:
    """Draws actions from the softmax, of the `top_k` likeliest where it is above 0."""

    def choose(scores: Tensor) -> Tensor:
        if 0 < top_k < scores.shape[1]:
            least = scores.topk(top_k, dim=1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        # Exponential races draw as the softmax does; their luck lies on the CPU, as every draw.
        luck = torch.empty(scores.shape).exponential_(generator=rng).to(scores.device)
        return (scores.softmax(1) / luck).argmax(1)

    return choose


def log_probabilities(model: ProRL, memory: Memory, closed: Tensor, path: Tensor) -> Tensor:
    """Log-probabilities of all actions before every item, and after the last.

    Returns
    -------
    float tensor, shape (n, T + 1, n_items + 1)
        -inf for what may not be written there.
    """
    logits = model.logits(model.states(memory, path)) + masks(closed, path)
    return logits.log_softmax(2)
