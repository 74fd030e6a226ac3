"""Plain next-item recommendation: the encoder's best unseen item, whatever the target."""

from typing import ClassVar

from torch import Tensor

from proactrec.policies.base import Decision, EncoderPolicy, Observation, best_unseen, place_of


class NextItem(EncoderPolicy):
    """The unseen item with the highest score; what users get without guidance."""

    name: ClassVar[str] = "next-item"
    guides: ClassVar[bool] = False

    def decide(self, observation: Observation) -> Decision:
        """The most relevant unseen item."""
        return best_unseen(self.encoder.score(observation.user_vectors), observation.penalty)

    def weigh(self, observation: Observation) -> Tensor:
        """Relevance of every item that may be shown."""
        return self.encoder.score(observation.user_vectors) + observation.penalty

    def reasons(self, observation: Observation, item_idx: Tensor) -> dict[str, Tensor]:
        """Place by relevance."""
        scores = self.encoder.score(observation.user_vectors)
        return place_of(item_idx, scores, observation.penalty)
