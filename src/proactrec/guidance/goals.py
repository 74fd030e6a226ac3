"""Goals of a category: which of its items suits each user best as a target."""

import torch
from torch import Tensor

from proactrec.guidance.guide import Guide, Places
from proactrec.journeys import Journeys
from proactrec.policies.base import Promises
from proactrec.types import BoolArray, IntArray

WEIGHED = 8
"""Targets of a category whose promise is weighed for each user."""


@torch.no_grad()
def best_targets(guide: Guide, begun: Journeys, items: Tensor, is_closed: BoolArray) -> IntArray:
    """The target that suits the user of every journey best, 0 where all are closed: (n,).

    The most relevant; where the policy says what targets promise, the most promising of the
    :data:`WEIGHED` most relevant.

    Parameters
    ----------
    begun : Journeys
        Of n users before any round, with as many rounds left as are to come; their targets don't
        matter.
    items : int tensor, shape (k,)
        Targets to choose from.
    is_closed : bool array, shape (n, k)
        Those that a user may not be led to: has them, or refused them for good.
    """
    closed, recommender = torch.from_numpy(is_closed), guide.recommender
    assert recommender is not None
    best = []
    for rows in torch.arange(len(begun.user)).split(guide.block_size):
        some = begun.of(rows)
        relevance = recommender.encoder.score(recommender.place(some))
        suits = relevance[:, items].masked_fill(closed[rows], -torch.inf)
        best.append(_most_promising(guide, some, items, suits))
    found: IntArray = torch.cat(best).masked_fill(closed.all(1), 0).numpy()
    return found


def _most_promising(guide: Guide, some: Journeys, items: Tensor, suits: Tensor) -> Tensor:
    """Of the targets (k,) that suit journeys best (n, k) the most promising: (n,)."""
    policy = guide.policy
    if not isinstance(policy, Promises):
        return items[suits.argmax(1)]
    near, place = suits.topk(min(WEIGHED, len(items)), 1)
    own = suits[:, :0] if policy.knows_target else policy.place(some)
    view, promises = guide.view(some, Places(own, own)), []
    for rows in torch.arange(len(near)).split(max(1, guide.block_size // near.shape[1])):
        each = view.of(rows.repeat_interleave(near.shape[1]))
        toward = each.journeys._replace(target_idx=items[place[rows].flatten()])
        here = policy.place(toward) if policy.knows_target else each.places
        promises.append(policy.promise(each._replace(journeys=toward, places=here)))
    promise = torch.cat(promises).view_as(near).masked_fill(near == -torch.inf, -torch.inf)
    return items[place.gather(1, promise.argmax(1, keepdim=True))[:, 0]]
