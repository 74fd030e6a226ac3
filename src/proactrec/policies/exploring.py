"""Exploration: of the items that are nearly as good as the best one is drawn, by known chances.

A log of nothing but best items says nothing of the others. Where each of a few had a chance that
was written down, it says what another policy would have brought.
"""

import copy
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, Decision, Explains, Policy, View
from proactrec.policies.exploring_options import ExploringOptions
from proactrec.rng import generator, uniform_at
from proactrec.types import IntArray


class Luck(NamedTuple):
    """What a draw goes by, beside the journey and its round."""

    seed: int
    item_key: IntArray  # (n_items + 1,), hashed ids

    def of(self, journeys: Journeys) -> Tensor:
        """A number in [0, 1) for the next round of every journey, in any company: (n,)."""
        number = journeys.round.cpu().numpy() - 1
        drawn = uniform_at(self.seed, *journeys.drawing(self.item_key), number)
        return torch.from_numpy(drawn).to(journeys.round.device)


def exploring(
    policy: Policy, options: ExploringOptions, *, seed: int, item_key: IntArray
) -> Policy:
    """The policy, but showing one of the items that it weighs within a loss of its best.

    It is one of the policy's kind in all else: what it knows and learns, predicts and promises.
    Its decisions say among what was drawn.

    Parameters
    ----------
    policy : Policy
        One that explains what it weighs; it stays as it is.
    seed : int
    item_key : int array, shape (n_items + 1,)
        Hashed ids of items, see :attr:`proactrec.data.items.Items.key`.

    Raises
    ------
    InvalidInputError
        If the policy does not say what it weighs.
    """
    if not isinstance(policy, Explains):
        raise InvalidInputError(
            f"exploring needs a policy that says what it weighs, {policy.name} does not"
        )
    kind, luck = type(policy), Luck(int(generator(seed, "exploring").integers(2**63)), item_key)

    def decide(self: Policy, view: View) -> Decision:
        return _explored(self, kind.decide, view, options, luck)

    # A class of its own, so that whatever is asked of the policy, or of its kind, is answered.
    other = copy.copy(policy)
    other.__class__ = type(f"Exploring{kind.__name__}", (kind,), {"decide": decide})
    return other


def probabilities(among: Tensor, share: float) -> Tensor:
    """How likely each item (n, k) was to be shown, the best standing first, 0 = none: (n, k).

    ``share / n`` of n items, and ``1 - share`` more of the best.
    """
    is_there = (among > 0).double()
    likely = share * is_there / is_there.sum(1, keepdim=True).clamp(min=1)
    likely[:, 0] += (1 - share) * is_there[:, 0]
    return likely


def _explored(
    policy: Policy, best_of: Any, view: View, options: ExploringOptions, luck: Luck
) -> Decision:
    """What is drawn among the best, with the features of what is shown."""
    best: Decision = best_of(policy, view)
    penalty = view.candidates.whole(len(luck.item_key))
    value = cast(Explains, policy).weigh(view._replace(candidates=Candidates(penalty)))
    among = _among(value, best.item_idx, options)
    item_idx = among.gather(1, _place(among, luck.of(view.journeys), options.share))[:, 0]
    rows = (item_idx != best.item_idx).nonzero()[:, 0]
    score, features = best.score, best.features
    if len(rows):
        score = score.index_copy(0, rows, value[rows, item_idx[rows]].to(score.dtype))
    if len(rows) and features is not None:
        only = Candidates(torch.zeros_like(penalty[rows, :1]), item_idx[rows, None])
        own: Decision = best_of(policy, view.of(rows)._replace(candidates=only))
        assert own.features is not None
        features = features.index_copy(0, rows, own.features)
    return Decision(item_idx, score, features, among)


def _among(value: Tensor, best_idx: Tensor, options: ExploringOptions) -> Tensor:
    """Items within the loss by their value (n, n_items + 1), the best first: (n, most)."""
    first = best_idx[:, None]
    is_near = value >= value.gather(1, first) - options.loss
    near = value.masked_fill(~is_near, -torch.inf).scatter(1, first, torch.inf)
    found = near.topk(min(options.most, value.shape[1]), 1)
    is_there = (found.values > -torch.inf) & (first > 0)
    return F.pad(found.indices * is_there, (0, options.most - found.indices.shape[1]))


def _place(among: Tensor, luck: Tensor, share: float) -> Tensor:
    """Which of them is shown, by luck in [0, 1): (n, 1)."""
    n_items = (among > 0).sum(1)
    equally = (luck / (share or 1.0) * n_items).long().minimum(n_items - 1).clamp(min=0)
    return equally.masked_fill(luck >= share, 0)[:, None]
