"""The most that any policy can expect, where every order of a few items can be tried."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.evaluation.oracles import OracleGreedy
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, View
from proactrec.simulator.environment import Environment
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import dataset_of
from proactrec.types import FloatArray
from proactrec.worth import Worth

Choice = Callable[[FloatArray, Sequence[int], Sequence[bool]], int]
"""Of the item to show, by where the user stands, what was shown and how it was answered."""


TARGET, ITEMS, HAD = 1, (1, 2, 3, 4, 5), (6, 7)


class Small(NamedTuple):
    """A world in which few items may be shown, in few rounds, toward one target."""

    dataset: Dataset
    world: World
    worth: Worth
    target: int
    items: tuple[int, ...]
    n_rounds: int

    @property
    def goes_on(self) -> bool:
        """Whether guidance goes on after the target was accepted."""
        return self.world.options.after_success == "continue"

    @property
    def stays(self) -> tuple[float, float]:
        """Chance to stay after an acceptance and after a refusal."""
        accepted, refused = self.world.leaving(torch.tensor([0]))[0].tolist()
        return 1 - accepted, 1 - refused

    def start(self, user_idx: int) -> FloatArray:
        """Where a user stands at first: (d,)."""
        return self.world.user_vectors[user_idx].double().numpy()

    def accepting(self, user: FloatArray, item: int) -> tuple[float, float, FloatArray]:
        """Chance, worth of interest and of acceptance, and the user after it."""
        items, share = self.world.item_vectors, self.world.options.kept_share
        shown, target = (items[i].double().numpy() for i in (item, self.target))
        after = share * user + (1 - share) * shown
        after /= np.linalg.norm(after)
        response = self.world.response
        assert isinstance(response, DistributionResponse)
        chance = float(response.accept_prob(torch.tensor(user @ shown)))
        gained = float((after - user) @ target) * self.worth.interest + self.worth.step
        return chance, gained + self.worth.target * (item == self.target), after

    def best(self, user_idx: int) -> float:
        """Dynamic programming: the most that any policy can expect that shows an item each round.

        Or nothing, where no item is left.
        """
        stays, stays_refused = self.stays

        def value(user: FloatArray, left: tuple[int, ...], n_rounds: int) -> float:
            found = []
            for item in left if n_rounds else ():
                rest = tuple(i for i in left if i != item)
                chance, gained, after = self.accepting(user, item)
                ends = item == self.target and not self.goes_on
                then = 0.0 if ends else stays * value(after, rest, n_rounds - 1)
                refused = stays_refused * value(user, rest, n_rounds - 1)
                found.append(chance * (gained + then) + (1 - chance) * refused)
            return max(found, default=0.0)

        return value(self.start(user_idx), self.items, self.n_rounds)

    def played(self, user_idx: int, choose: Choice) -> float:
        """What a rule gets in expectation, over all answers."""
        stays, stays_refused = self.stays

        def value(user: FloatArray, shown: list[int], answers: list[bool]) -> float:
            is_done = shown[-1:] == [self.target] and answers[-1] and not self.goes_on
            if len(shown) == self.n_rounds or is_done:
                return 0.0
            item = choose(user, shown, answers)
            chance, gained, after = self.accepting(user, item)
            then = stays * value(after, [*shown, item], [*answers, True])
            refused = stays_refused * value(user, [*shown, item], [*answers, False])
            return chance * (gained + then) + (1 - chance) * refused

        return value(self.start(user_idx), [], [])

    def choice_of(self, oracle: OracleGreedy, user_idx: int) -> Choice:
        """What an oracle chooses for one user on the way."""
        environment, users = Environment(self.world), train_users(self.dataset)
        row = torch.tensor([user_idx]), torch.tensor([self.target])

        def choose(user: FloatArray, shown: Sequence[int], answers: Sequence[bool]) -> int:
            environment.reset(*(x.numpy() for x in row), n_rounds=self.n_rounds)
            minds = environment.minds()._replace(
                user_vectors=torch.from_numpy(user)[None].to(self.world.user_vectors.dtype),
                rounds_left=self.n_rounds - len(shown),
            )
            journeys = Journeys.begun(users, *row, self.n_rounds)
            for item, answer in zip(shown, answers, strict=True):
                told = torch.tensor([item]), torch.tensor([answer]), torch.tensor([True])
                journeys = journeys.after(*told)
            penalty = torch.full((1, len(self.world.item_vectors)), -torch.inf)
            penalty[0, [item for item in self.items if item not in shown]] = 0
            view = View(journeys, torch.empty(1, 0), Candidates(penalty), journeys.rounds_left)
            return int(oracle.reading(minds).decide(view).item_idx)

        return choose


def drawn(
    seed: int, dim: int, *, slope: float, worth: Worth, n_rounds: int = 3, **options: Any
) -> Small:
    """A random instance for the first of two users, who may be shown :data:`ITEMS`.

    Vectors of items and users crowd around a direction, more or less, as fitted ones do.
    """
    dataset = dataset_of([[*HAD, 1, 2], [*ITEMS, *HAD]])  # the last two are held out
    draw = torch.Generator().manual_seed(seed)
    crowded, offset = torch.rand(2, generator=draw).tolist()
    vectors = torch.randn(len(dataset.items) + 3, dim, generator=draw)
    vectors = F.normalize(vectors + crowded * torch.randn(dim, generator=draw), dim=1)
    vectors[2] = 0  # padding
    response = DistributionResponse(slope, offset - 0.3)
    settings, targets = WorldOptions(**options), np.array([TARGET])
    world = World(dataset, vectors[:2], vectors[2:], targets, settings, response=response)
    return Small(dataset, world, worth, TARGET, ITEMS, n_rounds)
