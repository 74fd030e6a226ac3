"""What oracles may read of the simulated users, and no policy of a real recommender can."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.simulator.drifting import (
    diminished_once_more,
    interest_after,
    kept_of_refused,
    refused,
    returned,
)
from proactrec.simulator.dynamics import moved
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World


class Outlook(NamedTuple):
    """What showing every item would bring to some users."""

    accept_prob: Tensor  # (B, n_items + 1)
    interest: Tensor  # (B, n_items + 1), interest in the target after accepting the item
    now: Tensor  # (B, 1), interest in the target now
    refused: Tensor | None = None  # (B, n_items + 1), after refusing it, where that differs

    @property
    def expected_gain(self) -> Tensor:
        """Expected gain in interest of showing the items: (B, n_items + 1).

        Chance of acceptance times what it brings, and of refusal times what that brings, if users
        are moved by it.
        """
        gain = self.accept_prob * (self.interest - self.now)
        if self.refused is None:
            return gain
        return gain + (1 - self.accept_prob) * (self.refused - self.now)


class Minds(NamedTuple):
    """Hidden state of some users, for oracles: real, or imagined after an answer.

    Laws of drift and response are known, and the day it is; other days, and where users will
    wander, are nobody's to know: imagined users have an average day, and do not wander.
    """

    world: World
    user_vectors: Tensor  # (B, d)
    target_idx: Tensor  # (B,)
    kept_share: Tensor  # (B,)
    noise: Tensor  # (B,), percentage added to the acceptance probability
    recent: Tensor  # (B, N_RECENT), newest items, which may bore
    leaves: Tensor  # (B,), whether a refusal now is the last that the user bears
    leaving: Tensor  # (B, 2), chances of leaving after an acceptance and after a refusal
    user_idx: Tensor  # (B,)
    n_accepted: Tensor  # (B,), on this journey
    day: Tensor  # (B,), what logits of acceptance gain in this round
    rounds_left: int

    @classmethod
    def joined(cls, parts: Sequence["Minds"]) -> "Minds":
        """Of users and others of the same world and round, one after the other."""
        columns: Any = zip(*(part[1:-1] for part in parts), strict=True)
        rest: Any = (*(torch.cat(column) for column in columns), parts[0].rounds_left)
        return cls(parts[0].world, *rest)

    def of(self, rows: Tensor) -> "Minds":
        """Of these users only."""
        rest: Any = (*(column[rows] for column in self[1:-1]), self.rounds_left)
        return Minds(self.world, *rest)

    def accepting(self, item_idx: Tensor) -> "Minds":
        """As they would be after accepting these items (B,)."""
        shown, laws = self.world.item_vectors[item_idx], self.world.options.laws
        after = moved(self.user_vectors, shown, self.kept_share)
        return self._replace(
            user_vectors=returned(after, self._start, laws),
            kept_share=diminished_once_more(self.kept_share, self.n_accepted, laws),
            n_accepted=self.n_accepted + 1,
            day=torch.zeros_like(self.day),
            recent=torch.cat([self.recent[:, 1:], item_idx[:, None]], 1),
            leaves=torch.full_like(self.leaves, self.world.options.patience == 1),
            rounds_left=self.rounds_left - 1,
        )

    def refusing(self, item_idx: Tensor) -> "Minds":
        """As they would be after refusing these items (B,), where that is not their last round.

        Who leaves by it is not told apart: see `leaves`.
        """
        shown, laws = self.world.item_vectors[item_idx], self.world.options.laws
        after = refused(self.user_vectors, shown, laws)
        return self._replace(
            user_vectors=returned(after, self._start, laws),
            day=torch.zeros_like(self.day),
            rounds_left=self.rounds_left - 1,
        )

    def outlook(self, among: Tensor | None = None) -> Outlook:
        """What every item would bring, in the first slot of a slate; or those `among` (B, K)."""
        items, share, laws = self.world.item_vectors, self.kept_share[:, None], self._laws
        targets = items[self.target_idx]
        near = None if among is None else items[among]

        def beside(vectors: Tensor) -> Tensor:  # inner products (B, n_items + 1) or (B, K)
            return vectors @ items.T if near is None else torch.einsum("bd,bkd->bk", vectors, near)

        interest, toward = beside(self.user_vectors), beside(targets)
        prob = self._accept_prob(interest, among)
        now = (self.user_vectors * targets).sum(1, keepdim=True)
        home = None
        if laws.returning:
            start = self._start
            of_user, of_target = (
                (start * x).sum(1, keepdim=True) for x in (self.user_vectors, targets)
            )
            home = (of_user, beside(start), of_target)

        def after(kept: Tensor | float) -> Tensor:
            return interest_after(kept, interest, now, toward, home, laws)

        is_moved = laws.returning or laws.moves_by_refusal
        if_refused = after(kept_of_refused(laws)) if is_moved else None
        return Outlook(prob, after(share), now, if_refused)

    @property
    def _laws(self) -> LawOptions:
        return self.world.options.laws

    @property
    def _start(self) -> Tensor:
        """Where users began: (B, d)."""
        return self.world.user_vectors[self.user_idx]

    def _accept_prob(self, interest: Tensor, among: Tensor | None) -> Tensor:
        """Chances of acceptance by interest in all items, or those `among`: as `interest`."""
        response, leanings = self.world.response, self.world.leanings
        if not isinstance(response, DistributionResponse):
            raise InvalidInputError("oracles know only the click model `distribution` by heart")
        boredom = self.world.boredom(self.recent)
        if among is not None and isinstance(boredom, Tensor):
            boredom = boredom.gather(1, among)
        if leanings is None:
            return response.accept_prob(interest, self.noise[:, None], boredom)
        return leanings.accept_prob(
            response,
            interest,
            self.noise[:, None],
            boredom,
            users=self.user_idx[:, None],
            items=slice(None) if among is None else among,
            day=self.day[:, None],
        ).to(interest.dtype)
