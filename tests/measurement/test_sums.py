"""Sums per user: added from any parts, by hand, and the same values whichever way they came."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.measurement.bootstrap import bootstrap_weights, ratio_estimates
from proactrec.measurement.comparison import paired_differences
from proactrec.measurement.entropy import entropy
from proactrec.measurement.ratios import linearised, ratio
from proactrec.measurement.sums import Sums
from proactrec.measurement.uplift import uplift

# User 7 with targets 3 and 5, user 4 with target 3: two figures.
ROWS = Sums(
    np.array([7, 4, 7]),
    np.array([3, 3, 5]),
    np.array([[1.0, 0.5], [2, 0.25], [3, -1]]),
    np.array([[4.0, 1], [4, 1], [2, 1]]),
)


def rows_of(seed: int, n_users: int = 24, n_targets: int = 3, n_figures: int = 2) -> Sums:
    """Sums that are exact in floating point, so that the order of adding is all one."""
    rng = np.random.default_rng(seed)
    user, target = (axis.ravel() for axis in np.mgrid[:n_users, :n_targets])
    shape = (len(user), n_figures)
    top, bottom = rng.integers(-8, 9, shape) / 4, rng.integers(1, 5, shape).astype(float)
    order = rng.permutation(len(user))
    return Sums(user, target, top, bottom).of(order)


def test_rows_of_a_user_add_up_by_hand() -> None:
    users = ROWS.by_user()
    assert users.user_idx.tolist() == [4, 7]
    assert users.target_idx.tolist() == [0, 0]
    assert users.numerator.tolist() == [[2, 0.25], [4, -0.5]]
    assert users.denominator.tolist() == [[4, 1], [6, 2]]


def test_crossed_rows_stand_at_their_user_and_target() -> None:
    top, bottom = ROWS.crossed(np.array([4, 5, 7]), np.array([3, 5]))
    assert top[:, :, 0].tolist() == [[2, 0], [0, 0], [1, 3]]
    assert bottom[:, :, 0].tolist() == [[4, 0], [0, 0], [4, 2]]


def test_parts_come_together_by_rows_and_beside_each_other_by_figures() -> None:
    twice = Sums.together([ROWS, ROWS]).by_user()
    assert twice.numerator.tolist() == [[4, 0.5], [8, -1]]
    beside = Sums.beside([ROWS, ROWS]).by_user()
    assert beside.numerator.tolist() == [[2, 0.25, 2, 0.25], [4, -0.5, 4, -0.5]]


def test_scores_of_users_by_hand() -> None:
    value, scores = linearised(ROWS.by_user())
    assert value.tolist() == pytest.approx([6 / 10, -0.25 / 3])
    # (a - R s) / mean of s, with R = 3/5 and a mean of 5.
    wanted = [(2 - Fraction(3, 5) * 4) / 5, (4 - Fraction(3, 5) * 6) / 5]
    assert scores[:, 0].tolist() == pytest.approx([float(score) for score in wanted])
    assert scores.sum(0) == pytest.approx([0, 0])


def test_a_ratio_of_nothing_is_what_is_asked_for() -> None:
    top, bottom = np.array([1.0, 0]), np.array([2.0, 0])
    assert ratio(top, bottom).tolist() == [0.5, 0]
    assert np.isnan(ratio(top, bottom, empty=np.nan)).tolist() == [False, True]


def test_entropy_is_none_for_one_kind_and_two_bits_for_four_alike() -> None:
    assert entropy(np.array([[3.0, 0, 0, 0], [2, 2, 2, 2]])) == pytest.approx([0, 2])
    assert entropy(np.array([2.0, 1, 1])) == pytest.approx(1.5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 23))
def test_halves_of_users_added_give_the_same_as_the_whole(seed: int, n_first: int) -> None:
    """Values, intervals, comparison and uplift; halves are summed apart first, as shards would."""
    whole, other = rows_of(seed), rows_of(seed + 1)
    is_first = whole.user_idx < n_first
    halves = [whole.of(is_first).by_user(), whole.of(~is_first).by_user()]
    added, at_once = Sums.together(halves[::-1]).by_user(), whole.by_user()
    for name in ("user_idx", "numerator", "denominator"):
        np.testing.assert_array_equal(getattr(added, name), getattr(at_once, name))
    weights = bootstrap_weights(24, n_draws=50)
    assert ratio_estimates(added, weights) == ratio_estimates(at_once, weights)
    by_target = Sums.together([whole.of(~is_first), whole.of(is_first)])
    second = other.of(np.lexsort((other.target_idx, other.user_idx)))
    found = [
        paired_differences({0: {"hr": sorted_rows(one)}}, {0: {"hr": second}}, (5, 10))
        for one in (whole, by_target)
    ]
    assert found[0] == found[1]
    figures = [("hr", 5), ("hr", 10)]
    plain = Sums(other.user_idx + 24, other.target_idx, other.numerator, other.denominator)
    assert uplift(added, plain, figures) == uplift(whole, plain, figures)


def sorted_rows(sums: Sums) -> Sums:
    return sums.of(np.lexsort((sums.target_idx, sums.user_idx)))
