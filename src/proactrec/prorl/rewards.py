r"""What a model of interest says of paths, and the centred rewards that are made of it (SRC).

Source: Hou et al. 2026, arXiv:2605.28293. With :math:`s_k` the prompt's history and the path's
items before k, P the judge's softmax over the catalogue and R = 1 + the number of items of larger
P:
:math:`\mathrm{IoI}_k = \ln P(t|s_k, i_k) - \ln P(t|s_k)`,
:math:`\mathrm{IoR}_k = R(t|s_k) - R(t|s_k, i_k)`,
:math:`\mathrm{CTR}_k = \sigma(h(s_k)^\top v_{i_k})`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from proactrec.encoders.base import Encoder
from proactrec.prorl.network import ProRL
from proactrec.prorl.options import ReinforcingOptions

LEAST_DEVIATION = 0.1
"""Below which no metric is scaled up."""
JUDGED_ROWS = 1024
"""Histories that are scored at once: each has a score of every item."""


class Judged(NamedTuple):
    """Of every item of paths, all (n, T); 0 where there is none."""

    interest: Tensor  # IoI, nats
    rank: Tensor  # IoR, places
    acceptance: Tensor  # CTR, in [0, 1]


Judge = Callable[[Tensor, Tensor, Tensor], Judged]
"""Asked of histories (n, L), left-padded, targets (n,) and paths (n, T), right-padded."""


def judge_by(encoder: Encoder) -> Judge:
    """What an encoder says; it reads every history as :meth:`Encoder.encode` does."""

    @torch.no_grad()
    def judge(history: Tensor, target: Tensor, path: Tensor) -> Judged:
        n_rows, n_most = path.shape
        n_items = (path != 0).sum(1)
        standing = [(n_items >= number).nonzero()[:, 0] for number in range(n_most + 1)]
        sequences = torch.cat(
            [_grown(history[rows], path[rows], number) for number, rows in enumerate(standing)]
        )[:, -encoder.options.max_seq_len :]
        rows = torch.cat(standing)
        column = torch.repeat_interleave(torch.tensor([len(of) for of in standing]))
        column, following = column.to(rows.device), torch.cat([path, path[:, :1] * 0], 1)
        told = torch.zeros(n_rows, n_most + 1, 3, device=path.device)
        for at in torch.arange(len(rows), device=rows.device).split(JUDGED_ROWS):
            row, place = rows[at], column[at]
            scores = encoder.score(encoder.encode(sequences[at]))
            told[row, place] = _told(scores, target[row], following[row, place])
        is_item = path != 0
        interest = (told[:, 1:, 0] - told[:, :-1, 0]) * is_item
        rank = (told[:, :-1, 1] - told[:, 1:, 1]) * is_item
        return Judged(interest, rank, told[:, :-1, 2] * is_item)

    return judge


def rewards(model: ProRL, judged: Judged, path: Tensor, options: ReinforcingOptions) -> Tensor:
    r"""Reward of every item, :math:`w_1 z(IoI) + w_2 z(IoR) + w_3 z(CTR) / L_{max}`: (n, T).

    :math:`z(x) = (x - \mu) / \max(\sigma, 0.1)`; :math:`\mu` is 0 with `centring="none"`. The third
    weight is divided by the longest length of paths. 0 where there is no item.
    """
    deviation = (model.reward_squares / model.reward_count.clamp(min=1)).sqrt()
    mean = model.reward_mean if options.centring == "frozen" else 0 * model.reward_mean
    z = (torch.stack(judged, 2) - mean) / deviation.clamp(min=LEAST_DEVIATION)
    shares = options.interest_weight, options.rank_weight
    share = options.acceptance_weight / model.options.max_path_len
    weight = torch.tensor([*shares, share], dtype=z.dtype, device=z.device)
    return ((z * weight).sum(2) * (path != 0)).float()


def learn_centre(model: ProRL, judged: Judged, path: Tensor) -> None:
    """Let the items of a batch count in mean and deviation, unless these are frozen already."""
    if bool(model.is_frozen) or not bool((path != 0).any()):
        return
    values = torch.stack(judged, 2)[path != 0].double()  # (n, 3)
    count, mean = len(values), values.mean(0)
    squares = ((values - mean) ** 2).sum(0)
    total, off = model.reward_count + count, mean - model.reward_mean
    model.reward_squares += squares + off**2 * model.reward_count * count / total
    model.reward_mean += off * count / total
    model.reward_count.copy_(total)


def _grown(history: Tensor, path: Tensor, number: int) -> Tensor:
    """Histories with the first `number` items of paths, all of one width."""
    room = history.new_zeros(len(history), path.shape[1] - number)
    return torch.cat([room, history, path[:, :number]], 1)


def _told(scores: Tensor, target: Tensor, item_idx: Tensor) -> Tensor:
    """Of scores (n, n_items + 1): targets' ln P and R, and the next items' chances: (n, 3)."""
    of_target = scores.gather(1, target[:, None])
    interest = of_target[:, 0] - scores[:, 1:].logsumexp(1)
    rank = 1 + (scores[:, 1:] > of_target).sum(1)
    chance = scores.gather(1, item_idx[:, None])[:, 0].sigmoid()
    return torch.stack([interest, rank.to(interest.dtype), chance], 1)
