"""Oracles know the laws of the world: what they foresee is what users then do."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.evaluation.oracle_of_worth import OracleWorth
from proactrec.evaluation.oracles import LookaheadOptions, OracleGreedy, OracleLookahead
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, View
from proactrec.simulator.environment import Environment
from proactrec.simulator.minds import Outlook
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions
from proactrec.simulator.worlds import LAWFUL

TARGETS = np.array([3, 9])
USERS, OF_USERS = np.array([0, 1, 2, 3, 4]), np.array([3, 3, 3, 9, 9])
DRIFTS: dict[str, dict[str, float]] = {
    "returning": {"returning": 0.2},
    "reactance": {"reactance": 0.15},
    "exposure": {"exposure": 0.1},
    "diminishing": {"diminishing": 0.3},
    "all": {"returning": 0.1, "reactance": 0.2, "exposure": 0.05, "diminishing": 0.2},
}
ANSWERS: dict[str, float] = {
    **{"appeal": 1.0, "user_bias": 0.7, "user_slope": 0.4},
    **{"day": 0.5, "lapses": 0.05, "ceiling": 0.9},
}


def world_of(toy: Any, laws: dict[str, float], **options: Any) -> World:
    changed = WorldOptions.model_validate({"laws": laws, **options})
    return World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS, changed)


def begun(world: World) -> Environment:
    environment = Environment(world)
    environment.reset(USERS, OF_USERS, n_rounds=4)
    environment.is_frozen[:] = False
    return environment


def viewed(toy: Any, environment: Environment) -> View:
    penalty = environment.owned_penalty(torch.arange(len(USERS)))
    journeys = Journeys.begun(
        train_users(toy.dataset), torch.arange(len(USERS)), torch.from_numpy(OF_USERS), n_rounds=4
    )
    return View(journeys, torch.empty(len(USERS), 0), Candidates(penalty), journeys.rounds_left)


def ahead(outlook: Outlook, accepts: bool) -> torch.Tensor:
    """Interest after showing items, if that is the answer."""
    if accepts:
        return outlook.interest
    return outlook.now.expand_as(outlook.interest) if outlook.refused is None else outlook.refused


@pytest.mark.parametrize("laws", DRIFTS.values(), ids=DRIFTS)
@pytest.mark.parametrize("accepts", [True, False])
def test_foreseen_interest_is_what_the_answer_then_brings(
    toy: Any, laws: dict[str, float], accepts: bool
) -> None:
    """After no round and after one, in which the same was accepted or refused."""
    world = world_of(toy, laws, after_success="continue", receptivity="per-user")
    first = torch.tensor([5, 6, 7, 8, 2])
    environment, minds = begun(world), begun(world).minds()
    imagined = minds.accepting(first) if accepts else minds.refusing(first)
    world.response = DistributionResponse(1000.0, -5.0 if accepts else 5.0)
    for mind, shown in ((minds, first), (imagined, first.flip(0))):
        outlook, among = mind.outlook(), mind.outlook(shown[:, None])
        foreseen = ahead(outlook, accepts).gather(1, shown[:, None])[:, 0]
        torch.testing.assert_close(ahead(among, accepts)[:, 0], foreseen)
        assert environment.step(shown).accepted.all() == accepts
        torch.testing.assert_close(environment.interest(), foreseen, atol=1e-5, rtol=0)


def test_foreseen_chances_are_those_of_the_environment(toy: Any) -> None:
    world = world_of(toy, ANSWERS)
    minds = begun(world).minds()
    foreseen = minds.outlook().accept_prob.double()
    everything = torch.arange(len(world.item_vectors)).expand(len(USERS), -1)
    among = minds.outlook(everything).accept_prob.double()
    torch.testing.assert_close(among, foreseen)
    for item in range(1, len(world.item_vectors)):
        found = begun(world).step(torch.full((len(USERS),), item)).accept_prob
        torch.testing.assert_close(found, foreseen[:, item], atol=1e-6, rtol=0)
    assert not minds.refusing(torch.full((len(USERS),), 2)).day.any()
    assert minds.day.all()


def after(world: World, user: Any, item: int, row: int, n: int, accepts: bool) -> Any:
    """One user after an answer, by the equations."""
    laws, shown = world.options.laws, world.item_vectors[item]
    step = laws.exposure - laws.reactance
    if accepts:
        step = (1 - world.options.kept_share) / (1 + laws.diminishing * n)
    user = F.normalize((1 - step) * user + step * shown, dim=0)
    start = world.user_vectors[USERS[row]]
    return F.normalize((1 - laws.returning) * user + laws.returning * start, dim=0)


def plain_gain(world: World, user: Any, item: int, row: int, n: int) -> Any:
    """Chance, expected gain, and the user after acceptance and after refusal."""
    target = world.item_vectors[OF_USERS[row]]
    prob = float(world.response.accept_prob(user @ world.item_vectors[item]))  # type: ignore[attr-defined]
    ends = [after(world, user, item, row, n, accepts) for accepts in (True, False)]
    gains = [float((end - user) @ target) for end in ends]
    return prob, prob * gains[0] + (1 - prob) * gains[1], *ends


def plain_value(world: World, user: Any, item: int, allowed: list[int], row: int) -> float:
    prob, gain, accepted, refused = plain_gain(world, user, item, row, 0)
    left = [i for i in allowed if i != item]
    best = [
        max(plain_gain(world, end, i, row, n)[1] for i in left)
        for end, n in ((accepted, 1), (refused, 0))
    ]
    if item == OF_USERS[row] and world.options.after_success != "continue":
        best[0] = 0.0
    return float(gain + prob * best[0] + (1 - prob) * best[1])


@pytest.mark.parametrize("after_success", ["stop", "continue"])
def test_oracles_choose_the_best_by_the_law(toy: Any, after_success: str) -> None:
    world = world_of(toy, DRIFTS["all"], after_success=after_success)
    environment = begun(world)
    view, minds = viewed(toy, environment), environment.minds()
    greedy = OracleGreedy().reading(minds).decide(view)
    ahead = OracleLookahead(LookaheadOptions(n_candidates=20)).reading(minds).decide(view)
    for row in range(len(USERS)):
        allowed = (view.candidates.penalty[row] == 0).nonzero()[:, 0].tolist()
        user = world.user_vectors[USERS[row]]
        gains = {i: plain_gain(world, user, i, row, 0)[1] for i in allowed}
        values = {i: plain_value(world, user, i, allowed, row) for i in allowed}
        for found, plain in ((greedy, gains), (ahead, values)):
            assert float(found.score[row]) == pytest.approx(max(plain.values()), abs=1e-6)
            shown = plain[int(found.item_idx[row])]
            assert shown == pytest.approx(max(plain.values()), abs=1e-6)


def test_a_rollout_notes_who_moved_without_acceptance(toy: Any) -> None:
    """Interest and rank after every round are those of a replay, though nothing is accepted."""
    world = world_of(toy, {"reactance": 0.5, "wandering": 0.5}, after_success="continue")
    world.response = DistributionResponse(1000.0, 5.0)
    log = rollout(OracleGreedy(), world, toy.dataset, TARGETS, RolloutOptions(n_rounds=4)).log
    assert not log.accepted.any()
    environment, rows = Environment(world), torch.arange(len(log.user_idx))
    environment.reset(log.user_idx, log.target_idx, n_rounds=4)
    for number in range(5):
        np.testing.assert_array_equal(log.interest[:, number], environment.interest().numpy())
        np.testing.assert_array_equal(log.rank[:, number], environment.rank(rows).numpy())
        if number < 4:
            environment.step(torch.from_numpy(log.slate[:, number]).long())
    assert (log.rank[:, 4] != log.rank[:, 0]).any()


@pytest.mark.parametrize("name", LAWFUL)
def test_oracles_play_in_every_world_or_refuse_it_in_one_sentence(toy: Any, name: str) -> None:
    laws = LAWFUL[name][1]
    world = world_of(toy, laws.model_dump(), after_success="continue")
    for policy in (OracleGreedy(), OracleLookahead()):
        log = rollout(policy, world, toy.dataset, TARGETS, RolloutOptions(n_rounds=3)).log
        assert np.isfinite(log.interest).all()
    with pytest.raises(InvalidInputError, match=f"oracle-worth knows no laws .* {laws.names[0]}"):
        rollout(OracleWorth(), world, toy.dataset, TARGETS, RolloutOptions(n_rounds=3))
