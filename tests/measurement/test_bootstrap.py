"""Bootstrap intervals: where they lie, how often they hold, that they repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.measurement.bootstrap import (
    Estimate,
    bootstrap_weights,
    crossed_estimates,
    estimate_of,
    ratio_estimates,
)
from proactrec.measurement.sums import Sums
from proactrec.types import FloatArray


def of_users(top: FloatArray, bottom: FloatArray) -> Sums:
    return Sums.of_users(np.arange(len(top)), top, bottom)


def test_every_sample_draws_as_many_users_as_there_are() -> None:
    weights = bootstrap_weights(7, n_draws=50)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    assert (weights == np.round(weights)).all()


def test_one_seed_gives_one_set_of_samples() -> None:
    assert (bootstrap_weights(20, seed=1) == bootstrap_weights(20, seed=1)).all()
    assert (bootstrap_weights(20, seed=1) != bootstrap_weights(20, seed=2)).any()


def test_ratio_and_interval_by_hand() -> None:
    top, bottom = np.array([[1.0, 0], [3, 0]]), np.array([[2.0, 0], [2, 0]])
    # Samples: user 0 twice, one of each, user 1 twice: 1/2, 1, 3/2.
    weights = np.array([[2.0, 0], [1, 1], [0, 2]])
    found = ratio_estimates(of_users(top, bottom), weights)
    assert found[0] == pytest.approx((1, 0.5 + 0.025 * 2 * 0.5, 1.5 - 0.025 * 2 * 0.5))
    assert found[1] == (0, 0, 0)  # nothing below the line


def test_samples_without_any_denominator_count_as_0_or_are_left_out() -> None:
    users = of_users(np.array([[1.0], [0]]), np.array([[2.0], [0]]))
    weights = np.array([[2.0, 0], [1, 1], [0, 2]])  # 1/2, 1/2, nothing
    assert ratio_estimates(users, weights) == [pytest.approx((0.5, 0.025 * 2 * 0.5, 0.5))]
    assert ratio_estimates(users, weights, empty=np.nan) == [(0.5, 0.5, 0.5)]
    nobody = of_users(np.zeros((2, 1)), np.zeros((2, 1)))
    assert np.isnan(ratio_estimates(nobody, weights, empty=np.nan)).all()


def test_another_purpose_draws_other_samples() -> None:
    assert (bootstrap_weights(20) != bootstrap_weights(20, purpose="report-band")).any()


def test_any_figure_of_sums_by_hand() -> None:
    def largest(total: FloatArray) -> FloatArray:
        return np.asarray(total.max(-1))

    sums, weights = np.array([[1.0, 0], [0, 3]]), np.array([[2.0, 0], [0, 2]])
    # Both: 3; user 0 twice: 2; user 1 twice: 6.
    assert estimate_of(largest, sums, weights) == pytest.approx((3, 2 + 0.1, 6 - 0.1))


def test_estimate_is_written_by_name() -> None:
    assert Estimate(1.0, 0.5, 2.0).as_dict() == {"mean": 1.0, "low": 0.5, "high": 2.0}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 60))
def test_interval_holds_the_mean(seed: int, n_users: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, (n_users, 1)).astype(float)
    values = rng.normal(size=(n_users, 1)) * counts
    weights = bootstrap_weights(n_users, n_draws=400)
    (found,) = ratio_estimates(of_users(values, counts), weights)
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(values.sum() / counts.sum())


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """400 data sets of 80 users whose true ratio is 0.3: 95 % ± 4 standard errors, a bit fewer."""
    rng, n_users, n_sets = np.random.default_rng(0), 80, 400
    offers = rng.integers(5, 21, (n_users, n_sets)).astype(float)
    accepted = rng.binomial(offers.astype(int), 0.3).astype(float)
    weights = bootstrap_weights(n_users, n_draws=500)
    found = ratio_estimates(of_users(accepted, offers), weights)
    covered = np.mean([e.low <= 0.3 <= e.high for e in found])
    error = 4 * np.sqrt(0.95 * 0.05 / n_sets)
    assert 0.95 - 0.02 - error < covered < 0.95 + error


def test_crossed_difference_by_hand() -> None:
    first, second = np.array([[[4.0], [2]], [[0], [6]]]), np.array([[[1.0], [1]], [[1], [1]]])
    counts = np.ones((2, 2, 1))
    users, targets = np.array([[2.0, 0], [1, 1]]), np.array([[0.0, 2], [1, 1]])
    (found,) = crossed_estimates((first, counts), (second, counts), users, targets)
    # Only user 0 with target 1: 2 - 1; all four pairs: 3 - 1.
    assert found == pytest.approx((2, 1 + 0.025, 2 - 0.025))


def interval(values: FloatArray) -> Estimate:
    n_users, n_targets = values.shape
    weights = bootstrap_weights(n_users, n_draws=400), bootstrap_weights(n_targets, seed=1)[:400]
    ones = np.ones((n_users, n_targets, 1))
    (found,) = crossed_estimates((values[..., None], ones), (0 * ones, ones), *weights)
    return found


def test_crossed_interval_covers_other_users_and_other_targets() -> None:
    """300 tables of user, target and pair effects about 0: 95 % ± 4 standard errors, or more."""
    rng, n_sets = np.random.default_rng(0), 300
    covered = []
    for _ in range(n_sets):
        users, targets = rng.normal(size=(40, 1)), rng.normal(size=30)
        found = interval(users + 2 * targets + rng.normal(size=(40, 30)))
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) > 0.95 - 0.03 - 4 * np.sqrt(0.95 * 0.05 / n_sets)


def test_crossed_interval_is_wide_where_targets_differ_and_narrow_where_none_do() -> None:
    rng = np.random.default_rng(0)
    users, targets = rng.normal(size=(400, 1)), rng.normal(size=20)
    apart, alike = interval(users + 3 * targets), interval(users + 0 * targets)
    one = interval(users + 0 * targets[:1])
    assert apart.high - apart.low > 5 * (alike.high - alike.low)
    assert (alike.low, alike.high) == pytest.approx((one.low, one.high))  # users alone decide


def test_interval_narrows_with_the_root_of_the_number_of_users() -> None:
    rng = np.random.default_rng(0)
    width = []
    for n_users in (100, 1600):
        users = of_users(rng.normal(size=(n_users, 1)), np.ones((n_users, 1)))
        (e,) = ratio_estimates(users, bootstrap_weights(n_users))
        width.append(e.high - e.low)
    assert width[0] / width[1] == pytest.approx(4, rel=0.25)
