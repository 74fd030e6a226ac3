"""Arousal coefficients, by hand on three dimensions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.arousal import arousal, kept_share

# Items 1 … 4; the user at x = (1, 0, 0) likes them in the order 1 (1), 2 (.8), 3 (.6), 4 (0).
ITEMS = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0.8, 0.6, 0], [3, 0, 4], [0, 1, 0]])
USER = torch.tensor([[1.0, 0, 0]])
TARGET = torch.tensor([4])  # (0, 1, 0): cosines of items 1 … 4 with it are 0, .6, 0, 1


def coefficient(hidden: list[int], n_curious: int, user: torch.Tensor = USER) -> float:
    penalty = torch.zeros(1, 5)
    penalty[0, [0, *hidden]] = -torch.inf
    return arousal(user, ITEMS, penalty, TARGET, n_curious=n_curious).item()


@pytest.mark.parametrize(
    ("hidden", "n_curious", "expected"),
    [
        ([], 1, 0),
        ([], 2, (0 + 0.6) / 2),
        ([], 3, (0 + 0.6 + 0) / 3),
        ([], 4, (0 + 0.6 + 0 + 1) / 4),
        ([1], 1, 0.6),
        ([1], 2, (0.6 + 0) / 2),
        ([1, 3], 10, (0.6 + 1) / 2),  # fewer unseen than Q: the mean over what there is
        ([1, 2, 3], 10, 1),
        ([1, 2, 3, 4], 10, 0),  # nothing unseen
    ],
)
def test_coefficient_is_the_mean_cosine_of_favourites_to_the_target(
    hidden: list[int], n_curious: int, expected: float
) -> None:
    assert coefficient(hidden, n_curious) == pytest.approx(expected, abs=1e-6)


def test_lengths_of_vectors_do_not_matter() -> None:
    assert coefficient([], 2, 7 * USER) == pytest.approx(coefficient([], 2))


def test_inputs_are_untouched() -> None:
    user, items, penalty = USER.clone(), ITEMS.clone(), torch.zeros(1, 5)
    arousal(user, items, penalty, TARGET, n_curious=2)
    assert torch.equal(user, USER)
    assert torch.equal(items, ITEMS)
    assert penalty.abs().max() == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 20))
def test_coefficient_is_a_cosine_and_rows_are_independent(seed: int, n_curious: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    users, items = torch.randn(5, 4, generator=rng), torch.randn(12, 4, generator=rng)
    target = torch.randint(1, 12, (5,), generator=rng)
    penalty = torch.where(torch.rand(5, 12, generator=rng) < 0.5, -torch.inf, 0.0)
    penalty[:, 0] = -torch.inf
    together = arousal(users, items, penalty, target, n_curious=n_curious)
    assert (together.abs() <= 1 + 1e-6).all()
    for row in range(5):
        one = slice(row, row + 1)
        alone = arousal(users[one], items, penalty[one], target[one], n_curious=n_curious)
        torch.testing.assert_close(alone, together[one])


def test_kept_share_of_both_forms() -> None:
    beta = torch.tensor([-0.5, 0.1, 0.2, 0.7, 1.0])
    code = kept_share(beta, form="one_minus", floor=0.2)
    torch.testing.assert_close(code, torch.tensor([0.8, 0.8, 0.8, 0.3, 0.0]))
    assert torch.equal(kept_share(beta, form="literal", floor=None), beta)
    floored = torch.tensor([0.2, 0.2, 0.2, 0.7, 1.0])
    torch.testing.assert_close(kept_share(beta, form="literal", floor=0.2), floored)
    torch.testing.assert_close(kept_share(beta, form="one_minus", floor=None), 1 - beta)
