"""Oracles against a plain computation, pair by pair, and against what is not allowed to look."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.evaluation import oracles
from proactrec.evaluation.oracles import LookaheadOptions, OracleGreedy, OracleLookahead
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, View
from proactrec.policies.next_item import NextItem
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World, WorldOptions

TARGETS = np.array([3, 9])
WORLDS: dict[str, dict[str, Any]] = {
    "common": {},
    "per-user": {"receptivity": "per-user", "world": "steep"},
    "official": {"world": "official", "owners": "zero", "noise": "per_target"},
}


@pytest.fixture(params=WORLDS)
def begun(toy: Any, request: pytest.FixtureRequest) -> Environment:
    options = WorldOptions(**WORLDS[request.param])
    world = World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS, options)
    environment = Environment(world)
    environment.reset(np.array([0, 1, 2, 3, 4]), np.array([3, 3, 3, 9, 9]), n_rounds=4)
    return environment


def viewed(toy: Any, environment: Environment) -> View:
    penalty = environment.owned_penalty(torch.arange(5))
    penalty[4, 1:] = -torch.inf
    targets = torch.tensor([3, 3, 3, 9, 9])
    journeys = Journeys.begun(train_users(toy.dataset), torch.arange(5), targets, n_rounds=4)
    return View(journeys, torch.empty(5, 0), Candidates(penalty), journeys.rounds_left)


def gain(
    world: World, user: torch.Tensor, item: int, target: int, share: float, noise: float
) -> Any:
    """Chance of acceptance, gain and the user after it, one at a time."""
    items = world.item_vectors
    after = F.normalize(share * user + (1 - share) * items[item], dim=0)
    prob = float(world.response.accept_prob(user @ items[item], noise))
    return prob, float((after - user) @ items[target]), after


def plain_greedy(world: World, user: torch.Tensor, allowed: list[int], *rest: Any) -> float:
    products = [p * g for p, g, _ in (gain(world, user, i, *rest) for i in allowed)]
    return max([0.0, *products])


def plain_value(
    world: World, user: torch.Tensor, item: int, allowed: list[int], *rest: Any
) -> float:
    prob, step, after = gain(world, user, item, *rest)
    left = [i for i in allowed if i != item]
    accepted = 0.0 if item == rest[0] else plain_greedy(world, after, left, *rest)
    return prob * (step + accepted) + (1 - prob) * plain_greedy(world, user, left, *rest)


def test_greedy_is_the_best_true_expected_gain(toy: Any, begun: Environment) -> None:
    seen, minds = viewed(toy, begun), begun.minds()
    found = OracleGreedy().reading(minds).decide(seen)
    assert found.item_idx[4] == 0  # nothing left
    for row in range(4):
        allowed = (seen.candidates.penalty[row] == 0).nonzero()[:, 0].tolist()
        user, rest = minds.user_vectors[row], (int(seen.target_idx[row]),)
        rest = (*rest, float(minds.kept_share[row]), float(minds.noise[row]))
        products = {i: gain(begun.world, user, i, *rest) for i in allowed}
        expected = max(p * g for p, g, _ in products.values())
        assert float(found.score[row]) == pytest.approx(expected, abs=1e-6)
        prob, step, _ = products[int(found.item_idx[row])]
        assert prob * step == pytest.approx(expected, abs=1e-6)


def test_lookahead_is_the_best_over_two_rounds(
    toy: Any, begun: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, minds = viewed(toy, begun), begun.minds()
    policy = OracleLookahead(LookaheadOptions(n_candidates=20))  # more than there are items
    found = policy.reading(minds).decide(seen)
    assert found.item_idx[4] == 0
    for row in range(4):
        allowed = (seen.candidates.penalty[row] == 0).nonzero()[:, 0].tolist()
        user = minds.user_vectors[row]
        rest = (int(seen.target_idx[row]), float(minds.kept_share[row]), float(minds.noise[row]))
        values = {i: plain_value(begun.world, user, i, allowed, *rest) for i in allowed}
        assert float(found.score[row]) == pytest.approx(max(values.values()), abs=1e-6)
        assert values[int(found.item_idx[row])] == pytest.approx(max(values.values()), abs=1e-6)
    monkeypatch.setattr(oracles, "LOOKED_AT_ROWS", 1)
    assert torch.equal(policy.reading(minds).decide(seen).item_idx, found.item_idx)


def test_in_the_last_round_nothing_lies_ahead(toy: Any, begun: Environment) -> None:
    seen, minds = viewed(toy, begun), begun.minds()._replace(rounds_left=1)
    ahead, greedy = OracleLookahead(), OracleGreedy()
    expected = greedy.reading(minds).decide(seen).item_idx
    assert torch.equal(ahead.reading(minds).decide(seen).item_idx, expected)


def test_without_an_environment_oracles_refuse(toy: Any, begun: Environment) -> None:
    with pytest.raises(InvalidInputError, match="oracle-greedy can only play in a simulation"):
        OracleGreedy().decide(viewed(toy, begun))


def test_knowing_more_pays(toy: Any) -> None:
    """Mean interest after guidance: next-item < greedy oracle <= lookahead."""
    world = World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS)
    ends = [
        float(log.interest[:, -1].mean())
        for policy in (NextItem(toy.encoder), OracleGreedy(), OracleLookahead())
        for log in [rollout(policy, world, toy.dataset, TARGETS, RolloutOptions(n_rounds=5)).log]
    ]
    assert ends[0] < ends[1] <= ends[2] + 0.02
