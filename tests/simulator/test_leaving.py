"""Users who leave by chance: how many, by what luck, and what becomes of them."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.simulator.environment import Environment
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import MOST_LEAVING, World, WorldOptions

from .test_environment import ALWAYS, NEVER, TARGETS, Vectors, begun, strangers, world_of

N_PAIRS = 1500


def crowd(world: World, n_rounds: int = 6) -> Environment:
    """The same users over and over, each time with another luck."""
    rows = np.arange(N_PAIRS)
    users = rows % len(world.user_vectors)
    environment = Environment(world)
    environment.reset(users, np.full(N_PAIRS, 11), n_rounds=n_rounds, seeds=rows)
    return environment


def staying(environment: Environment, items: list[int]) -> torch.Tensor:
    """Who is there before the first round, and after each with one of these items."""
    told = [~environment.has_left]
    for item in items:
        environment.step(torch.full((N_PAIRS,), item))
        told.append(~environment.has_left)
    return torch.stack(told)


@pytest.mark.parametrize(
    ("response", "item", "share"),
    [(ALWAYS, 2, 0.1), (NEVER, 2, 0.3), (NEVER, 0, 0.1)],
    ids=["accepted", "refused", "nothing shown"],
)
def test_of_those_who_are_there_the_share_leaves_every_round(
    dataset: Dataset, vectors: Vectors, response: DistributionResponse, item: int, share: float
) -> None:
    world = world_of(dataset, vectors, response, leaving=0.1, leaving_refused=0.3)
    there = staying(crowd(world), [item] * 6)
    assert there[0].all()
    for before, after in pairwise(there):
        n = int(before.sum())
        deviation = math.sqrt(share * (1 - share) / n)
        left = int((before & ~after).sum()) / n
        assert left == pytest.approx(share, abs=4 * deviation)
        assert not (after & ~before).any()  # nobody comes back


def test_without_a_share_after_refusals_it_is_the_other_one(
    dataset: Dataset, vectors: Vectors
) -> None:
    told = [
        staying(crowd(world_of(dataset, vectors, response, leaving=0.2)), [2] * 5)
        for response in (ALWAYS, NEVER)
    ]
    assert torch.equal(*told)
    assert not told[0][-1].all()


def test_the_luck_of_leaving_is_the_same_whatever_is_shown(
    dataset: Dataset, vectors: Vectors
) -> None:
    world = world_of(dataset, vectors, leaving=0.2, frailty=1.0)
    told = [staying(crowd(world), items) for items in ([2, 3, 5, 7, 8], [8, 2, 11, 0, 1])]
    assert torch.equal(*told)
    assert 0.1 < told[0][-1].double().mean() < 0.8


def test_it_is_a_luck_of_its_own_and_changes_no_answer_before(
    dataset: Dataset, vectors: Vectors
) -> None:
    usual, leaving = (crowd(world_of(dataset, vectors, leaving=x)) for x in (0.0, 0.3))
    for item in (2, 3, 5):
        was_there = ~leaving.has_left
        items = torch.full((N_PAIRS,), item)
        expected, found = usual.step(items), leaving.step(items)
        assert torch.equal(found.accepted[was_there], expected.accepted[was_there])
        assert not found.accepted[~was_there].any()
        left, accepted = leaving.has_left[was_there], found.accepted[was_there]
        shares = [left[accepted == x].double().mean().item() for x in (True, False)]
        n = min(int(accepted.sum()), int((~accepted).sum()))
        assert shares[0] == pytest.approx(shares[1], abs=4 * math.sqrt(2 * 0.21 / n))
    assert not usual.has_left.any()


def test_who_leaves_after_an_acceptance_would_after_a_refusal(
    dataset: Dataset, vectors: Vectors
) -> None:
    accepted, refused = (
        staying(crowd(world_of(dataset, vectors, x, leaving=0.05, leaving_refused=0.25)), [2] * 4)
        for x in (ALWAYS, NEVER)
    )
    assert not (refused & ~accepted).any()
    assert (accepted & ~refused)[-1].sum() > 0.3 * N_PAIRS


def test_factors_of_users_have_mean_one_and_the_variance_that_was_asked_for(
    dataset: Dataset, vectors: Vectors
) -> None:
    """Gamma: an excess kurtosis of six variances."""
    users, variance, options = torch.arange(dataset.n_users), 0.5, {"frailty": 0.5, "leaving": 1e-3}
    drawn = torch.cat(
        [
            World(
                dataset, *vectors, TARGETS, WorldOptions(**options), seed=seed, response=ALWAYS
            ).leaving(users)
            for seed in range(300)
        ]
    )
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    factors, n = drawn[:, 0] / 1e-3, len(drawn)
    assert factors.mean().item() == pytest.approx(1, abs=4 * math.sqrt(variance / n))
    spread = variance * math.sqrt((2 + 6 * variance) / n)
    assert factors.var().item() == pytest.approx(variance, abs=4 * spread)
    assert (factors > 0).all()


def test_factors_count_after_both_answers_and_make_nobody_leave_surely(
    dataset: Dataset, vectors: Vectors
) -> None:
    users = torch.arange(dataset.n_users)
    options: dict[str, Any] = {"frailty": 2.0, "leaving": 0.2, "leaving_refused": 0.6}
    found = world_of(dataset, vectors, **options).leaving(users)
    assert found.max() == MOST_LEAVING
    free = (found < MOST_LEAVING).all(1)
    torch.testing.assert_close(found[free, 1], 3 * found[free, 0])
    plain = world_of(dataset, vectors, leaving=0.2).leaving(users)
    assert (plain == 0.2).all()


def test_who_left_is_shown_nothing_and_stays_as_they_were(
    dataset: Dataset, vectors: Vectors
) -> None:
    environment = crowd(world_of(dataset, vectors, ALWAYS, leaving=0.3))
    environment.step(torch.full((N_PAIRS,), 2))
    left, before = environment.has_left.clone(), environment.user_vectors.clone()
    assert 0.2 < left.double().mean() < 0.4
    feedback = environment.step(torch.full((N_PAIRS,), 3))
    assert not feedback.accepted[left].any()
    assert not feedback.item_idx[left].any()
    assert feedback.accept_prob[left].isnan().all()
    assert torch.equal(environment.user_vectors[left], before[left])
    assert feedback.accepted[~left].all()
    moves = ~left & ~environment.is_owner
    assert (environment.user_vectors != before).any(1)[moves].all()
    assert environment.has_left[left].all()


def test_patience_and_leaving_go_together(dataset: Dataset, vectors: Vectors) -> None:
    """Whoever is not gone by chance leaves after two refusals in a row."""
    patient, both = (
        crowd(world_of(dataset, vectors, NEVER, leaving=0.2, patience=patience))
        for patience in (None, 2)
    )
    told = [staying(environment, [2, 3]) for environment in (patient, both)]
    assert torch.equal(told[0][1], told[1][1])
    assert told[0][2].any()
    assert not told[1][2].any()


def test_oracles_know_each_users_chance_of_leaving(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors, leaving=0.05, leaving_refused=0.1, frailty=1.0)
    users = strangers(dataset, 11, 6)
    environment = begun(world, users, [11] * 6)
    expected = world.leaving(torch.tensor(users))
    assert expected[:, 0].unique().numel() == 6
    minds = environment.minds()
    torch.testing.assert_close(minds.leaving.double(), expected)
    torch.testing.assert_close(minds.accepting(torch.full((6,), 2)).leaving.double(), expected)
    assert minds.rounds_left == 6
    environment.step(torch.full((6,), 2))
    assert environment.minds().rounds_left == 5
