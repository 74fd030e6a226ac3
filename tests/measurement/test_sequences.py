"""Bounds that hold at every look: how often they are wrong, and what they find."""

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from proactrec.errors import InvalidInputError
from proactrec.measurement.sequences import LEAST, Moments, at_least, difference_at_least

ALPHA, N_TRIALS = 0.05, 300
LOOKS = range(40, 3001, 40)


def alarms(held_out: float, guided: float, share: float, *, tolerated: float = 0.0) -> float:
    """How often guided users are ever found worse, of many campaigns looked at all the time."""
    rng = np.random.default_rng(0)
    found = [
        is_alarmed(rng.random(3000) < share, rng.random((2, 3000)), held_out, guided, tolerated)
        for _ in range(N_TRIALS)
    ]
    return float(np.mean(found))


def is_alarmed(
    is_held_out: NDArray[np.bool_],
    luck: NDArray[np.float64],
    held_out: float,
    guided: float,
    tolerated: float,
) -> bool:
    answers = (luck < np.where(is_held_out, held_out, guided)).mean(0)  # two answers of each user
    for n in LOOKS:
        out, own = (moments(answers[:n][is_held_out[:n] == one]) for one in (True, False))
        if difference_at_least(out, own, alpha=ALPHA) > tolerated:
            return True
    return False


def moments(values: NDArray[np.float64]) -> Moments:
    return Moments.of_shares(len(values), float(values.sum()), float((values**2).sum()))


@pytest.mark.parametrize(("rate", "share"), [(0.5, 0.1), (0.5, 0.5), (0.03, 0.1), (0.97, 0.3)])
def test_false_alarms_stay_below_alpha_however_often_one_looks(rate: float, share: float) -> None:
    # 300 trials at 5 %: the standard error is 1.3 %.
    assert alarms(rate, rate, share) <= ALPHA + 2 * 0.013


def test_a_fixed_interval_would_be_wrong_far_more_often() -> None:
    rng, n_wrong = np.random.default_rng(0), 0
    for _ in range(N_TRIALS):
        answers = rng.random((2, 1500)) < 0.5
        for n in range(20, 1501, 20):
            one, other = answers[:, :n].mean(1)
            if one - other > 1.645 * math.sqrt(0.5 / n):
                n_wrong += 1
                break
    assert n_wrong / N_TRIALS > 4 * ALPHA


def test_a_real_loss_is_found() -> None:
    assert alarms(0.5, 0.3, 0.1) > 0.95


def test_a_loss_that_is_borne_raises_no_alarm() -> None:
    assert alarms(0.5, 0.4, 0.3, tolerated=0.1) <= ALPHA + 2 * 0.013


def test_a_share_that_is_too_high_is_found_and_one_that_is_not_is_not() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(5000) < 0.3).astype(float)
    bounds = [at_least(moments(values[:n]), alpha=ALPHA) for n in range(50, 5001, 50)]
    assert max(bounds) < 0.3
    assert bounds[-1] > 0.25


def test_bounds_of_more_users_are_closer() -> None:
    one, more = (
        difference_at_least(Moments(n, 0.6, 0.2), Moments(n, 0.5, 0.2), alpha=ALPHA)
        for n in (500, 5000)
    )
    assert one < more < 0.1


def test_nothing_is_said_of_few_users() -> None:
    few, many = Moments(LEAST - 1, 1.0, 0.1), Moments(1000, 0.0, 0.1)
    assert difference_at_least(few, many, alpha=ALPHA) == -math.inf
    assert at_least(few, alpha=ALPHA) == -math.inf
    assert at_least(Moments.of_shares(0, 0, 0), alpha=ALPHA) == -math.inf


def test_users_who_are_all_alike_still_have_a_spread() -> None:
    alike = Moments.of_shares(40, 0, 0)
    assert alike == Moments(40, 0, 0.25 / 40)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_alpha_is_a_chance(alpha: float) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f"alpha must be in (0, 1), got {alpha}")):
        at_least(Moments(100, 0, 1), alpha=alpha)
