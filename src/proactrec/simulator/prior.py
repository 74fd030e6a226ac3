"""Plausible worlds: what users may be like, before any of them has answered.

They are drawn by scrambled Sobol numbers (Owen 1995): each world is a random draw of the prior, and
together they fill it more evenly than independent draws would, so that what a few dozen of them
say depends less on luck. What came later (the share that leaves, other laws) has dimensions of its
own beyond these, so that every other number of a world stays as it was.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.rng import generator
from proactrec.simulator.dynamics import Receptivity
from proactrec.simulator.hidden import Hidden, Vectors
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.response import calibrated_response
from proactrec.simulator.world import World, WorldOptions
from proactrec.simulator.worlds import LAWFUL, WORLDS
from proactrec.types import IntArray
from proactrec.worth import Share as Hazard

N_DRAWN = 7
"""Numbers that a world is drawn by, beside its luck."""
OTHER_LAWS = (*LAWFUL, "weak-receptivity-v1", "strong-receptivity-v1")
"""Named worlds whose users differ from a prior's by one law, or in how far they are moved."""
MOST_TIMES = 2.0
"""A law is drawn as strong as that many times its named world's at most."""
Share = Annotated[float, Field(gt=0, lt=1)]


class Prior(Options):
    """Which worlds are plausible."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"lawful"})

    slope: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.25, 2.0),
        description="slope of acceptance per deviation of interest, from and to, uniform in "
        "its logarithm",
    )
    mean_accept: tuple[Share, Share] = Field(
        (0.3, 0.7), description="mean acceptance of users' real next items, from and to"
    )
    kept_share: tuple[Share, Share] = Field(
        (0.7, 0.9), description="share of the old vector an accepted item leaves, from and to"
    )
    per_user: float = Field(0.5, ge=0, le=1, description="chance that this share differs by user")
    hidden: tuple[Hidden, ...] = Field(
        ("interest", "factors", "neighbours", "content"),
        min_length=1,
        description="kind of users' interest vectors: a world has one, or two of them mixed",
    )

    leaving: tuple[Hazard, Hazard] | None = Field(
        None,
        description="share of users who leave after each round, from and to; as the protocol's "
        "world says by default",
    )
    lawful: float = Field(
        0.0,
        ge=0,
        le=1,
        description="chance that users follow one of the other laws of named worlds, between not "
        "at all and twice as strongly",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("slope", "mean_accept", "kept_share", "leaving"):
            low, high = getattr(self, name) or (0, 0)
            if low > high:
                raise InvalidInputError(f"{name} must go from low to high, got {low} and {high}")
        return self

    def without(self, kind: Hidden) -> "Prior":
        """The same, less a kind of vectors."""
        kinds = tuple(one for one in self.hidden if one != kind)
        return Prior(**{**self.model_dump(), "hidden": kinds})


class PlausibleWorld(Options):
    """One draw."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"laws"})

    slope: float
    mean_accept: float
    kept_share: float
    receptivity: Receptivity
    hidden: tuple[Hidden, Hidden]
    mixture: float = Field(description="weight of the first kind of vectors")
    seed: int = Field(description="decides the users' luck")
    leaving: float | None = Field(
        None, description="share of users who leave after each round; none: not drawn"
    )
    laws: LawOptions | None = Field(None, description="laws beside the paper's; none: not drawn")

    def under(self, name: str, times: float = 1.0) -> Self:
        """The same, with users of one of :data:`OTHER_LAWS`, so many times as strong."""
        options = WORLDS[name].options
        if name in LAWFUL:
            return self.model_copy(update={"laws": options.laws.times(times)})
        return self.model_copy(update={"kept_share": 1 - times * (1 - options.kept_share)})

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
        names = ("mean_accept", "kept_share", "receptivity", "leaving", "laws")
        own = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
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
    uniforms = _even(N_DRAWN, number, int(generator(seed, purpose).integers(2**31)))
    luck = int(generator(seed, purpose, number).integers(2**32))
    world = world_at(prior, uniforms, luck)
    if prior.leaving is not None:
        (leaving,) = _beyond(seed, purpose, "leaving", number, 0, 1)
        world = world.model_copy(update={"leaving": _between(prior.leaving, leaving)})
    if prior.lawful:
        chance, which, times = _beyond(seed, purpose, "laws", number, 1, 3)
        if chance < prior.lawful:
            world = world.under(OTHER_LAWS[int(which * len(OTHER_LAWS))], MOST_TIMES * times)
    return world


def _beyond(seed: int, purpose: str, what: str, number: int, at: int, n: int) -> list[float]:
    """Numbers of what came later, from dimensions after the first ones.

    Not from first dimensions scrambled anew: their halves would be those of another number's.
    """
    scramble = int(generator(seed, purpose, what).integers(2**31))
    return _even(N_DRAWN + at + n, number, scramble)[N_DRAWN + at :]


def _even(n: int, number: int, scramble: int) -> list[float]:
    """The Sobol point of a number, in n dimensions."""
    sobol = torch.quasirandom.SobolEngine(n, scramble=True, seed=scramble)
    (point,) = sobol.fast_forward(number).draw(dtype=torch.float64).tolist()
    return list(point)


def world_at(prior: Prior, uniforms: Sequence[float], seed: int) -> PlausibleWorld:
    """The world that numbers in [0, 1) stand for, by the inverse of each part's distribution.

    Parameters
    ----------
    uniforms : sequence of :data:`N_DRAWN` floats
    """
    slope, accept, kept, receptivity, first, second, mixture = uniforms
    low, high = map(math.log, prior.slope)
    return PlausibleWorld(
        slope=math.exp(_between((low, high), slope)),
        mean_accept=_between(prior.mean_accept, accept),
        kept_share=_between(prior.kept_share, kept),
        receptivity="per-user" if receptivity < prior.per_user else "constant",
        hidden=(
            prior.hidden[int(first * len(prior.hidden))],
            prior.hidden[int(second * len(prior.hidden))],
        ),
        mixture=mixture,
        seed=seed,
    )


def _between(ends: tuple[float, float], uniform: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * uniform


def _mixed(first: Vectors, second: Vectors, weight: float) -> Vectors:
    """Unit vectors whose inner products are the weighted mean of two kinds'."""
    pairs = zip(first, second, strict=True)
    users, items = (torch.cat([weight**0.5 * a, (1 - weight) ** 0.5 * b], 1) for a, b in pairs)
    return users, items
