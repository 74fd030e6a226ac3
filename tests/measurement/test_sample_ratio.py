"""Whether users came to arms as was meant: exact values, other software, how often it is wrong."""

import math

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.measurement.sample_ratio import ALPHA, CONCENTRATION, p_value

SHARES = {"out": 0.2, "in": 0.8}


def test_a_few_users_by_hand() -> None:
    # One user of each: E = k p₁ · k p₂ / (k (k + 1)) / (p₁ p₂) = k / (k + 1), below 1.
    assert p_value([(SHARES, {"out": 1, "in": 1})]) == 1.0
    # Three of the smaller arm: Π (k p + j) / (k + j) / p
    k = CONCENTRATION
    factor = math.prod((0.2 * k + j) / (k + j) / 0.2 for j in range(3))
    assert p_value([(SHARES, {"out": 3})]) == pytest.approx(1 / factor)


def test_epochs_multiply() -> None:
    one, other = (SHARES, {"out": 300, "in": 900}), ({"out": 0.5, "in": 0.5}, {"in": 40, "out": 9})
    both = p_value([one]) * p_value([other])
    assert p_value([one, other]) == pytest.approx(both)


def test_who_was_to_be_in_no_arm_is_a_broken_split() -> None:
    assert p_value([({"out": 0.0, "in": 1.0}, {"out": 1, "in": 99})]) == 0
    assert p_value([({"out": 0.0, "in": 1.0}, {"in": 99})]) == 1
    assert p_value([]) == 1


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(InvalidInputError, match=r"shares must sum to 1, got \{'in': 0.8\}"):
        p_value([({"in": 0.8}, {"in": 3})])


def test_a_sound_split_is_hardly_ever_accused_and_a_broken_one_is() -> None:
    rng = np.random.default_rng(0)
    looks = np.arange(50, 5001, 50)

    def accused(drawn: float, n_trials: int) -> float:
        found = 0
        for _ in range(n_trials):
            out = (rng.random(5000) < drawn).cumsum()[looks - 1]
            counts = ({"out": int(k), "in": int(n - k)} for k, n in zip(out, looks, strict=True))
            found += min(p_value([(SHARES, one)]) for one in counts) < ALPHA
        return found / n_trials

    assert accused(0.2, 300) <= 1 / 300
    assert accused(0.25, 50) == 1


@pytest.mark.parametrize(
    ("out", "other", "theirs"),
    [
        (260, 840, 0.14625810296656136),
        (300, 800, 0.00017021943056117666),
        (5, 3, 0.9748760428715736),
        (2300, 8800, 0.6836187161909142),
    ],
)
def test_what_other_software_says_of_the_same_counts(out: int, other: int, theirs: float) -> None:
    """Recorded from savvi 0.3.1, `Multinomial(k=1000)`, which needs a solver to be installed."""
    assert p_value([(SHARES, {"out": out, "in": other})]) == pytest.approx(theirs, rel=1e-9)
