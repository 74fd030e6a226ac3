"""The oracle of worth beside dynamic programming, where that can be done, and plain rules."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.evaluation.oracle_of_worth import OracleWorth, OracleWorthOptions
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, View
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World, WorldOptions
from proactrec.worth import Worth

TARGET, N_ROUNDS = 3, 4
ITEMS = (TARGET, 5, 8, 11, 13)
"""The only ones that may be shown: dynamic programming tries every order of them."""
N_USERS = 10


class Case(NamedTuple):
    """Users who leave, and what their journeys are worth."""

    world: World
    worth: Worth
    goes_on: bool

    @property
    def stays(self) -> tuple[float, float]:
        """Chance to stay after an acceptance and after a refusal."""
        accepted, refused = self.world.leaving(torch.tensor([0]))[0].tolist()
        return 1 - accepted, 1 - refused


def case(toy: Any, *, goes_on: bool = True, worth: Worth | None = None, **options: Any) -> Case:
    after = "continue" if goes_on else "stop"
    settings = WorldOptions(after_success=after, **options)
    vectors = toy.user_vectors, toy.item_vectors
    world = World(toy.dataset, *vectors, np.array([TARGET]), settings)
    return Case(world, worth or Worth(), goes_on)


def accepting(case: Case, user: Tensor, item: int) -> tuple[float, float, Tensor]:
    """Chance, worth of interest and of acceptance, and the user after it."""
    items, share = case.world.item_vectors, case.world.options.kept_share
    after = F.normalize(share * user + (1 - share) * items[item], dim=0)
    chance = float(case.world.response.accept_prob(user @ items[item]))
    gained = float((after - user) @ items[TARGET]) * case.worth.interest + case.worth.step
    return chance, gained + case.worth.target * (item == TARGET), after


def best_worth(case: Case, user: Tensor, left: tuple[int, ...], n_rounds: int) -> float:
    """Dynamic programming: the most that any policy can expect that shows an item each round."""
    if not n_rounds:
        return 0.0
    found, (stays, stays_refused) = [], case.stays
    for item in left:
        rest = tuple(i for i in left if i != item)
        chance, gained, after = accepting(case, user, item)
        ends = item == TARGET and not case.goes_on
        then = 0.0 if ends else stays * best_worth(case, after, rest, n_rounds - 1)
        refused = stays_refused * best_worth(case, user, rest, n_rounds - 1)
        found.append(chance * (gained + then) + (1 - chance) * refused)
    return max(found)


def played_worth(case: Case, user_idx: int, choose: Any) -> float:
    """What a rule gets in expectation, over all answers."""

    def value(user: Tensor, shown: list[int], answers: list[bool]) -> float:
        is_done = shown[-1:] == [TARGET] and answers[-1] and not case.goes_on
        if len(shown) == N_ROUNDS or is_done:
            return 0.0
        item = choose(user_idx, user, shown, answers)
        chance, gained, after = accepting(case, user, item)
        stays, stays_refused = case.stays
        then = stays * value(after, [*shown, item], [*answers, True])
        refused = stays_refused * value(user, [*shown, item], [*answers, False])
        return chance * (gained + then) + (1 - chance) * refused

    return value(case.world.user_vectors[user_idx], [], [])


def oracle_rule(toy: Any, case: Case) -> Any:
    """The oracle's choice for one user on the way."""
    environment, users = Environment(case.world), train_users(toy.dataset)
    oracle = OracleWorth(OracleWorthOptions(worth=case.worth, goes_on=case.goes_on))

    def choose(user_idx: int, user: Tensor, shown: list[int], answers: list[bool]) -> int:
        environment.reset(np.array([user_idx]), np.array([TARGET]), n_rounds=N_ROUNDS)
        minds = environment.minds()._replace(user_vectors=user[None])
        row = torch.tensor([user_idx]), torch.tensor([TARGET])
        journeys = Journeys.begun(users, *row, N_ROUNDS)
        for item, answer in zip(shown, answers, strict=True):
            told = torch.tensor([item]), torch.tensor([answer]), torch.tensor([True])
            journeys = journeys.after(*told)
        penalty = torch.full((1, len(case.world.item_vectors)), -torch.inf)
        penalty[0, [item for item in ITEMS if item not in shown]] = 0
        view = View(journeys, torch.empty(1, 0), Candidates(penalty), journeys.rounds_left)
        return int(oracle.reading(minds).decide(view).item_idx)

    return choose


CASES: dict[str, dict[str, Any]] = {
    "nobody leaves": {},
    "some leave": {"leaving": 0.1},
    "many leave": {"leaving": 0.4},
    "who refuses leaves": {"leaving": 0.02, "leaving_refused": 0.4},
    "the target ends it": {"leaving": 0.1, "goes_on": False},
    "steep": {"leaving": 0.1, "world": "steep"},
    "the target alone": {"leaving": 0.1, "worth": Worth(step=0, interest=0)},
    "interest alone": {"worth": Worth(target=0, step=0, interest=1)},
}


@pytest.mark.parametrize("name", CASES)
def test_it_comes_near_to_the_best_that_there_is(toy: Any, name: str) -> None:
    played = case(toy, **CASES[name])
    choose, users = oracle_rule(toy, played), played.world.user_vectors
    found = [played_worth(played, user, choose) for user in range(N_USERS)]
    best = [best_worth(played, users[user], ITEMS, N_ROUNDS) for user in range(N_USERS)]
    assert all(a <= b + 1e-6 for a, b in zip(found, best, strict=True))
    assert sum(found) >= (0.99 if played.worth.target else 0.9) * sum(best)


def test_it_is_worth_more_than_the_target_at_once_or_at_the_end(toy: Any) -> None:
    def at(number: int) -> Any:
        others = [item for item in ITEMS if item != TARGET]
        order = [*others[:number], TARGET, *others[number:]]
        return lambda user_idx, user, shown, answers: order[len(shown)]

    for leaving in (0.0, 0.1, 0.4):
        played = case(toy, leaving=leaving)
        rules = [oracle_rule(toy, played), at(0), at(N_ROUNDS - 1)]
        totals = [sum(played_worth(played, u, rule) for u in range(N_USERS)) for rule in rules]
        assert totals[0] > max(totals[1:])
