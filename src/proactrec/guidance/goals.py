"""Goals of several items: which of them suits each user best as a target, and until when.

A user who is led to a goal has one target at a time. It is chosen by what it promises over the
rounds that are left, and another takes its place once it was accepted, refused for good or closed
by a cap; where that is asked for, all are weighed anew every so many rounds.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.ledger import FREE, Ledger
from proactrec.journeys import Journeys
from proactrec.policies.base import (
    Candidates,
    Evidence,
    Learner,
    PredictsAcceptance,
    Promises,
    what_may_be_shown,
)

WEIGHED = 8
"""Targets of a goal whose promise is weighed for each user."""


@dataclass(frozen=True, eq=False)
class Goal:
    """Items of which a user is led to whichever suits.

    Parameters
    ----------
    items : int tensor, shape (k,)
    chooser : Guide, optional
        Says which suits, see :func:`best_targets`; by default the guide that leads there. One that
        learns is taught by the same answers.
    fixed : int tensor, shape (n_users,), optional
        The target of every user for good, by row of `users`; 0: none.
    every : int, optional
        Rounds after which all targets are weighed anew.
    """

    items: Tensor
    chooser: Guide | None = None
    fixed: Tensor | None = None
    every: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the chooser learns from everybody's answers."""
        return self.chooser is not None and isinstance(self.chooser.policy, Learner)

    def first(self, guide: Guide, begun: Journeys) -> Tensor:
        """The target of every journey before its first round, 0 where all are closed: (n,)."""
        if self.fixed is not None:
            return self.fixed[begun.user]
        return best_targets(
            self._by(guide), begun, self.items, closed_targets(guide, begun, self.items)
        )

    @torch.no_grad()
    def target_now(
        self, guide: Guide, journeys: Journeys, ledger: Ledger = FREE, number: int = 1
    ) -> Tensor:
        """The target of every journey in a round: (n,); where all are closed the last one stays.

        Parameters
        ----------
        number : int
            Of the round, 1 = the first, in which all targets have just been chosen.
        """
        target = journeys.target_idx
        if self.fixed is not None or number == 1:
            return target
        is_closed = closed_targets(guide, journeys, self.items, ledger)
        own = self.items == target[:, None]
        is_asked = (is_closed & own).any(1) & ~is_closed.all(1)
        if self.every is not None and (number - 1) % self.every == 0:
            is_asked = ~is_closed.all(1)
        rows = (is_asked & ~journeys.is_over).nonzero()[:, 0]
        if not len(rows):
            return target
        best = best_targets(self._by(guide), journeys.of(rows), self.items, is_closed[rows])
        return target.index_copy(0, rows, best)

    @torch.no_grad()
    def taught(self, journeys: Journeys, evidence: Evidence) -> "Goal":
        """The goal after a round of journeys (before it), if its own chooser learns from answers.

        Parameters
        ----------
        evidence : Evidence
            A row for each journey in which an item was shown, in their order; `features` are those
            of another policy, and the chooser's own take their place.
        """
        chooser = self.chooser
        if chooser is None or not isinstance(chooser.policy, Learner):
            return self
        own = chooser.places(journeys).own
        only = Candidates(
            torch.zeros_like(evidence.item_idx, dtype=own.dtype)[:, None],
            evidence.item_idx[:, None],
        )
        decided = chooser.policy.decide(chooser.among(journeys, own, only))
        kept = evidence.features[:, :0] if decided.features is None else decided.features
        learned = chooser.policy.learned(chooser.knowledge, evidence._replace(features=kept))
        return replace(self, chooser=chooser.knowing(learned))

    def _by(self, guide: Guide) -> Guide:
        if self.chooser is None:
            return guide
        again, knows_end = guide.shows_again, guide.knows_end
        return replace(self.chooser, shows_again=again, knows_end=knows_end)


@torch.no_grad()
def closed_targets(
    guide: Guide, journeys: Journeys, items: Tensor, ledger: Ledger = FREE
) -> Tensor:
    """Whether users may not be led to items (k,) any more: (n, k) bool.

    They have them, refused them for good, or a rail forbids them or is full.
    """
    found = []
    for rows in torch.arange(len(journeys.user), device=journeys.user.device).split(
        guide.at_once(journeys)
    ):
        some = journeys.of(rows)
        left = what_may_be_shown(some, len(guide.items) + 1, shows_again=guide.shows_again)
        closed = left.penalty[:, items] < 0
        if guide.rails is not None:
            closed = closed | guide.rails.closed(some, items)
            by_others = ledger.bounds(some).closed
            if by_others is not None:
                closed = closed | by_others[..., items]
        found.append(closed)
    return torch.cat(found)


@torch.no_grad()
def best_targets(guide: Guide, journeys: Journeys, items: Tensor, is_closed: Tensor) -> Tensor:
    """The target that suits the user of every journey best, 0 where all are closed: (n,).

    That with the highest chance of acceptance now, where the policy predicts it, else the most
    relevant; where the policy says what targets promise, the most promising of the
    :data:`WEIGHED` first by that.

    Parameters
    ----------
    guide : Guide
        Whose policy predicts acceptance, or with a recommender.
    journeys : Journeys
        Of n users, with as many rounds left as are to come; their targets don't matter.
    items : int tensor, shape (k,)
        Targets to choose from.
    is_closed : bool tensor, shape (n, k)
        Those that a user may not be led to.
    """
    best = []
    for rows in torch.arange(len(journeys.user), device=items.device).split(
        guide.at_once(journeys)
    ):
        some = journeys.of(rows)
        suits = _suiting(guide, some, items).masked_fill(is_closed[rows], -torch.inf)
        best.append(_most_promising(guide, some, items, suits))
    return torch.cat(best).masked_fill(is_closed.all(1), 0)


def _suiting(guide: Guide, some: Journeys, items: Tensor) -> Tensor:
    """Chance that users accept items (k,) now, where it is predicted; else relevance: (n, k)."""
    policy = guide.policy
    if isinstance(policy, PredictsAcceptance):
        own = policy.place(some)
        everything = Candidates(
            torch.zeros(1, 1, device=items.device).expand(len(own), len(items)),
            items.expand(len(own), -1),
        )
        return policy.chances(guide.among(some, own, everything))
    if guide.recommender is None:
        raise InvalidInputError(
            f"a goal needs a chooser that predicts acceptance, or has a recommender: {policy.name} "
            "does not, and has none"
        )
    encoder = guide.recommender.encoder
    return encoder.score(guide.recommender.place(some))[:, items]


def _most_promising(guide: Guide, some: Journeys, items: Tensor, suits: Tensor) -> Tensor:
    """Of the targets (k,) that suit journeys best (n, k) the most promising: (n,)."""
    policy = guide.policy
    if not isinstance(policy, Promises):
        return items[suits.argmax(1)]
    near, place = suits.topk(min(WEIGHED, len(items)), 1)
    own = suits[:, :0] if policy.knows_target else policy.place(some)
    view, promises = guide.view(some, Places(own, own)), []
    size = max(1, guide.block_size // near.shape[1])
    for rows in torch.arange(len(near), device=items.device).split(size):
        each = view.of(rows.repeat_interleave(near.shape[1]))
        toward = each.journeys._replace(target_idx=items[place[rows].flatten()])
        here = policy.place(toward) if policy.knows_target else each.places
        promises.append(policy.promise(each._replace(journeys=toward, places=here)))
    promise = torch.cat(promises).view_as(near).masked_fill(near == -torch.inf, -torch.inf)
    return items[place.gather(1, promise.argmax(1, keepdim=True))[:, 0]]
