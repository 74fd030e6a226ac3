"""What a policy sees and what it answers; the choice of the best item that may be shown."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from proactrec.encoders.base import Encoder
from proactrec.ranking import best_item


class Observation(NamedTuple):
    """What a real recommender would know of a block of (user, target) pairs in one round."""

    user_idx: Tensor  # (B,)
    target_idx: Tensor  # (B,)
    user_vectors: Tensor  # (B, d), the policy's own encoding of the histories
    penalty: Tensor  # (B, n_items + 1): -inf for what may not be shown (and padding), else 0
    round: int  # 1 = the first


class Decision(NamedTuple):
    """What to show, and the score that decided."""

    item_idx: Tensor  # (B,), 0 where nothing is left to be shown
    score: Tensor  # (B,)


class Policy(Protocol):
    """Chooses the next item of every (user, target) pair.

    It never sees the simulated user's hidden vectors. Policies hold no state of a run: the
    rollout keeps the encoded histories and asks :meth:`encode` only for those that changed.
    """

    name: str
    history_length: int

    def encode(self, item_seq: Tensor) -> Tensor:
        """Vectors (n, d) of histories (n, history_length), newest item last."""
        ...

    def decide(self, observation: Observation) -> Decision:
        """The item to show to every pair."""
        ...


@runtime_checkable
class MovesUsers(Protocol):
    """A policy whose own coefficient moves users, where the world lets it (official)."""

    def kept_share(self, observation: Observation) -> Tensor:
        """Share of a user's old vector that an accepted item leaves: (B,)."""
        ...


class EncoderPolicy:
    """Base of the policies that stand on a sequence encoder."""

    name: str

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.history_length = encoder.options.max_seq_len

    def encode(self, item_seq: Tensor) -> Tensor:
        """User vectors of the encoder."""
        return self.encoder.encode(item_seq)


def best_unseen(scores: Tensor, penalty: Tensor) -> Decision:
    """The best item that may be shown; `scores` (B, n_items + 1) is overwritten."""
    item_idx = best_item(scores.add_(penalty))
    score = scores.gather(1, item_idx[:, None])[:, 0]
    return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)
