"""Acceptance: the formula, and worlds that mean the same on any vectors."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.simulator.response import SLOPES, DistributionResponse, calibrated_response

Vectors = tuple[torch.Tensor, torch.Tensor]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_probability_by_hand() -> None:
    response = DistributionResponse(slope=2.0, offset=0.5)
    found = response.accept_prob(torch.tensor([0.5, 1.0, -1.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.5, sigmoid(1), sigmoid(-3)])


def test_noise_is_a_percentage_and_never_leads_beyond_certainty() -> None:
    response = DistributionResponse(slope=1000.0, offset=0.0)
    interest = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    noise = torch.tensor([0.9, 0.5, 0.25], dtype=torch.float64)
    assert response.accept_prob(interest, noise).tolist() == pytest.approx([1, 0.505, 0.0025])


def test_official_world_has_the_authors_raw_values(dataset: Dataset, vectors: Vectors) -> None:
    response = calibrated_response(dataset, *vectors, world="official")
    assert response == (1.0, 0.8)
    # itmprec.md D15: bounds for unit vectors.
    bounds = response.accept_prob(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert bounds.tolist() == pytest.approx([0.1419, 0.5498], abs=1e-4)


def answer_interest(dataset: Dataset, vectors: Vectors) -> torch.Tensor:
    users, items = (x.double() for x in vectors)
    answers = dataset.answers("validation")
    who = np.flatnonzero(answers)
    return (users[who] * items[answers[who]]).sum(1)


@pytest.mark.parametrize("world", ["flat", "medium", "steep"])
@pytest.mark.parametrize("mean_accept", [0.05, 0.5, 0.9])
def test_real_next_items_are_accepted_as_often_as_wanted(
    dataset: Dataset, vectors: Vectors, world: str, mean_accept: float
) -> None:
    response = calibrated_response(dataset, *vectors, world=world, mean_accept=mean_accept)
    prob = response.accept_prob(answer_interest(dataset, vectors))
    assert prob.mean().item() == pytest.approx(mean_accept, abs=1e-6)


@pytest.mark.parametrize("world", ["flat", "medium", "steep"])
def test_slope_is_per_standard_deviation_of_random_pairs(
    dataset: Dataset, vectors: Vectors, world: str
) -> None:
    users, items = (x.double() for x in vectors)
    exact = (users @ items[1:].T).std(correction=0).item()
    response = calibrated_response(dataset, *vectors, world=world)
    # 200,000 random pairs: the relative error of a deviation is about 1 / √(2 n) = 0.0016.
    assert response.slope == pytest.approx(SLOPES[world] / exact, rel=4 * 0.0016)


@settings(deadline=None, max_examples=5)
@given(st.floats(0.1, 10))
def test_scale_of_the_vectors_changes_no_probability(
    dataset: Dataset, vectors: Vectors, scale: float
) -> None:
    users, items = vectors
    first = calibrated_response(dataset, users, items, world="steep")
    scaled = calibrated_response(dataset, scale * users.double(), items.double(), world="steep")
    interest = answer_interest(dataset, vectors)
    torch.testing.assert_close(
        scaled.accept_prob(scale * interest), first.accept_prob(interest), atol=1e-5, rtol=0
    )


def test_steeper_worlds_separate_more(dataset: Dataset, vectors: Vectors) -> None:
    interest = answer_interest(dataset, vectors)
    deviation = [
        calibrated_response(dataset, *vectors, world=world).accept_prob(interest).std().item()
        for world in ("flat", "medium", "steep")
    ]
    assert deviation == sorted(deviation)
    assert deviation[0] < 0.1 < deviation[2]


def test_impossible_calibrations_are_refused(dataset: Dataset, vectors: Vectors) -> None:
    users, items = vectors
    with pytest.raises(
        InvalidInputError, match=re.escape("mean_accept must be inside (0, 1), got 1")
    ):
        calibrated_response(dataset, users, items, world="flat", mean_accept=1)
    wanted = "interest vectors must differ between users and items"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        calibrated_response(dataset, torch.ones_like(users), torch.ones_like(items), world="medium")
