"""Steps of users' own: against a plain loop, told apart by answers; and laws that are told."""

from typing import Any

import numpy as np
import pytest
import torch

from proactrec.errors import InvalidInputError
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.graphau import InterestVectors
from proactrec.policies.base import Decision, View
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.laws import (
    STEP_DIFFERENCE,
    Law,
    LawName,
    Trail,
    beyond_doubt,
    known_vectors,
    walked,
)
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import dataset_of, unit

from .test_laws import ITEMS, N_ITEMS, N_USERS, OFFSETS, SLOPE, START, TARGETS, on_the_way

LAW = Law(0.7, 0.1, -0.15, 0.3, 0.5, 0.2, 0.03, receptivity=0.6)


def to_unit(places: np.ndarray) -> np.ndarray:
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


def by_hand(
    start: np.ndarray, answers: list[tuple[int, int]], law: Law
) -> tuple[np.ndarray, float]:
    """A user's place and log of the own step: beside it goes the same user with a longer one."""
    places, bias, spread = np.array([start, start]), np.zeros(2), np.full(2, law.bias)
    own, variance, n = 0.0, law.receptivity, 0
    for item, answer in answers:
        e = ITEMS[item].double().numpy()
        logits = SLOPE * places @ e + bias
        p = 1 / (1 + np.exp(-(logits + float(OFFSETS[item]))))
        by_step = (logits[1] - logits[0]) / STEP_DIFFERENCE
        slack = law.surprise * SLOPE**2 + spread + variance * by_step**2
        certainty = 1 / (1 + slack * p * (1 - p))
        surprise = (answer - p) * certainty
        longer = variance * by_step * surprise[0]
        variance -= (variance * by_step) ** 2 * (p * (1 - p) * certainty)[0]
        own += longer
        places = to_unit(places + (places[1] - places[0]) / STEP_DIFFERENCE * longer)
        places = to_unit(places + law.surprise * SLOPE * surprise[:, None] * e)
        bias = bias + spread * surprise
        spread = spread - spread**2 * p * (1 - p) * certainty
        accepting = (1 - law.kept) / (1 + law.diminishing * n)
        steps = accepting * np.exp([own, own + STEP_DIFFERENCE]) if answer else [law.refusal] * 2
        places = to_unit(
            np.array([(1 - a) * x + a * e for a, x in zip(steps, places, strict=True)])
        )
        places = to_unit((1 - law.returning) * places + law.returning * start)
        n += answer
    return places[0], own


def test_a_users_own_step_is_as_the_equations_of_the_module_say() -> None:
    journeys = on_the_way()
    vectors = known_vectors(START, ITEMS, journeys)
    laws = torch.tensor([LAW, LAW])
    trail = walked(vectors, journeys, SLOPE, OFFSETS, laws, receptive=True)
    places = trail.places(vectors)
    assert torch.equal(Trail.unpacked(trail.packed(places), 5, 2).step, trail.step)
    for row in range(5):  # the last stands nowhere
        shown, said = journeys.shown[row].tolist(), journeys.answer[row].tolist()
        answers = [(i, a) for i, a in zip(shown, said, strict=True) if a in (0, 1)]
        place, own = by_hand(START[row].double().numpy(), answers, LAW)
        np.testing.assert_allclose(places[row], place, atol=1e-4)
        assert float(trail.step[row, 0]) == pytest.approx(own, abs=1e-4)
    assert float(trail.step[:, 0].abs().max()) > 0.05


def played(names: tuple[LawName, ...], told: dict[LawName, float], **kind: Any) -> Any:
    """The planner and what it saw in the last round, and true steps of the users there."""
    rng, draw = torch.Generator().manual_seed(2), np.random.default_rng(2)
    had = [(draw.permutation(N_ITEMS)[:4] + 1).tolist() for _ in range(N_USERS)]
    data = dataset_of([*had, list(range(1, N_ITEMS + 1))])
    vectors = InterestVectors(
        unit(rng, N_USERS + 1, 6, padding=False), unit(rng, N_ITEMS + 1, 6, padding=True)
    )
    seen: list[Any] = []

    class Witness(Foresight):
        def decide(self, view: View) -> Decision:
            seen.append((self, view))
            return super().decide(view)

    options = ForesightOptions(laws=names, told=told, goes_on=True, belief_variance=0)
    policy = Witness(vectors, data.train_counts, data.before("train"), options)
    world = World(data, *vectors, TARGETS, WorldOptions(after_success="continue", **kind), seed=5)
    rollout(policy, world, data, TARGETS, RolloutOptions(n_rounds=12), n_workers=1)
    last, view = seen[-1]
    users = torch.from_numpy(view.journeys.users.known[view.journeys.user_rows])
    return last, view, 1 - world.kept_shares[users]


def test_users_of_longer_steps_are_told_from_others_by_their_answers() -> None:
    laws: tuple[LawName, ...] = ("kept", "receptivity")
    policy, view, true = played(laws, {}, receptivity="per-user", concentration=5.0)
    believed = 1 - policy._users.steps(view).kept[:, 0]
    assert torch.corrcoef(torch.stack([believed, true]))[0, 1] > 0.4
    assert (believed - true).abs().mean() < 0.9 * (true - true.mean()).abs().mean()
    assert 0.3 < float(policy.knowledge.strengths[1]) <= 2


def test_where_users_are_moved_alike_no_step_is_anybodys_own() -> None:
    policy, view, true = played(("kept", "receptivity"), {})
    believed = 1 - policy._users.steps(view).kept[:, 0]
    assert float((believed - true).abs().mean()) < 0.04


def test_a_law_that_is_told_is_not_learned_and_counts_in_full() -> None:
    told: dict[LawName, float] = {"refusal": 0.05, "returning": 0.1}
    policy, _, _ = played(("kept", "refusal", "returning"), told, laws=LawOptions(returning=0.02))
    strengths = policy.knowledge.strengths.tolist()
    assert strengths[1:] == pytest.approx([0.05, 0.1], abs=1e-3)
    assert strengths[0] != pytest.approx(0.8, abs=1e-3)
    planned = policy._users._planned
    assert (planned.refusal, planned.returning) == pytest.approx((0.05, 0.1), abs=1e-3)
    before = Law(0.8, refusal=0.05, surprise=0.02)
    assert beyond_doubt(before, before, {}) == before


def test_only_laws_that_are_on_can_be_told() -> None:
    with pytest.raises(InvalidInputError, match="told must be among the laws, got returning"):
        ForesightOptions(laws=("kept",), told={"returning": 0.1})
