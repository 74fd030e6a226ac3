"""A policy of your own in one file: of the items that a user wants most, the nearest to the target.

Try it: proactrec run --policy examples/my_policy.py --dataset demo --out runs/mine
Beside all others: proactrec benchmark --also examples/my_policy.py --dataset demo --out runs/bench
"""

from typing import ClassVar, Self

import torch
from pydantic import Field
from torch.nn import functional as F

import proactrec as pr


class MyOptions(pr.Options):
    """Set from the command line with --set policy_options.n_wanted=20."""

    n_wanted: int = Field(50, ge=1, description="most relevant items that are considered")


class MyPolicy(pr.EncoderPolicy):
    """The nearest to the target among the `n_wanted` most relevant items that may be shown."""

    name: ClassVar[str] = "my-policy"
    options_type: ClassVar[type[pr.Options]] = MyOptions

    def __init__(self, encoder: pr.Encoder, options: MyOptions | None = None) -> None:
        super().__init__(encoder)
        self.n_wanted = (options or MyOptions()).n_wanted
        self.unit_items = F.normalize(encoder.item_vectors, dim=1)  # (n_items + 1, d)

    @classmethod
    def build(cls, ingredients: pr.Ingredients) -> Self:
        """The policy on the run's encoder, with the run's options."""
        return cls(ingredients.encoder, ingredients.policy_options(MyOptions))

    def decide(self, view: pr.View) -> pr.Decision:
        """The item to show to every journey."""
        candidates = view.candidates  # the whole catalogue, or a few items: columns
        relevance = candidates.scores(self.encoder.score(view.places)) + candidates.penalty
        wanted = relevance.topk(min(self.n_wanted, relevance.shape[1]), dim=1).indices
        nearness = candidates.scores(self.unit_items[view.target_idx] @ self.unit_items.T)
        is_unwanted = torch.ones_like(nearness, dtype=torch.bool).scatter_(1, wanted, False)
        return candidates.best(nearness.masked_fill_(is_unwanted, -torch.inf))
