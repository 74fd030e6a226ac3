"""Plausible worlds: what users may be like, before any of them has answered."""

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.rng import generator
from proactrec.simulator.dynamics import Receptivity
from proactrec.simulator.environment import World, WorldOptions
from proactrec.simulator.hidden import Hidden, Vectors
from proactrec.simulator.response import calibrated_response
from proactrec.types import IntArray

Share = Annotated[float, Field(gt=0, lt=1)]


class Prior(Options):
    """Which worlds are plausible; every draw is independent of all others."""

    slope: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.25, 2.0), description="of acceptance per deviation of interest, uniform in its logarithm"
    )
    mean_accept: tuple[Share, Share] = Field(
        (0.3, 0.7), description="mean acceptance of users' real next items"
    )
    kept_share: tuple[Share, Share] = Field(
        (0.7, 0.9), description="share of the old vector an accepted item leaves"
    )
    per_user: float = Field(0.5, ge=0, le=1, description="chance that this share differs by user")
    hidden: tuple[Hidden, ...] = Field(
        ("interest", "factors", "neighbours", "content"),
        min_length=1,
        description="kinds of interest vectors: a world has one, or two of them mixed",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("slope", "mean_accept", "kept_share"):
            low, high = getattr(self, name)
            if low > high:
                raise InvalidInputError(f"{name} must go from low to high, got {low} and {high}")
        return self

    def without(self, kind: Hidden) -> "Prior":
        """The same, less a kind of vectors."""
        kinds = tuple(one for one in self.hidden if one != kind)
        return Prior(**{**self.model_dump(), "hidden": kinds})


class PlausibleWorld(Options):
    """One draw."""

    slope: float
    mean_accept: float
    kept_share: float
    receptivity: Receptivity
    hidden: tuple[Hidden, Hidden]
    mixture: float = Field(description="weight of the first kind of vectors")
    seed: int = Field(description="decides the users' luck")

    def build(
        self,
        dataset: Dataset,
        vectors: Mapping[Hidden, Vectors],
        targets: IntArray,
        options: WorldOptions,
        *,
        device: str = "cpu",
    ) -> World:
        """The simulated users; what a draw does not decide is as in `options`."""
        users, items = vectors[self.hidden[0]]
        if self.hidden[0] != self.hidden[1]:
            users, items = _mixed((users, items), vectors[self.hidden[1]], self.mixture)
        response = calibrated_response(
            dataset, users, items, world=self.slope, mean_accept=self.mean_accept
        )
        own = {name: getattr(self, name) for name in ("mean_accept", "kept_share", "receptivity")}
        return World(
            dataset,
            users,
            items,
            targets,
            options.model_copy(update=own),
            seed=self.seed,
            device=device,
            response=response,
        )


def drawn_world(prior: Prior, seed: int, number: int, purpose: str = "plausible") -> PlausibleWorld:
    """The world of a number; the same whichever others are drawn."""
    rng = generator(seed, purpose, number)
    low, high = np.log(prior.slope)
    kinds = rng.integers(len(prior.hidden), size=2)
    return PlausibleWorld(
        slope=float(np.exp(rng.uniform(low, high))),
        mean_accept=float(rng.uniform(*prior.mean_accept)),
        kept_share=float(rng.uniform(*prior.kept_share)),
        receptivity="per-user" if rng.random() < prior.per_user else "constant",
        hidden=(prior.hidden[kinds[0]], prior.hidden[kinds[1]]),
        mixture=float(rng.random()),
        seed=int(rng.integers(2**32)),
    )


def _mixed(first: Vectors, second: Vectors, weight: float) -> Vectors:
    """Unit vectors whose inner products are the weighted mean of two kinds'."""

    def side_by_side(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([weight**0.5 * one, (1 - weight) ** 0.5 * other], 1)

    return side_by_side(first[0], second[0]), side_by_side(first[1], second[1])
