"""Bootstrap intervals: where they lie, how often they hold, that they repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.evaluation.statistics import Estimate, bootstrap_weights, ratio_estimates


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
    found = ratio_estimates(top, bottom, weights)
    assert found[0] == pytest.approx((1, 0.5 + 0.025 * 2 * 0.5, 1.5 - 0.025 * 2 * 0.5))
    assert found[1] == (0, 0, 0)  # nothing below the line


def test_estimate_is_written_by_name() -> None:
    assert Estimate(1.0, 0.5, 2.0).as_dict() == {"mean": 1.0, "low": 0.5, "high": 2.0}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 60))
def test_interval_holds_the_mean(seed: int, n_users: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, (n_users, 1)).astype(float)
    values = rng.normal(size=(n_users, 1)) * counts
    (found,) = ratio_estimates(values, counts, bootstrap_weights(n_users, n_draws=400))
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(values.sum() / counts.sum())


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """400 data sets of 80 users whose true ratio is 0.3: 95 % ± 4 standard errors, a bit fewer."""
    rng, n_users, n_sets = np.random.default_rng(0), 80, 400
    offers = rng.integers(5, 21, (n_users, n_sets)).astype(float)
    accepted = rng.binomial(offers.astype(int), 0.3).astype(float)
    found = ratio_estimates(accepted, offers, bootstrap_weights(n_users, n_draws=500))
    covered = np.mean([e.low <= 0.3 <= e.high for e in found])
    error = 4 * np.sqrt(0.95 * 0.05 / n_sets)
    assert 0.95 - 0.02 - error < covered < 0.95 + error


def test_interval_narrows_with_the_root_of_the_number_of_users() -> None:
    rng = np.random.default_rng(0)
    width = []
    for n_users in (100, 1600):
        (e,) = ratio_estimates(
            rng.normal(size=(n_users, 1)), np.ones((n_users, 1)), bootstrap_weights(n_users)
        )
        width.append(e.high - e.low)
    assert width[0] / width[1] == pytest.approx(4, rel=0.25)
