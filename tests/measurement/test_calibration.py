"""Chances against what came: sums that add up, and bounds that hold at every look."""

import numpy as np
import pytest

from proactrec.measurement.calibration import Calibration

ALPHA, N_TRIALS = 0.05, 300


def answers(n: int, seed: int, *, shift: float = 0.0) -> Calibration:
    """Users who answer again and again, each chance depending on how the last answer was."""
    rng = np.random.default_rng(seed)
    chance, accepted = np.empty(n), np.empty(n, bool)
    last = False
    for at in range(n):
        chance[at] = rng.uniform(0.1, 0.5) + 0.3 * last
        accepted[at] = last = bool(rng.random() < chance[at] + shift)
    return Calibration.of(chance, accepted)


def test_sums_add_up_and_go_through_json() -> None:
    chance, accepted = np.array([0.05, 0.55, 0.56, 1.0]), np.array([False, True, False, True])
    whole = Calibration.of(chance, accepted)
    parts = Calibration.of(chance[:1], accepted[:1]) + Calibration.of(chance[1:], accepted[1:])
    again = Calibration.of_sums(parts.as_sums())
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_allclose(one, other)
    assert whole.n.tolist() == [1, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert whole.error == pytest.approx((2 - 2.16) / 4)
    expected = -np.log([0.95, 0.55, 0.44, 1 - 1e-6]).mean()
    assert whole.log_loss == pytest.approx(expected)


def test_who_foretells_well_is_hardly_ever_accused_whenever_one_looks() -> None:
    accused = 0
    for seed in range(N_TRIALS):
        sums = Calibration.of(np.empty(0), np.empty(0, bool))
        for look in range(10):
            sums += answers(50, seed * 100 + look)
            if sums.off_by_at_least(alpha=ALPHA) > 0:
                accused += 1
                break
    assert accused <= ALPHA * N_TRIALS


def test_who_foretells_badly_is_accused_and_not_of_more_than_is_true() -> None:
    off = [answers(2000, seed, shift=0.15).off_by_at_least(alpha=ALPHA) for seed in range(20)]
    assert 0.05 < min(off) < max(off) <= 0.15


def test_chances_that_are_right_on_average_only_are_found_out() -> None:
    chance = np.repeat([0.25, 0.75], 1000)
    sums = Calibration.of(chance, np.arange(2000) % 2 == 0)
    assert sums.error == 0
    assert sums.off_by_at_least(alpha=ALPHA) > 0.15
    assert Calibration.of(np.full(20, 0.9), np.zeros(20, bool)).off_by_at_least(alpha=ALPHA) == 0
