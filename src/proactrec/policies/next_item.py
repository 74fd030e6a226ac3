"""Plain next-item recommendation: the encoder's best unseen item, whatever the target."""

from typing import ClassVar

from proactrec.policies.base import Decision, EncoderPolicy, Observation, best_unseen


class NextItem(EncoderPolicy):
    """The unseen item with the highest score; what users get without guidance."""

    name: ClassVar[str] = "next-item"

    def decide(self, observation: Observation) -> Decision:
        """The most relevant unseen item."""
        return best_unseen(self.encoder.score(observation.user_vectors), observation.penalty)
