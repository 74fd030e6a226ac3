"""Plain next-item recommendation: the encoder's best unseen item, whatever the target."""

from typing import ClassVar

from torch import Tensor

from proactrec.policies.base import Decision, EncoderPolicy, View, place_of


class NextItem(EncoderPolicy):
    """The unseen item with the highest score; what users get without guidance."""

    name: ClassVar[str] = "next-item"
    guides: ClassVar[bool] = False

    def decide(self, view: View) -> Decision:
        """The most relevant unseen item."""
        return view.candidates.best(view.candidates.scores(self.encoder.score(view.places)))

    def weigh(self, view: View) -> Tensor:
        """Relevance of every item that may be shown."""
        return self.encoder.score(view.places) + view.candidates.penalty

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """Place by relevance."""
        return place_of(item_idx, self.encoder.score(view.places), view.candidates.penalty)
