r"""ITMPRec: relevance plus intention, times progress toward the target; and its special case IPG.

:math:`z = \arg\max_i\, [\,r(u, i) + \lambda\, s(c_u, c_i)\,] \cdot g(u, i, t)` over unseen items.

Source: Lian, Song & Ge 2025 (WWW '25); IPG: Bi et al. 2024, arXiv:2403.07571. Where the paper and
the public code differ, an option of :class:`ITMPRecOptions` names the choice.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.arousal import TiacForm, arousal, kept_share
from proactrec.config import Options
from proactrec.encoders.base import Encoder
from proactrec.errors import InvalidInputError
from proactrec.intents import Intents
from proactrec.policies.base import Decision, EncoderPolicy, Observation, best_unseen

SCORED_ROWS = 256
"""Pairs scored at once: their scores over a small catalogue stay in the cache."""

Link = Literal["sigmoid", "raw"]


class ITMPRecOptions(Options):
    """Every choice of the score; defaults as in the protocol `common`."""

    intent_weight: float = Field(1.0, ge=0, description="lambda of IIS; 0 leaves IIS out (= IPG)")
    relevance_link: Link = Field("sigmoid", description="σ(e_u·e_i), or the raw product (D5)")
    intent_link: Link = Field("sigmoid", description="σ(c_u·c_i), or the raw product (D6)")
    guidance: Literal["cosine", "dot"] = Field(
        "cosine", description="progress as a difference of cosines, or of products (D9)"
    )
    no_gain: Literal["most_relevant", "product"] = Field(
        "most_relevant",
        description="without any item that helps: the most relevant one, or the product (D9)",
    )
    n_curious: int = Field(10, ge=1, description="Q of TIAC: favourites that are looked at")
    tiac: TiacForm = Field("one_minus", description="direction of TIAC (D12)")
    tiac_floor: float | None = Field(0.2, description="least arousal coefficient (D12)")
    tiac_decimals: int | None = Field(None, ge=0, description="the code rounds to 3 (D12)")


class ITMPRec(EncoderPolicy):
    """Greedy guidance by relevance, intention and progress, in the encoder's own space.

    Parameters
    ----------
    encoder : Encoder
    intents : Intents, optional
        In the encoder's space; needed unless `intent_weight` is 0.
    """

    name = "itmprec"

    def __init__(
        self,
        encoder: Encoder,
        intents: Intents | None = None,
        options: ITMPRecOptions | None = None,
    ) -> None:
        super().__init__(encoder)
        self.options = options or ITMPRecOptions()
        self.items = encoder.item_vectors  # (I + 1, d)
        self.unit_items = F.normalize(self.items, dim=1)
        self.intents = intents.to(encoder.device) if intents is not None else None
        if self.options.intent_weight > 0:
            if self.intents is None:
                raise InvalidInputError("intents are needed while intent_weight is above 0, got None")
            self._intent_scores = self._score_intents(self.intents)  # (n_intents, I + 1)

    def decide(self, observation: Observation) -> Decision:
        """The unseen item with the highest guided score."""
        n_pairs = len(observation.user_idx)
        blocks = [
            self._decide_block(
                observation.user_vectors[rows], observation.target_idx[rows], observation.penalty[rows]
            )
            for rows in (slice(at, at + SCORED_ROWS) for at in range(0, n_pairs, SCORED_ROWS))
        ]
        return Decision(torch.cat([b.item_idx for b in blocks]), torch.cat([b.score for b in blocks]))

    def kept_share(self, observation: Observation) -> Tensor:
        """Share of a user's old vector that an accepted item leaves, by TIAC in the encoder's space.

        Only a protocol whose users follow the policy's own coefficient (`official`) asks for it.
        """
        coefficient = arousal(
            observation.user_vectors,
            self.items,
            observation.penalty,
            observation.target_idx,
            n_curious=self.options.n_curious,
        )
        share = kept_share(coefficient, form=self.options.tiac, floor=self.options.tiac_floor)
        decimals = self.options.tiac_decimals
        return share if decimals is None else share.round(decimals=decimals)

    def scores(self, users: Tensor, target_idx: Tensor) -> Tensor:
        """Guided score of every item for users (B, d) with targets (B,): (B, n_items + 1)."""
        return self._interest(users).mul_(self._guidance(users, target_idx))

    def _decide_block(self, users: Tensor, target_idx: Tensor, penalty: Tensor) -> Decision:
        decision = best_unseen(self.scores(users, target_idx), penalty)
        if self.options.no_gain == "product":
            return decision
        # A positive interest times no positive progress: nothing here leads to the target.
        is_stuck = (decision.score <= 0) & (decision.item_idx > 0)
        if not bool(is_stuck.any()):
            return decision
        calm = best_unseen(self._interest(users[is_stuck]), penalty[is_stuck])
        return Decision(
            decision.item_idx.masked_scatter(is_stuck, calm.item_idx),
            decision.score.masked_scatter(is_stuck, calm.score),
        )

    def _interest(self, users: Tensor) -> Tensor:
        """Relevance plus weighted intention of every item: (B, I + 1)."""
        scores = users @ self.items.T
        if self.options.relevance_link == "sigmoid":
            scores.sigmoid_()
        if self.options.intent_weight > 0 and self.intents is not None:
            scores += self._intent_scores.index_select(0, self.intents.assign(users))
        return scores

    def _guidance(self, users: Tensor, target_idx: Tensor) -> Tensor:
        """Progress toward the target that each item would bring: (B, I + 1)."""
        if bool((target_idx == target_idx[0]).all()):
            target_idx = target_idx[:1]  # pairs of one target stand together: one row serves all
        if self.options.guidance == "dot":
            targets = self.items[target_idx]
            return targets @ self.items.T - (users * targets).sum(1, keepdim=True)
        targets = self.unit_items[target_idx]
        here = (F.normalize(users, dim=1) * targets).sum(1, keepdim=True)
        return targets @ self.unit_items.T - here

    def _score_intents(self, intents: Intents) -> Tensor:
        between = intents.prototypes @ intents.prototypes.T
        if self.options.intent_link == "sigmoid":
            between = between.sigmoid()
        return self.options.intent_weight * between[:, intents.assign(self.items)]


class IPG(ITMPRec):
    """Iterative preference guidance: ITMPRec's score without intention."""

    name = "ipg"

    def __init__(self, encoder: Encoder, options: ITMPRecOptions | None = None) -> None:
        options = (options or ITMPRecOptions()).model_copy(update={"intent_weight": 0.0})
        super().__init__(encoder, options=options)
