"""Laws of drift and response: each by its formula, by hand, on two users; off, nothing changes."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.rng import uniforms
from proactrec.simulator.drifting import LUCK_OF_WANDERING, random_steps
from proactrec.simulator.dynamics import moved
from proactrec.simulator.environment import Environment
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.leanings import LUCK_OF_DAYS
from proactrec.simulator.response import DistributionResponse, Shown
from proactrec.simulator.world import World, WorldOptions

from .test_environment import ALWAYS, NEVER, TARGETS, Vectors, begun, strangers, world_of

Point = tuple[float, float]
EAST, NORTH, ITEM = (1.0, 0.0), (0.0, 1.0), (0.6, 0.8)
GENTLE = DistributionResponse(2.0, 0.1)


def toward(user: Point, item: Point, step: float) -> Point:
    """A step toward (or away from) an item, back on the unit circle."""
    x, y = ((1 - step) * u + step * i for u, i in zip(user, item, strict=True))
    return x / math.hypot(x, y), y / math.hypot(x, y)


def flat_world(dataset: Dataset, response: DistributionResponse, **laws: float) -> World:
    """Two users who do not have item 11, in the east and the north of a plane; item 2 is ITEM."""
    rng = torch.Generator().manual_seed(5)
    users, items = (
        torch.nn.functional.normalize(torch.randn(n, 2, generator=rng), dim=1)
        for n in (dataset.n_users, dataset.n_items + 1)
    )
    two = strangers(dataset, 11, 2)
    users[two[0]], users[two[1]] = torch.tensor(EAST), torch.tensor(NORTH)
    items[0], items[2] = 0, torch.tensor(ITEM)
    return world_of(dataset, (users, items), response, laws=LawOptions(**laws))


def walked(dataset: Dataset, response: Any, shown: list[int], **laws: float) -> torch.Tensor:
    """Where the two users are after these items."""
    environment = begun(flat_world(dataset, response, **laws), strangers(dataset, 11, 2), [11] * 2)
    for item in shown:
        environment.step(torch.full((2,), item))
    return environment.user_vectors


def check(found: torch.Tensor, *expected: Point) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_users_return_to_their_start_after_answers_and_in_empty_rounds(dataset: Dataset) -> None:
    expected = []
    for start in (EAST, NORTH):
        after = toward(toward(start, ITEM, 0.2), start, 0.25)
        expected.append(toward(after, start, 0.25))
    check(walked(dataset, ALWAYS, [2, 0], returning=0.25), *expected)
    check(walked(dataset, NEVER, [2, 0], returning=0.25), EAST, NORTH)


@pytest.mark.parametrize(
    ("laws", "step"),
    [
        ({"reactance": 0.1}, -0.1),
        ({"exposure": 0.05}, 0.05),
        ({"exposure": 0.3, "reactance": 0.1}, 0.2),
    ],
    ids=["away", "toward", "both"],
)
def test_refusals_move_and_neither_acceptances_nor_empty_rounds(
    dataset: Dataset, laws: dict[str, float], step: float
) -> None:
    expected = [toward(toward(start, ITEM, step), ITEM, step) for start in (EAST, NORTH)]
    check(walked(dataset, NEVER, [2, 0, 2], **laws), *expected)
    accepted = [toward(start, ITEM, 0.2) for start in (EAST, NORTH)]
    check(walked(dataset, ALWAYS, [2, 0], **laws), *accepted)


def test_steps_diminish_with_accepted_items_only(dataset: Dataset) -> None:
    """At a decay of the step itself, the weights are those of a running average: 1/5, 1/6, 1/7."""
    expected = []
    for start in (EAST, NORTH):
        after = toward(toward(start, ITEM, 1 / 5), ITEM, 1 / 6)
        expected.append(toward(after, ITEM, 1 / 7))
    check(walked(dataset, ALWAYS, [2, 0, 2, 2], diminishing=0.2), *expected)
    check(walked(dataset, NEVER, [2, 2], diminishing=0.2), EAST, NORTH)


def test_users_wander_by_normal_steps_of_seed_user_target_and_round(dataset: Dataset) -> None:
    users = np.array(strangers(dataset, 11, 2))
    luck = [
        uniforms(0, users, np.array([11, 11]), 2, slot=LUCK_OF_WANDERING + axis) for axis in (0, 1)
    ]
    steps = torch.special.ndtri(torch.from_numpy(np.stack(luck, 2)))  # (users, rounds, axes)
    expected = []
    for row, (x, y) in enumerate((EAST, NORTH)):
        for r in range(2):
            x, y = (a + 0.3 * float(steps[row, r, k]) / math.sqrt(2) for k, a in enumerate((x, y)))
            x, y = x / math.hypot(x, y), y / math.hypot(x, y)
        expected.append((x, y))
    check(walked(dataset, NEVER, [2, 0], wandering=0.3), *expected)
    check(walked(dataset, NEVER, [7, 9], wandering=0.3), *expected)


def test_random_steps_have_the_length_that_was_asked_for(dataset: Dataset) -> None:
    n, dim = 4000, 8
    seeds, users, targets, rounds = (np.arange(n) % k for k in (1, 997, 13, 20))
    steps = random_steps(seeds, users, targets, rounds, dim)
    assert steps.shape == (n, dim)
    assert steps.mean().item() == pytest.approx(0, abs=4 / math.sqrt(n * dim))
    assert steps.square().mean().item() == pytest.approx(1, abs=4 * math.sqrt(2 / (n * dim)))
    assert len(steps.unique()) == n * dim


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def chances(environment: Environment) -> list[float]:
    found: list[float] = environment.step(torch.full((2,), 2)).accept_prob.tolist()
    return found


def test_answers_follow_the_four_parameter_logistic_with_what_was_drawn(dataset: Dataset) -> None:
    laws = {"appeal": 1.0, "user_bias": 0.7, "user_slope": 0.4, "day": 0.5}
    world = flat_world(dataset, GENTLE, **laws, lapses=0.05, ceiling=0.9)
    users, leanings = strangers(dataset, 11, 2), world.leanings
    assert leanings is not None
    days = uniforms(0, np.array(users), np.array([11, 11]), 1, slot=LUCK_OF_DAYS)[:, 0]
    expected = []
    for user, interest, luck in zip(users, (0.6, 0.8), days, strict=True):
        day = 0.5 * float(torch.special.ndtri(torch.tensor(luck)))
        logit = float(leanings.slope[user]) * 2.0 * (interest - 0.1)
        logit += float(leanings.appeal[2] + leanings.bias[user]) + day
        expected.append(0.05 + 0.85 * sigmoid(logit))
    found = chances(begun(world, users, [11, 11]))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("law", ["appeal", "user_bias", "user_slope", "day"])
def test_each_is_drawn_alone_with_its_deviation(dataset: Dataset, law: str) -> None:
    plain, changed = (flat_world(dataset, GENTLE, **{law: x}) for x in (1e-12, 0.8))
    found = changed.leanings
    assert found is not None
    drawn = {
        "appeal": found.appeal,
        "user_bias": found.bias,
        "user_slope": found.slope.log(),
        "day": changed.day(np.arange(dataset.n_users), np.full(dataset.n_users, 11), 30).flatten(),
    }
    for name, values in drawn.items():
        spread = 0.8 * 4 / math.sqrt(2 * len(values)) if name == law else 0
        assert values.std().item() == pytest.approx(0.8 if name == law else 0, abs=spread)
    two = strangers(dataset, 11, 2)
    both = [chances(begun(world, two, [11, 11])) for world in (plain, changed)]
    assert both[0] == pytest.approx([sigmoid(1.0), sigmoid(1.4)], abs=1e-6)
    assert both[0] != pytest.approx(both[1], abs=1e-3)


def test_lapses_and_ceiling_bound_the_chances(dataset: Dataset) -> None:
    for response, bound in ((ALWAYS, 0.8), (NEVER, 0.1)):
        world = flat_world(dataset, response, lapses=0.1, ceiling=0.8)
        found = chances(begun(world, strangers(dataset, 11, 2), [11, 11]))
        assert found == pytest.approx([bound, bound])


def test_without_laws_users_are_as_they_were_to_the_last_bit(
    dataset: Dataset, vectors: Vectors
) -> None:
    """Answers by the click model alone, steps by the kept share alone."""
    world = world_of(dataset, vectors)
    assert world.options == WorldOptions(laws=LawOptions())
    users = strangers(dataset, 11, 6)
    environment, luck = (
        begun(world, users, [11] * 6),
        world.luck(np.array(users), np.full(6, 11), 6),
    )
    for r, item in enumerate((2, 3, 0, 5, 7, 2)):
        items, before = torch.full((6,), item), environment.user_vectors.clone()
        interest = (before * vectors[1][items]).sum(1)
        prob = world.response.respond(Shown(torch.tensor(users), items, items, interest, 0.0))
        expected = (luck[:, r] < prob) & (items > 0)
        found = environment.step(items)
        assert torch.equal(found.accepted, expected)
        assert item == 0 or torch.equal(found.accept_prob, prob)
        after = moved(before, vectors[1][items], torch.full((6,), 0.8))
        expected_users = torch.where(expected[:, None], after, before)
        assert torch.equal(environment.user_vectors, expected_users)


def test_owners_and_users_who_left_are_not_moved_by_time(
    dataset: Dataset, vectors: Vectors
) -> None:
    laws = {"wandering": 0.3, "reactance": 0.2}
    world = world_of(dataset, vectors, NEVER, laws=LawOptions(**laws), patience=1)
    everybody = list(range(dataset.n_users))
    environment = begun(world, everybody, [11] * len(everybody))
    owners = environment.is_owner
    environment.step(torch.full((len(everybody),), 2))
    once = environment.user_vectors.clone()
    assert torch.equal(once[owners], vectors[0][owners])
    assert (once != vectors[0]).any(1)[~owners].all()
    assert environment.has_left.all()
    environment.step(torch.full((len(everybody),), 2))
    assert torch.equal(environment.user_vectors, once)


def test_led_to_another_target_users_keep_their_place_and_how_far_steps_have_diminished(
    dataset: Dataset,
) -> None:
    world = flat_world(dataset, ALWAYS, diminishing=0.2)
    environment = begun(world, strangers(dataset, 11, 2), [11] * 2)
    environment.step(torch.full((2,), 2))
    environment.redirect(torch.arange(2), np.array([4, 7]))
    environment.is_frozen[:] = False
    environment.step(torch.full((2,), 2))
    check(
        environment.user_vectors,
        *(toward(toward(start, ITEM, 1 / 5), ITEM, 1 / 6) for start in (EAST, NORTH)),
    )


class OtherModel:
    """A click model of somebody else."""

    def respond(self, shown: Shown) -> torch.Tensor:
        return torch.full((len(shown.item_idx),), 0.5, dtype=torch.float64)

    def describe(self) -> dict[str, Any]:
        return {}

    def usage(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def test_what_cannot_go_together_is_refused(dataset: Dataset, vectors: Vectors) -> None:
    with pytest.raises(InvalidInputError, match="n_slots must be 1 where laws have reactance or"):
        WorldOptions(n_slots=2, laws=LawOptions(exposure=0.1))
    users, items = vectors
    for laws, is_known in ((LawOptions(returning=0.1), True), (LawOptions(day=1), False)):
        options = WorldOptions(laws=laws)
        says = pytest.raises(InvalidInputError, match="laws of response need the click model")
        with nullcontext() if is_known else says:
            World(dataset, users, items, TARGETS, options, response=OtherModel())
    with pytest.raises(InvalidInputError, match=r"LawOptions.ceiling must be at least 0.5"):
        LawOptions(ceiling=0.4)
