"""Training losses by hand."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.encoders.losses import contrast, full_cross_entropy, sampled_binary_loss
from proactrec.errors import InvalidInputError


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_binary_loss_by_hand_ignores_positions_without_an_answer() -> None:
    items = torch.tensor([[0.0, 0], [1, 0], [0, 1], [2, 2]])
    states = torch.tensor([[[9.0, 9], [1, 2]], [[-1, 0], [0.5, 0]]])
    answer = torch.tensor([[0, 1], [3, 2]])
    negative = torch.tensor([[1, 2], [1, 3]])
    # (answer score, negative score) of the three real positions:
    scores = [(1, 2), (-2, -1), (0, 1)]
    expected = sum(-math.log(sigmoid(p)) - math.log(1 - sigmoid(n)) for p, n in scores) / 3
    loss = sampled_binary_loss(states, answer, negative, items)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_binary_loss_stays_finite_for_large_scores() -> None:
    items = torch.tensor([[0.0], [1.0], [-1.0]])
    states = torch.tensor([[[-1000.0]]], requires_grad=True)
    loss = sampled_binary_loss(states, torch.tensor([[1]]), torch.tensor([[2]]), items)
    loss.backward()
    assert loss.item() == pytest.approx(2000)
    assert torch.isfinite(states.grad).all()


def test_cross_entropy_of_too_many_items_is_refused_by_its_real_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proactrec.encoders.losses.MOST_SCORES", 10)
    states, items = torch.zeros(2, 3, 4), torch.zeros(6, 4)
    answer = torch.tensor([[0, 0, 1], [0, 0, 5]])
    assert full_cross_entropy(states, answer, items).item() == pytest.approx(math.log(5))
    wanted = "at most 10 times in a batch, got 3 answers × 5 items: take next_item_loss='sampled'"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        full_cross_entropy(states, torch.tensor([[0, 2, 1], [0, 0, 5]]), items)


def naive_contrast(x: np.ndarray, y: np.ndarray, same: np.ndarray | None = None) -> float:
    """Every view against all others of both kinds, one row at a time."""
    n, both = len(x), np.concatenate([x, y])
    total = 0.0
    for row in range(2 * n):
        partner = (row + n) % (2 * n)
        others = [
            k
            for k in range(2 * n)
            if k == partner or (k != row and (same is None or not same[row % n, k % n]))
        ]
        logits = both[others] @ both[row]
        total += math.log(np.exp(logits).sum()) - both[partner] @ both[row]
    return total / (2 * n)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6), st.booleans())
def test_contrast_equals_plain_numpy(seed: int, n: int, with_same: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n, 3))
    intents = rng.integers(0, 2, n)
    same = intents[:, None] == intents[None, :] if with_same else None
    ours = contrast(
        torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(same) if with_same else None
    )
    assert ours.item() == pytest.approx(naive_contrast(x, y, same))


def test_contrast_of_two_by_hand() -> None:
    x, y = torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0], [1.0]])
    e = math.exp
    rows = [
        math.log(e(2) + e(1) + e(0)) - 2,  # x₁: partner y₁ = 2; others y₂, x₂
        math.log(3) - 0,  # x₂ = 0: all products are 0
        math.log(e(2) + e(0) + e(2)) - 2,  # y₁: partner x₁; others x₂, y₂
        math.log(e(0) + e(1) + e(2)) - 0,  # y₂: partner x₂; others x₁, y₁
    ]
    assert contrast(x, y).item() == pytest.approx(sum(rows) / 4)


def test_clear_views_cost_nothing() -> None:
    x = 10 * torch.eye(6)
    assert contrast(x, x).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_one_shared_intent_costs_at_least_the_log_of_the_batch(n: int) -> None:
    views = torch.randn(n, 5, generator=torch.Generator().manual_seed(n))
    centre = torch.nn.functional.normalize(torch.ones(1, 5)).expand(n, 5)
    assert contrast(views, centre).item() >= math.log(n)
