"""What rails say of a round, and what becomes of a policy's decision: rules of single journeys.

A policy sees candidates without those that rails forbid. Where a round must be plain, one item is
left to it, so that a policy that learns notes the right one; a policy that answers with something
else (a planned path) is overruled.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from proactrec.guidance.decision import GUIDED, STOPPED, Ruled
from proactrec.guidance.offers import first_offered
from proactrec.policies.base import Candidates, Decision, View
from proactrec.policies.next_item import NextItem


class Ruling(NamedTuple):
    """What rails say of a round; all of the same journeys."""

    view: View  # what the policy is shown
    plain: Decision  # the most relevant item that may be shown, or the first that is offered
    reason: Tensor  # (n,): the first that makes the round plain or stops it, or GUIDED
    n_forbidden: Tensor  # (n,), guided items that rails took away
    open: Candidates  # what may at least be shown as a plain item
    guided: Candidates  # what guidance may show, whatever the policy does to what it saw

    def settle(self, decision: Decision) -> Ruled:
        """The policy's decision, overruled where it has to be.

        So it is wherever the policy, against its contract, wants what may not be shown.
        """
        asked, is_plain = decision.item_idx, self.reason != GUIDED
        is_wrong = (asked > 0) & ~self.guided.allow(asked[:, None])[:, 0] & ~is_plain
        is_plain = is_plain | is_wrong | ((self.n_forbidden > 0) & (asked == 0))
        item_idx = torch.where(is_plain, self.plain.item_idx, asked)
        is_stopped = self.reason == STOPPED
        is_overruled = (is_wrong | (item_idx != asked)) & ~is_stopped
        item_idx = item_idx.masked_fill(is_stopped, 0)
        nothing = torch.zeros_like(asked)
        return Ruled(
            item_idx,
            torch.where(is_plain, self.plain.score, decision.score),
            decision.features,
            None if decision.among is None else _alone(decision.among, item_idx, is_plain),
            ~is_plain & (item_idx > 0),
            self.reason,
            self.n_forbidden.masked_fill(self.reason != GUIDED, 0),
            is_overruled.long(),
            nothing,
            self.plain.item_idx,
        )


def plain_items(
    recommender: NextItem, view: View, offered: Tensor | None, *, whole: bool
) -> tuple[Decision, Tensor | None]:
    """What is shown where a round is plain, and relevance of all items (n, n_items + 1).

    The latter is made if `whole`, or if something is offered; else nothing needs it.

    Parameters
    ----------
    view : View
        From the recommender's places, with all that may be shown.
    offered : int tensor, shape (n, k), optional
    """
    if offered is None and not whole:
        return recommender.decide(view), None
    scores = recommender.encoder.score(view.places)
    plain = view.candidates.best(scores.clone())
    if offered is not None:
        plain = first_offered(offered, view.candidates, scores, plain)
    return plain, scores


def _alone(among: Tensor, item_idx: Tensor, is_plain: Tensor) -> Tensor:
    """What might have been drawn (n, k): where a round is plain, nothing but its item (n,)."""
    only = torch.zeros_like(among).index_copy(1, item_idx.new_zeros(1), item_idx[:, None])
    return torch.where(is_plain[:, None], only, among)


def first_reason(holds: tuple[Tensor, ...]) -> Tensor:
    """Place of the first mask (n,) that holds, or GUIDED: (n,)."""
    masks = torch.stack(holds, 1)
    return masks.int().argmax(1).masked_fill(~masks.any(1), GUIDED)
