"""Paired differences of two methods, by hand, and when they count."""

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.comparison import Difference, paired_differences
from proactrec.measurement.sums import Sums


def method(*values: float, users: tuple[int, ...] = (1, 1, 2, 2)) -> dict[str, Sums]:
    """IoI at one round of two users on the way to two targets."""
    targets = np.array([3, 8, 3, 8])
    top = np.array(values)[:, None]
    return {"ioi": Sums(np.array(users), targets, top, np.ones_like(top))}


def test_difference_of_two_seeds_by_hand() -> None:
    first = {0: method(4, 2, 0, 6), 1: method(2, 2, 2, 2)}
    second = {0: method(1, 1, 1, 1), 1: method(3, 3, 3, 3)}
    (found,) = paired_differences(first, second, [20])
    assert (found.metric, found.round) == ("ioi", 20)
    assert found.per_seed == (3 - 1, 2 - 3)
    assert found.estimate.mean == (12 + 8) / 8 - (4 + 12) / 8
    # Drawn most one-sidedly: user 1 with target 8, or user 1 with 3, in both seeds.
    pairs = [(4 + 2) / 2 - 2, (2 + 2) / 2 - 2, (0 + 2) / 2 - 2, (6 + 2) / 2 - 2]
    assert (found.estimate.low, found.estimate.high) == (min(pairs), max(pairs))
    assert found.verdict == "no difference shown"


def test_a_difference_that_all_have_has_no_width() -> None:
    (found,) = paired_differences({5: method(2, 3, 4, 5)}, {5: method(1, 2, 3, 4)}, [20])
    assert found.estimate == (1, 1, 1)
    assert found.verdict == "better"


def test_figures_go_by_metric_then_round() -> None:
    two = Sums.beside([method(2, 3, 4, 5)["ioi"], method(1, 2, 3, 4)["ioi"]])
    none = Sums(two.user_idx, two.target_idx, 0 * two.numerator, two.denominator)
    found = paired_differences(
        {0: {"hr": two, "ioi": none}}, {0: {"hr": none, "ioi": two}}, [5, 10]
    )
    assert [(d.metric, d.round, d.estimate.mean) for d in found] == [
        ("hr", 5, 3.5),
        ("hr", 10, 2.5),
        ("ioi", 5, -3.5),
        ("ioi", 10, -2.5),
    ]


@pytest.mark.parametrize(
    ("low", "high", "per_seed", "verdict"),
    [
        (0.1, 0.2, (0.1, 0.2), "better"),
        (-0.2, -0.1, (-0.1, -0.2), "worse"),
        (-0.1, 0.2, (0.1, 0.2), "no difference shown"),
        (0.1, 0.2, (0.3, -0.01), "no difference shown"),
    ],
)
def test_verdict_needs_the_interval_and_every_seed(
    low: float, high: float, per_seed: tuple[float, ...], verdict: str
) -> None:
    assert Difference("ioi", 20, Estimate((low + high) / 2, low, high), per_seed).verdict == verdict


@pytest.mark.parametrize("sign", [1, -1])
def test_fewer_rounds_to_the_target_are_better(sign: int) -> None:
    low, high = sorted((sign * 0.1, sign * 0.3))
    estimate, per_seed = Estimate(sign * 0.2, low, high), (sign * 0.2,)
    found = [Difference(name, 5, estimate, per_seed) for name in ("ioi", "rounds_to_target")]
    verdicts = ["better", "worse"]
    assert [one.verdict for one in found] == verdicts[::sign]
    none = Difference("rounds_to_target", 5, Estimate(0, -0.1, 0.1), (0.0,))
    assert none.verdict == "no difference shown"


def test_what_was_not_run_alike_is_not_compared() -> None:
    one = {0: method(1, 1, 1, 1)}
    with pytest.raises(InvalidInputError, match=r"same seeds to be compared, got \[0\] and \[1\]"):
        paired_differences(one, {1: one[0]}, [20])
    with pytest.raises(InvalidInputError, match="same seeds"):
        paired_differences({}, {}, [20])
    other = {0: method(1, 1, 1, 1, users=(1, 1, 2, 4))}
    with pytest.raises(InvalidInputError, match="same users and targets, which differ in seed 0"):
        paired_differences(one, other, [20])
