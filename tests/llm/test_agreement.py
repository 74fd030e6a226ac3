"""Figures of chances: against brute force, by hand, and against answers known in advance."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from proactrec.llm.agreement import (
    Bootstrap,
    agreement,
    auc,
    balanced_accuracy,
    bins,
    brier_score,
    calibration_error,
    correlation,
    kappa,
    mean,
    mid_ranks,
    rank_correlation,
)
from proactrec.types import BoolArray, FloatArray

N = 60
Figure = Callable[[FloatArray, FloatArray, BoolArray, FloatArray], float]
FIGURES: dict[str, Figure] = {
    "mean": lambda a, b, is_real, weight: mean(a, weight),
    "accuracy": lambda a, b, is_real, weight: balanced_accuracy(a, is_real, weight),
    "auc": lambda a, b, is_real, weight: auc(a, is_real, weight),
    "correlation": lambda a, b, is_real, weight: correlation(a, b, weight),
    "rank correlation": lambda a, b, is_real, weight: rank_correlation(a, b, weight),
    "kappa": lambda a, b, is_real, weight: kappa(a >= 0.5, b >= 0.5, weight),
    "brier": lambda a, b, is_real, weight: brier_score(a, is_real, weight),
    "calibration": lambda a, b, is_real, weight: calibration_error(a, is_real, weight),
}


@pytest.fixture
def rows() -> tuple[FloatArray, FloatArray, BoolArray]:
    """Two chances with ties, and what is real."""
    rng = np.random.default_rng(3)
    first = rng.integers(0, 12, N) / 11
    return first, np.clip(first + rng.normal(0, 0.3, N), 0, 1).round(1), rng.random(N) < 0.4


def test_auc_is_the_share_of_pairs_in_the_right_order(
    rows: tuple[FloatArray, FloatArray, BoolArray],
) -> None:
    chance, _, is_real = rows
    pairs = list(itertools.product(chance[is_real], chance[~is_real]))
    wanted = sum((real > other) + (real == other) / 2 for real, other in pairs) / len(pairs)
    assert auc(chance, is_real, np.ones(N)) == pytest.approx(wanted)
    assert auc(1 - chance, is_real, np.ones(N)) == pytest.approx(1 - wanted)


@pytest.mark.parametrize("name", FIGURES)
def test_a_weight_is_a_number_of_times(
    name: str, rows: tuple[FloatArray, FloatArray, BoolArray]
) -> None:
    times = np.random.default_rng(5).integers(0, 4, N)
    repeated = [np.repeat(values, times) for values in rows]
    wanted = FIGURES[name](*repeated, np.ones(times.sum()))
    assert FIGURES[name](*rows, times.astype(float)) == pytest.approx(wanted)


def test_mid_ranks_are_mean_places_of_equals() -> None:
    assert mid_ranks(np.array([3.0, 1.0, 3.0, 2.0]), np.ones(4)).tolist() == [3.5, 1, 3.5, 2]
    # 1, 2, 2, 2, 3: the three 2s stand at places 2 to 4
    assert mid_ranks(np.array([2.0, 1.0, 3.0]), np.array([3.0, 1, 1])).tolist() == [3, 1, 5]


def test_spearman_by_hand_and_pearson_by_numpy(
    rows: tuple[FloatArray, FloatArray, BoolArray],
) -> None:
    first, second = np.array([0.1, 0.4, 0.2, 0.9]), np.array([10.0, 2000, 300, 4])
    # ranks 1 3 2 4 and 2 4 3 1: squared differences 1 + 1 + 1 + 9
    assert rank_correlation(first, second, np.ones(4)) == pytest.approx(1 - 6 * 12 / (4 * 15))
    a, b, _ = rows
    assert correlation(a, b, np.ones(N)) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_kappa_by_hand() -> None:
    # Both yes 20, only the first 5, only the second 10, both no 15: 0.7 agree, 0.5 expected.
    first = np.repeat([True, True, False, False], [20, 5, 10, 15])
    second = np.repeat([True, False, True, False], [20, 5, 10, 15])
    assert kappa(first, second, np.ones(50)) == pytest.approx(0.4)
    assert kappa(first, first, np.ones(50)) == 1


def test_accuracy_is_balanced_and_errors_are_squared() -> None:
    chance, is_real = np.array([0.9, 0.2, 0.5, 0.1, 0.1]), np.array([1, 1, 0, 0, 0], bool)
    assert balanced_accuracy(chance, is_real, np.ones(5)) == pytest.approx((1 / 2 + 2 / 3) / 2)
    squares = 0.1**2 + 0.8**2 + 0.5**2 + 0.1**2 + 0.1**2
    assert brier_score(chance, is_real, np.ones(5)) == pytest.approx(squares / 5)


def test_calibration_error_by_hand() -> None:
    chance, is_real = np.array([0.0, 0.05, 0.31, 0.39, 1.0]), np.array([0, 1, 1, 1, 1], bool)
    assert bins(chance).tolist() == [0, 0, 3, 3, 9]
    wanted = (2 * abs(0.025 - 0.5) + 2 * abs(0.35 - 1) + 0) / 5
    assert calibration_error(chance, is_real, np.ones(5)) == pytest.approx(wanted)


def test_calibrated_chances_are_found_calibrated_and_overconfident_ones_not() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(20_000)
    is_real = rng.random(20_000) < true
    # Each bin of 2,000 is off by about sqrt(0.25 / 2000) = 0.011 at most.
    assert calibration_error(true, is_real, np.ones(20_000)) < 0.012
    assert brier_score(true, is_real, np.ones(20_000)) == pytest.approx(1 / 6, abs=0.005)
    bold = np.clip(0.5 + 2 * (true - 0.5), 0, 1)
    # Gaps of |true - 0.5|, cut at 0 and 1: a mean of 1/8.
    assert calibration_error(bold, is_real, np.ones(20_000)) == pytest.approx(1 / 8, abs=0.01)


def test_what_is_not_defined_is_none() -> None:
    bootstrap, same = Bootstrap(np.arange(4)), np.full(4, 0.7)
    found = agreement(same, np.array([0.1, 0.2, 0.8, 0.9]), bootstrap)
    assert found["correlation"] == {"mean": None, "low": None, "high": None}
    assert found["kappa"]["mean"] == 0
    assert agreement(same, same, bootstrap)["kappa"]["mean"] is None
    assert math.isnan(auc(same, np.ones(4, bool), np.ones(4)))
    assert math.isnan(mean(same, np.zeros(4)))


def test_intervals_draw_users_with_all_their_rows() -> None:
    values = np.random.default_rng(1).normal(size=400)
    alone = Bootstrap(np.arange(400))(lambda weight: mean(values, weight))
    half = alone["high"] - alone["low"]  # type: ignore[operator]
    assert half / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    # Ten rows a user that say the same are one row: the interval stays as wide.
    tenfold = Bootstrap(np.repeat(np.arange(400), 10))(
        lambda weight: mean(np.repeat(values, 10), weight)
    )
    assert tenfold == pytest.approx(alone)
