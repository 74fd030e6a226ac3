r"""ITMPRec: relevance plus intention (IIS), times progress toward the target.

:math:`z = \arg\max_i\, [\,r(u, i) + \lambda\, s(c_u, c_i)\,] \cdot g(u, i, t)` over the items that
may be shown. Source: Lian, Song & Ge 2025 (WWW '25). Where the paper and the public code differ, an
option names the choice.
"""

from functools import cached_property
from typing import ClassVar, Self

from pydantic import Field
from torch import Tensor

from proactrec.arousal import TiacForm, arousal, kept_share
from proactrec.config import Options
from proactrec.encoders.base import Encoder
from proactrec.errors import InvalidInputError
from proactrec.intents import Intents
from proactrec.policies.base import View
from proactrec.policies.ingredients import Ingredients
from proactrec.policies.ipg import IPG, GuidanceOptions, Link
from proactrec.policies.narrowing import floats
from proactrec.retrieval.scores import Score


class ITMPRecOptions(GuidanceOptions):
    """Every choice of the score; defaults as in the protocol `common`."""

    intent_weight: float = Field(1.0, ge=0, description="lambda of IIS; 0 leaves IIS out (= IPG)")
    intent_link: Link = Field("sigmoid", description="σ(c_u·c_i), or the raw product (D6)")
    n_curious: int = Field(
        10, ge=1, le=10_000, description="Q of TIAC: favourites that are looked at"
    )
    tiac: TiacForm = Field("one_minus", description="direction of TIAC (D12)")
    tiac_floor: float | None = Field(0.2, description="least arousal coefficient (D12)")
    tiac_decimals: int | None = Field(None, ge=0, le=15, description="the code rounds to 3 (D12)")


class ITMPRec(IPG):
    """IPG with intention-induced scores, and TIAC where a protocol asks for it.

    Parameters
    ----------
    encoder : Encoder
    intents : Intents, optional
        In the encoder's space; needed unless `intent_weight` is 0.
    """

    name: ClassVar[str] = "itmprec"
    options_type: ClassVar[type[Options]] = ITMPRecOptions

    def __init__(
        self,
        encoder: Encoder,
        intents: Intents | None = None,
        options: ITMPRecOptions | None = None,
    ) -> None:
        self.options = options or ITMPRecOptions()
        super().__init__(encoder, self.options)
        if intents is None and self.options.intent_weight > 0:
            raise InvalidInputError("intents are needed while intent_weight is above 0, got None")
        self.intents = intents.to(encoder.device) if intents is not None else None
        self._intent_scores = self._score_intents()  # (n_intents, I + 1)

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy on the run's encoder and intents, with the protocol's options."""
        options = ingredients.policy_options(ITMPRecOptions)
        return cls(ingredients.encoder, ingredients.intents, options)

    def interest(self, users: Tensor, item_idx: Tensor | None = None) -> Tensor:
        """Relevance plus weighted intention of items; as :meth:`IPG.interest`."""
        scores = super().interest(users, item_idx)
        if self.intents is not None and self._intent_scores is not None:
            of_users = self.intents.assign(users)
            if item_idx is None:
                scores += self._intent_scores.index_select(0, of_users)
            else:
                scores += self._intent_scores[of_users[:, None], item_idx]
        return scores

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """As IPG's, with the intention part of the score."""
        found = super().reasons(view, item_idx)
        if self.intents is not None and self._intent_scores is not None:
            of_users = self.intents.assign(view.places)
            found["intent"] = self._intent_scores[of_users, item_idx]
        return found

    def kept_share(self, view: View) -> Tensor:
        """Share of the old user vector that an accepted item leaves, by TIAC.

        Only a world whose users follow the policy's own coefficient (`official`) asks for it: (B,).
        """
        options = self.options
        coefficient = arousal(
            view.places,
            self.items,
            view.candidates.penalty,
            view.target_idx,
            n_curious=options.n_curious,
        )
        share = kept_share(coefficient, form=options.tiac, floor=options.tiac_floor)
        return (
            share if options.tiac_decimals is None else share.round(decimals=options.tiac_decimals)
        )

    def _score_of(self, user: Tensor, target: int) -> Score:
        """As IPG's, with the intention part."""
        score = super()._score_of(user, target)
        if self.intents is None or self._intent_scores is None:
            return score
        intent = int(self.intents.assign(user[None]))
        of_user = self._intent_scores[intent]
        low, high = self._spans[intent]
        return score._replace(per_item=floats(of_user), span=(low, high))

    @cached_property
    def _spans(self) -> list[tuple[float, float]]:
        """Least and largest score of any item for every intent."""
        assert self._intent_scores is not None
        low, high = self._intent_scores.aminmax(dim=1)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def _score_intents(self) -> Tensor | None:
        """Weighted score of every item's intent for every intent, or None where IIS is off."""
        if self.intents is None or self.options.intent_weight == 0:
            return None
        between = self.intents.prototypes @ self.intents.prototypes.T
        if self.options.intent_link == "sigmoid":
            between = between.sigmoid()
        return self.options.intent_weight * between[:, self.intents.assign(self.items)]
