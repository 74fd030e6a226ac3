"""Uplift from sums alone: by hand for ten users a group, and how many users an effect needs."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.measurement.student import student_quantile
from proactrec.measurement.sums import Sums
from proactrec.measurement.uplift import (
    detectable_effect,
    held_out_users,
    uplift,
    users_to_hold_out,
)
from proactrec.types import FloatArray

HR = [("hr", 20)]


def group(start: int, accepted: FloatArray) -> Sums:
    """Users from a number on, of five shown items each."""
    users = np.arange(start, start + len(accepted))
    return Sums.of_users(users, accepted[:, None], np.full((len(accepted), 1), 5.0))


GUIDED = group(0, np.array([5.0, 3] * 5))  # shares 1 and 0.6
PLAIN = group(10, np.array([0.0, 1] * 10))  # shares 0 and 0.2


def test_difference_of_two_groups_by_hand() -> None:
    (found,) = uplift(GUIDED, PLAIN, HR)
    assert (found.metric, found.round, found.n_users) == ("hr", 20, (10, 20))
    assert (found.guided, found.held_out) == pytest.approx((0.8, 0.1))
    # Every share is 0.2, or 0.1, from its mean.
    variance = 10 * 0.2**2 / 9, 20 * 0.1**2 / 19
    assert found.deviations == pytest.approx((variance[0] ** 0.5, variance[1] ** 0.5))
    parts = variance[0] / 10, variance[1] / 20
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 9 + parts[1] ** 2 / 19)
    margin = student_quantile(0.975, np.array(freedom)) * sum(parts) ** 0.5
    assert found.difference == pytest.approx((0.7, 0.7 - margin, 0.7 + margin))
    assert found.detectable == pytest.approx(2.8016 * sum(parts) ** 0.5, rel=1e-4)


def test_rows_of_a_user_count_as_one_user() -> None:
    """In any number of parts: each target apart, as SQL may give them."""
    halves = Sums(GUIDED.user_idx, GUIDED.target_idx + 3, *(x / 2 for x in values(GUIDED)))
    others = Sums(GUIDED.user_idx, GUIDED.target_idx + 8, *(x / 2 for x in values(GUIDED)))
    assert uplift(Sums.together([halves, others]), PLAIN, HR) == uplift(GUIDED, PLAIN, HR)


def values(sums: Sums) -> tuple[FloatArray, FloatArray]:
    return sums.numerator, sums.denominator


def test_a_covariate_that_says_all_takes_the_spread_away() -> None:
    """Shares rise by 0.04 a step of a covariate that differs between the groups by chance."""
    step = np.concatenate([np.arange(12.0), np.arange(20.0)])[:, None]
    guided, plain = group(0, 1 + 0.2 * step[:12, 0]), group(12, 0.2 * step[12:, 0])
    (bare,), (adjusted,) = (uplift(guided, plain, HR, covariates=x) for x in (None, step))
    assert bare.difference.mean == pytest.approx(0.2 + 0.04 * (5.5 - 9.5))
    assert adjusted.difference == pytest.approx((0.2, 0.2, 0.2))


def test_users_who_are_all_alike_say_nothing_of_chance() -> None:
    """Nobody took a target: that is no proof of a difference of exactly 0."""
    nothing = group(0, np.zeros(12)), group(12, np.zeros(20))
    everything = group(0, np.full(12, 5.0)), group(12, np.full(20, 5.0))
    for guided, plain in (nothing, everything, (nothing[0], everything[1])):
        for covariates in (None, np.arange(32.0)[:, None]):
            (found,) = uplift(guided, plain, HR, covariates=covariates)
            assert found.difference.mean == pytest.approx(found.guided - found.held_out)
            assert not found.has_interval
            assert np.isnan(found.difference[1:]).all()
            assert found.detectable is None


def test_one_group_in_which_users_differ_is_enough_for_an_interval() -> None:
    (found,) = uplift(GUIDED, group(10, np.zeros(20)), HR)
    assert found.has_interval
    assert found.difference.low < found.difference.mean < found.difference.high
    both = Sums.beside([GUIDED, group(0, np.zeros(10))])
    plain = Sums.beside([PLAIN, group(10, np.zeros(20))])
    first, second = uplift(both, plain, [*HR, ("target_accepted", 20)])
    assert (first.has_interval, second.has_interval) == (True, False)


def test_power_by_hand() -> None:
    assert detectable_effect((1.0, 2.0), (100, 400)) == pytest.approx(2.8016 * 0.02**0.5, rel=1e-4)
    assert users_to_hold_out(10.0, (1.0, 1.0), 100) == 10  # never fewer than a group needs
    assert users_to_hold_out(0.01, (1.0, 1.0), 100) is None
    fewest = users_to_hold_out(0.3, (1.0, 1.0), 1000)
    assert fewest is not None
    assert detectable_effect((1.0, 1.0), (1000 - fewest, fewest)) <= 0.3
    assert detectable_effect((1.0, 1.0), (1001 - fewest, fewest - 1)) > 0.3


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: uplift(GUIDED, GUIDED, HR), "no user in common, got 10, first [0, 1, 2]"),
    (lambda: held_out_users(np.arange(5), 1.0), "share must be inside (0, 1), got 1.0"),
    (
        lambda: uplift(GUIDED, group(10, np.ones(6)), HR),
        "held_out must have at least 10 users, got 6",
    ),
    (
        lambda: uplift(GUIDED, PLAIN, HR, covariates=np.ones((5, 1))),
        "covariates must be finite, (n_all_users, n_covariates) with 30 users or more, got shape",
    ),
    (
        lambda: users_to_hold_out(0.0, (1.0, 1.0), 100),
        "effect must be a finite number other than 0, got 0",
    ),
    (lambda: users_to_hold_out(np.nan, (1.0, 1.0), 100), "other than 0, got nan"),
    (lambda: users_to_hold_out(np.inf, (1.0, 1.0), 100), "other than 0, got inf"),
    (
        lambda: users_to_hold_out(0.1, (0.0, 0.0), 100),
        "deviations must be above 0 in one group, got 0 and 0",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_gets_a_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        call()
