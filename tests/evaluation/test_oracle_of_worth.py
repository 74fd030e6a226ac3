"""The oracle of worth beside dynamic programming, where that can be done, and plain rules."""

from typing import Any

import numpy as np
import pytest

from proactrec.evaluation.oracle_of_worth import OracleWorth, OracleWorthOptions
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.optimum import Choice, Small
from proactrec.worth import Worth

TARGET, N_ROUNDS = 3, 4
ITEMS = (TARGET, 5, 8, 11, 13)
"""The only ones that may be shown: dynamic programming tries every order of them."""
N_USERS = 10


def case(toy: Any, *, goes_on: bool = True, worth: Worth | None = None, **options: Any) -> Small:
    """Users who leave, and what their journeys are worth."""
    after = "continue" if goes_on else "stop"
    settings = WorldOptions(after_success=after, **options)
    vectors = toy.user_vectors, toy.item_vectors
    world = World(toy.dataset, *vectors, np.array([TARGET]), settings)
    return Small(toy.dataset, world, worth or Worth(), TARGET, ITEMS, N_ROUNDS)


def oracle_rule(case: Small, user: int) -> Choice:
    """The oracle's choice for one user on the way."""
    options = OracleWorthOptions(worth=case.worth, goes_on=case.goes_on)
    return case.choice_of(OracleWorth(options), user)


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
    found = [played.played(user, oracle_rule(played, user)) for user in range(N_USERS)]
    best = [played.best(user) for user in range(N_USERS)]
    assert all(a <= b + 1e-6 for a, b in zip(found, best, strict=True))
    assert sum(found) >= (0.99 if played.worth.target else 0.9) * sum(best)


def test_it_is_worth_more_than_the_target_at_once_or_at_the_end(toy: Any) -> None:
    def at(number: int) -> Choice:
        others = [item for item in ITEMS if item != TARGET]
        order = [*others[:number], TARGET, *others[number:]]
        return lambda user, shown, answers: order[len(shown)]

    for leaving in (0.0, 0.1, 0.4):
        played, users = case(toy, leaving=leaving), range(N_USERS)
        total = sum(played.played(user, oracle_rule(played, user)) for user in users)
        for number in (0, N_ROUNDS - 1):
            assert total > sum(played.played(user, at(number)) for user in users)
