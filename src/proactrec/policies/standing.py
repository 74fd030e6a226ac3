"""What is believed of users by what is known: where they stand, what they see, how it moves them.

Where laws are learned (:mod:`~proactrec.policies.laws`) a user's place (n, d) has more behind it:
the user's bias, and where the user stood if each law were a little stronger.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from proactrec.journeys import Journeys
from proactrec.policies.base import View
from proactrec.policies.belief import AcceptanceModel, effects_by, moved_by_answers
from proactrec.policies.laws import (
    MOST_STEP,
    Law,
    LawName,
    Trail,
    beyond_doubt,
    known_vectors,
    varied,
    walked,
)
from proactrec.policies.sight import Sight, Steps, interest_of
from proactrec.policies.starts import Starts
from proactrec.policies.toward import Toward
from proactrec.policies.views import Views

AT_ONCE = 2**24
"""Numbers in the vectors of what users were shown, while it is walked through: 64 MiB."""


class Standing:
    """Users as one acceptance model has them.

    Parameters
    ----------
    knowledge : AcceptanceModel
    law : Law
        Strengths before any answer.
    laws : sequence of str
        Those that are learned; without any, only `kept` and `surprise` of `law` count.
    """

    def __init__(
        self,
        views: Views,
        starts: Starts,
        knowledge: AcceptanceModel,
        law: Law,
        laws: Sequence[LawName],
    ) -> None:
        vectors, strengths = views.item_vectors, knowledge.strengths.tolist()
        self.slope, self.shares = knowledge.slope, knowledge.shares.to(vectors)
        self.items = views.weighted(vectors, self.shares)
        self.law = law._replace(**dict(zip(laws, strengths, strict=True)))
        spread = dict(zip(laws, knowledge.deviations.tolist(), strict=True))
        self._planned = beyond_doubt(self.law, law, spread)
        self._views, self._starts, self._toward = views, starts, Toward(self.items)
        self._laws, self._varied = laws, varied(self.law, laws).to(vectors)
        self._surplus, self._information = (
            known.to(vectors) for known in (knowledge.surplus, knowledge.information)
        )

    @property
    def dim(self) -> int:
        """Length of a place itself."""
        return self.items.shape[1]

    def of(self, journeys: Journeys, offsets: Tensor) -> Tensor:
        """Where users stand after all answers so far: (n, d), and what is behind it.

        `offsets` (n_items + 1,) are those of the chances.
        """
        law = self.law
        if self._laws:
            n, of_one = len(journeys.user), (1 + journeys.n_past) * self.dim
            most = max(1, AT_ONCE // of_one)
            parts = (journeys.of(slice(at, at + most)) for at in range(0, max(n, 1), most))
            return torch.cat([self._walked(part, offsets) for part in parts])
        return moved_by_answers(
            self._start(journeys),
            self.items,
            journeys,
            self.slope,
            offsets,
            kept_share=law.kept,
            variance=law.surprise,
        )

    def _walked(self, journeys: Journeys, offsets: Tensor) -> Tensor:
        """The same of some journeys, where laws are learned."""
        vectors = known_vectors(self._start(journeys), self.items, journeys)
        receptive = "receptivity" in self._laws
        trail = walked(vectors, journeys, self.slope, offsets, self._varied, receptive=receptive)
        return trail.packed(trail.places(vectors))

    def places(self, view: View) -> Tensor:
        """Where users stand (n, d)."""
        return view.places[:, : self.dim]

    def bias(self, view: View) -> Tensor | float:
        """Of users' logits: (n, 1), or 0 where nobody is thought to have any."""
        return view.places[:, self.dim : self.dim + 1] if "bias" in self._laws else 0.0

    def sight(self, view: View, offsets: Tensor) -> Sight:
        """All candidates, as users see them."""
        item_idx, places, bias = view.candidates.item_idx, self.places(view), self.bias(view)
        if item_idx is not None:
            near, targets = self.items[item_idx], self.items[view.target_idx]  # (n, C, d), (n, d)
            interest, toward = (torch.einsum("nd,ncd->nc", x, near) for x in (places, targets))
            now, offsets = (places * targets).sum(1, keepdim=True), offsets[item_idx]
        else:
            interest, toward = interest_of(places, self.items), self._toward.of(view.target_idx)
            now = interest.gather(1, view.target_idx[:, None])
        offsets = offsets + bias if isinstance(bias, Tensor) else offsets
        return Sight(interest, toward, now, offsets, self.steps(view))

    def steps(self, view: View) -> Steps:
        """How the round moves users."""
        law, places = self._planned, self.places(view)
        if not self._laws:
            return Steps(self.law.kept, self.law.kept)
        n_accepted = view.journeys.accepted.sum(1, keepdim=True)
        step: float | Tensor = 1 - law.kept
        if "receptivity" in self._laws:
            at = self.dim + len(self._varied)
            step = (step * view.places[:, at : at + 1].exp()).clamp(max=MOST_STEP)
        kept, then = (1 - step / (1 + law.diminishing * (n_accepted + n)) for n in (0, 1))
        steps = Steps(kept, then, law.refusal)
        if not law.returning:
            return steps
        start, back = self._start(view.journeys), law.returning
        of_places, of_start, of_targets = (
            (start * x).sum(1, keepdim=True) for x in (places, start, self.items[view.target_idx])
        )
        square = (1 - back) ** 2 + back**2 * of_start + 2 * (1 - back) * back * of_places
        length = square.clamp(min=1e-12).sqrt()
        return steps._replace(stays=(1 - back) / length, home=back * of_targets / length)

    def foreseen(self, view: View, item_idx: Tensor) -> Tensor:
        """What answers to items (n,) are to be measured by: (n, n_features)."""
        places, items = self.places(view), self.items[item_idx]
        interest = self._views.sums(places * items) / self.shares
        if not self._laws:
            return interest
        vectors = known_vectors(self._start(view.journeys), self.items, view.journeys)
        trail = Trail.unpacked(view.places, self.dim, len(self._varied))
        near = (vectors @ items[:, :, None])[:, :, 0]
        appeal = self._varied[:, Law._fields.index("appeal")]
        effects = effects_by(appeal, self._surplus[item_idx], self._information[item_idx])
        told = trail.told(near, effects, self.slope, self.law, self._laws)
        return torch.cat([interest, told], 1)

    def _start(self, journeys: Journeys) -> Tensor:
        """Where histories put users: (n, d)."""
        return self._views.weighted(self._starts.of(journeys), self.shares)
