r"""IPG: relevance times progress toward the target, in the encoder's own space.

:math:`z = \arg\max_i\, r(u, i) \cdot g(u, i, t)` over the items that may be shown.

Source: Bi et al. 2024, arXiv:2403.07571, as in ITMPRec's code; the constant 1 - gamma drops out.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import Options
from proactrec.encoders.base import Encoder
from proactrec.policies.base import Candidates, Decision, EncoderPolicy, View, place_of
from proactrec.policies.ingredients import Ingredients
from proactrec.policies.narrowing import floats, narrowed, relevance, scores_of, search_for
from proactrec.ranking import products
from proactrec.retrieval.scores import Score
from proactrec.retrieval.search import Search
from proactrec.threads import shared
from proactrec.types import IntArray, SingleArray

SCORED_ROWS = 256
"""Journeys scored at once: their scores over a small catalogue stay in the cache."""

Link = Literal["sigmoid", "raw"]


class GuidanceOptions(Options):
    """Choices of the score that IPG and ITMPRec share; defaults as in `common`."""

    relevance_link: Link = Field("sigmoid", description="σ(e_u·e_i), or the raw product (D5)")
    guidance: Literal["cosine", "dot"] = Field(
        "cosine", description="progress as a difference of cosines, or of products (D9)"
    )
    no_gain: Literal["most_relevant", "product"] = Field(
        "most_relevant",
        description="without any item that helps: the most relevant one, or the product (D9)",
    )


class IPG(EncoderPolicy):
    """Iterative preference guidance on a sequence encoder."""

    name: ClassVar[str] = "ipg"
    options_type: ClassVar[type[Options]] = GuidanceOptions

    def __init__(self, encoder: Encoder, options: GuidanceOptions | None = None) -> None:
        super().__init__(encoder)
        self.guidance_options = options or GuidanceOptions()
        self.items = encoder.item_vectors  # (I + 1, d)
        self.unit_items = F.normalize(self.items, dim=1)
        self._search = search_for(encoder)

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy on the run's encoder, with the protocol's options."""
        return cls(ingredients.encoder, ingredients.policy_options(GuidanceOptions))

    def decide(self, view: View) -> Decision:
        """The item with the highest guided score."""
        n_all = max(1, len(view.places))
        size = n_all if view.places.is_cuda else SCORED_ROWS
        parts = [view.of(slice(at, at + size)) for at in range(0, n_all, size)]
        blocks = list(shared(self._decide_block, parts))
        return Decision(
            torch.cat([b.item_idx for b in blocks]), torch.cat([b.score for b in blocks])
        )

    def weigh(self, view: View) -> Tensor:
        """Guided score of what may be shown; where nothing leads closer, interest alone decides."""
        users, penalty = view.places, view.candidates.penalty
        scores = self.scores(users, view.target_idx).add_(penalty)
        if self.guidance_options.no_gain == "most_relevant":
            is_stuck = scores.max(1, keepdim=True).values <= 0
            scores = torch.where(is_stuck, self.interest(users).add_(penalty), scores)
        return scores

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """Parts of the score; cosines to the target now, and once the item is in the history."""
        users, targets = view.places, view.target_idx
        taken = torch.ones_like(item_idx, dtype=torch.bool)
        after = self.place(view.journeys.after(item_idx, taken, taken))
        now, then = (
            (F.normalize(place, dim=1) * self.unit_items[targets]).sum(1)
            for place in (users, after)
        )
        progress, relevance = self._progress(users, targets), IPG.interest(self, users)
        return {
            "similarity_now": now,
            "similarity_after": then,
            "item_to_target": (self.unit_items[item_idx] * self.unit_items[targets]).sum(1),
            "relevance": relevance.gather(1, item_idx[:, None])[:, 0],
            "progress": progress.expand_as(relevance).gather(1, item_idx[:, None])[:, 0],
            **place_of(item_idx, self.interest(users), view.candidates.penalty),
        }

    def scores(self, users: Tensor, target_idx: Tensor, item_idx: Tensor | None = None) -> Tensor:
        """Guided score of every item for users (B, d) with targets (B,): (B, n_items + 1).

        With `item_idx` (B, C), of these items only: (B, C).
        """
        progress = self._progress(users, target_idx, item_idx)
        return self.interest(users, item_idx).mul_(progress)

    def interest(self, users: Tensor, item_idx: Tensor | None = None) -> Tensor:
        """How much users (B, d) want items, leaving the target aside; as :meth:`scores`."""
        scores = relevance(self.encoder, users, item_idx)
        return scores.sigmoid_() if self.guidance_options.relevance_link == "sigmoid" else scores

    def _decide_block(self, view: View) -> Decision:
        if self._search is not None:
            view = narrowed(view, partial(self._find, self._search, view))
        candidates = view.candidates
        decision = self._best(candidates, partial(self.scores, view.places, view.target_idx))
        if self.guidance_options.no_gain == "product":
            return decision
        # A positive interest times no positive progress: nothing here leads to the target.
        is_stuck = (decision.score <= 0) & (decision.item_idx > 0)
        if is_stuck.is_cuda:  # all rows once more take less than to wait for those in question
            calm = self._best(candidates, partial(self.interest, view.places))
            return Decision(
                torch.where(is_stuck, calm.item_idx, decision.item_idx),
                torch.where(is_stuck, calm.score, decision.score),
            )
        if not bool(is_stuck.any()):
            return decision
        interest = partial(self.interest, view.places[is_stuck])
        calm = self._best(candidates.of(is_stuck), interest)
        return Decision(
            decision.item_idx.masked_scatter(is_stuck, calm.item_idx),
            decision.score.masked_scatter(is_stuck, calm.score),
        )

    def _best(self, candidates: Candidates, made: Callable[[Tensor | None], Tensor]) -> Decision:
        return candidates.best(scores_of(candidates, self._search, made))

    def _find(self, search: Search, view: View, row: int, penalty: SingleArray) -> IntArray | None:
        """What the choice of a journey is among: the best guided item, or the most relevant one."""
        score = self._score_of(view.places[row], int(view.target_idx[row]))
        found = search.best(score, penalty, 1)
        if found is None or found.least > 0 or self.guidance_options.no_gain == "product":
            return None if found is None else found.item_idx
        calm = search.best(score._replace(kind="relevance"), penalty, 1)
        return None if calm is None else np.union1d(found.item_idx, calm.item_idx)

    def _score_of(self, user: Tensor, target: int) -> Score:
        """What items of a journey are ranked by."""
        by_unit = self.guidance_options.guidance == "cosine"
        toward = (self.unit_items if by_unit else self.items)[target]
        return Score(
            "guided",
            floats(user),
            floats(toward),
            here=float((F.normalize(user, dim=0) if by_unit else user) @ toward),
            is_sigmoid=self.guidance_options.relevance_link == "sigmoid",
            by_unit=by_unit,
        )

    def _progress_of(self, users: Tensor, target_idx: Tensor, item_idx: Tensor) -> Tensor:
        """Of a few items only: (B, C)."""
        table = self.items
        if self.guidance_options.guidance == "cosine":
            users, table = F.normalize(users, dim=1), self.unit_items
        targets = table[target_idx]
        here = (users * targets).sum(1, keepdim=True)
        return products(targets, table, item_idx) - here

    def _progress(
        self, users: Tensor, target_idx: Tensor, item_idx: Tensor | None = None
    ) -> Tensor:
        """Step toward the target that each item would bring: (B, I + 1), or (B, C)."""
        if item_idx is not None:
            return self._progress_of(users, target_idx, item_idx)
        targets = target_idx
        if not targets.is_cuda and bool((target_idx == target_idx[0]).all()):
            targets = target_idx[:1]  # journeys of one target stand together: one row serves all
        if self.guidance_options.guidance == "dot":
            here = (users * self.items[target_idx]).sum(1, keepdim=True)
            return self.items[targets] @ self.items.T - here
        here = (F.normalize(users, dim=1) * self.unit_items[target_idx]).sum(1, keepdim=True)
        return self.unit_items[targets] @ self.unit_items.T - here
