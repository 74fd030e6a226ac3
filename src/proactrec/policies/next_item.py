"""Plain next-item recommendation: the encoder's best unseen item, whatever the target."""

from proactrec.policies.base import Decision, EncoderPolicy, Observation, best_unseen


class NextItem(EncoderPolicy):
    """The unseen item with the highest inner product; what users get without guidance."""

    name = "next-item"

    def decide(self, observation: Observation) -> Decision:
        """The most relevant unseen item."""
        scores = observation.user_vectors @ self.encoder.item_vectors.T
        return best_unseen(scores, observation.penalty)
