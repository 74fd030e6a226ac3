"""Thresholds: where the best share of what may be shown begins."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.retrieval.thresholds import least_of_best

NOT = -math.inf


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.1, [9.0, 5.0]),  # at least the first
        (0.2, [9.0, 5.0]),
        (0.21, [7.0, 5.0]),
        (0.4, [7.0, 5.0]),
        (0.5, [4.0, 5.0]),
        (0.51, [4.0, 1.0]),
        (1.0, [2.0, 1.0]),
    ],
)
def test_thresholds_by_hand(share: float, expected: list[float]) -> None:
    """Five items may be shown to the first user, two to the second: n · share, rounded up."""
    scores = torch.tensor([[NOT, 4, 9, 2, 7, 3], [NOT, 1, NOT, 5, NOT, NOT]])
    assert least_of_best(scores, share)[:, 0].tolist() == expected


def test_a_share_that_is_a_whole_number_but_for_rounding_is_that_number() -> None:
    """30 × 0.1 is a hair above 3."""
    scores = torch.arange(30.0)[None]
    assert least_of_best(scores, 0.1).tolist() == [[27.0]]


def test_equal_scores_pass_together_and_nothing_left_passes_nothing() -> None:
    scores = torch.tensor([[NOT, 5, 5, 5, 1], [NOT] * 5])
    found = least_of_best(scores, 0.5)
    assert ((scores >= found) & (scores > NOT)).sum(1).tolist() == [3, 0]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.floats(0.01, 1), st.integers(1, 12))
def test_as_many_pass_as_a_sorted_list_says(seed: int, share: float, n_items: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores = torch.rand(4, n_items + 1, generator=rng)
    scores[torch.rand(scores.shape, generator=rng) < 0.3] = NOT
    scores[:, 0] = NOT
    least = least_of_best(scores, share)
    for row, floor in zip(scores.tolist(), least[:, 0].tolist(), strict=True):
        allowed = sorted((x for x in row if x > NOT), reverse=True)
        n_best = max(1, math.ceil(len(allowed) * share - 1e-9))
        assert floor == (allowed[n_best - 1] if allowed else NOT)
