"""Points of reference without guidance of their own: random, popular, target-now, nearest."""

from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.items import Items
from proactrec.encoders.base import Encoder
from proactrec.journeys import Journeys
from proactrec.policies.base import Decision, EncoderPolicy, Policy, View
from proactrec.policies.ingredients import Ingredients
from proactrec.policies.next_item import NextItem
from proactrec.rng import generator, uniform_at
from proactrec.types import IntArray


class Random(Policy):
    """Any unseen item, uniformly; the draw belongs to (seed, user, target, round).

    Parameters
    ----------
    item_key : int array, shape (n_items + 1,)
        Hashed ids of items.
    seed : int
    """

    name: ClassVar[str] = "random"
    version: ClassVar[int] = 2
    guides: ClassVar[bool] = False
    renewed_by = "never"

    def __init__(self, item_key: IntArray, seed: int = 0) -> None:
        # A seed of its own: the same one would share the luck that decides acceptance.
        self._seed = int(generator(seed, self.name).integers(2**63))
        self._item_key = item_key

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy with the run's seed."""
        return cls(ingredients.items.key, ingredients.seed)

    def decide(self, view: View) -> Decision:
        """A random item that may be shown."""
        journeys = view.journeys
        number = journeys.round.cpu().numpy() - 1
        drawn = uniform_at(self._seed, *journeys.drawing(self._item_key), number)
        n_before = (view.candidates.penalty == 0).cumsum(1)  # (n, C)
        n_allowed = n_before[:, -1]
        share = torch.from_numpy(drawn).to(n_allowed.device)
        place = (share * n_allowed).long()  # 0-based among the allowed
        column = torch.searchsorted(n_before, place[:, None] + 1).clamp(max=n_before.shape[1] - 1)
        item_idx = view.candidates.items(column)[:, 0]
        return Decision(item_idx.masked_fill(n_allowed == 0, 0), share)


class Popular(Policy):
    """The unseen item that most users have."""

    name: ClassVar[str] = "popular"
    guides: ClassVar[bool] = False
    renewed_by = "never"

    def __init__(self, items: Items, device: str = "cpu") -> None:
        self._counts = torch.from_numpy(items.train_counts).float().to(device)

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy for the run's catalogue."""
        return cls(ingredients.items, ingredients.device)

    def decide(self, view: View) -> Decision:
        """The most popular item that may be shown."""
        counts = self._counts.repeat(len(view.places), 1)
        return view.candidates.best(view.candidates.scores(counts))


class Nearest(EncoderPolicy):
    """The unseen item with the largest cosine to the target: the target, then its neighbours."""

    name: ClassVar[str] = "nearest-to-target"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._unit_items = F.normalize(encoder.item_vectors, dim=1)

    def place(self, journeys: Journeys) -> Tensor:
        """Nothing: it knows nothing of users."""
        return Policy.place(self, journeys)

    def decide(self, view: View) -> Decision:
        """The nearest item that may be shown."""
        nearness = self._unit_items[view.target_idx] @ self._unit_items.T
        return view.candidates.best(view.candidates.scores(nearness))


class TargetNow(NextItem):
    """The target at once; where it may not be shown again, the next item."""

    name: ClassVar[str] = "target-now"
    guides: ClassVar[bool] = True

    def decide(self, view: View) -> Decision:
        """The target, else the most relevant unseen item."""
        usual, target_idx = super().decide(view), view.target_idx
        is_allowed = view.candidates.allow(target_idx[:, None])[:, 0]
        return Decision(torch.where(is_allowed, target_idx, usual.item_idx), usual.score)

    def weigh(self, view: View) -> Tensor:
        """Relevance, but the target first where it may be shown."""
        scores, targets = super().weigh(view), view.target_idx[:, None]
        is_allowed = view.candidates.allow(targets)
        return scores.scatter(1, targets, torch.where(is_allowed, torch.inf, -torch.inf))
