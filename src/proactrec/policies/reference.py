"""Points of reference without guidance of their own: random, popular, target-now, nearest."""

from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Encoder
from proactrec.policies.base import (
    Decision,
    EncoderPolicy,
    Ingredients,
    Observation,
    Past,
    Policy,
    best_unseen,
)
from proactrec.policies.next_item import NextItem
from proactrec.rng import generator, uniforms


class Random(Policy):
    """Any unseen item, uniformly; the draw belongs to (seed, user, target, round)."""

    name: ClassVar[str] = "random"
    guides: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        # A seed of its own: the same one would share the luck that decides acceptance.
        self._seed = int(generator(seed, self.name).integers(2**63))

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy with the run's seed."""
        return cls(ingredients.seed)

    def decide(self, observation: Observation) -> Decision:
        """A random item that may be shown."""
        users, targets = (x.cpu().numpy() for x in (observation.user_idx, observation.target_idx))
        drawn = uniforms(self._seed, users, targets, observation.round)[:, -1]
        n_before = (observation.penalty == 0).cumsum(1)  # (B, n_items + 1)
        n_allowed = n_before[:, -1]
        share = torch.from_numpy(drawn).to(n_allowed.device)
        place = (share * n_allowed).long()  # 0-based among the allowed
        item_idx = torch.searchsorted(n_before, place[:, None] + 1)[:, 0]
        return Decision(item_idx.masked_fill(n_allowed == 0, 0), share)


class Popular(Policy):
    """The unseen item that most users have."""

    name: ClassVar[str] = "popular"
    guides: ClassVar[bool] = False

    def __init__(self, dataset: Dataset) -> None:
        counts = dataset.train_counts
        self._counts = torch.from_numpy(counts).float()

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy for the run's data set."""
        return cls(ingredients.dataset)

    def decide(self, observation: Observation) -> Decision:
        """The most popular item that may be shown."""
        counts = self._counts.to(observation.penalty.device)
        return best_unseen(counts.repeat(len(observation.penalty), 1), observation.penalty)


class Nearest(EncoderPolicy):
    """The unseen item with the largest cosine to the target: the target, then its neighbours."""

    name: ClassVar[str] = "nearest-to-target"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._unit_items = F.normalize(encoder.item_vectors, dim=1)

    def encode(self, past: Past) -> Tensor:
        """Nothing: it knows nothing of users."""
        return Policy.encode(self, past)

    def decide(self, observation: Observation) -> Decision:
        """The nearest item that may be shown."""
        nearness = self._unit_items[observation.target_idx] @ self._unit_items.T
        return best_unseen(nearness, observation.penalty)


class TargetNow(NextItem):
    """The target at once; where it may not be shown again, what :class:`NextItem` shows."""

    name: ClassVar[str] = "target-now"
    guides: ClassVar[bool] = True

    def decide(self, observation: Observation) -> Decision:
        """The target, else the most relevant unseen item."""
        usual, target_idx = super().decide(observation), observation.target_idx
        is_allowed = observation.penalty.gather(1, target_idx[:, None])[:, 0] == 0
        return Decision(torch.where(is_allowed, target_idx, usual.item_idx), usual.score)

    def weigh(self, observation: Observation) -> Tensor:
        """Relevance, but the target first where it may be shown."""
        scores, targets = super().weigh(observation), observation.target_idx[:, None]
        is_allowed = observation.penalty.gather(1, targets) == 0
        return scores.scatter(1, targets, torch.where(is_allowed, torch.inf, -torch.inf))
