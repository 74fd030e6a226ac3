"""Another policy's reward from a log with known chances: exact, covered, and refused in words."""

import re
from typing import Any

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.measurement.off_policy import Logged, OffPolicy, Predicted, cross_fitted, off_policy

LOGGING = np.array([[1 / 2, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 2]])  # (n_contexts, n_items)
OTHER = np.array([[1 / 8, 1 / 8, 3 / 4], [1 / 2, 1 / 2, 0]])
ACCEPTED = np.array([[1 / 4, 1 / 2, 3 / 4], [1 / 2, 0, 1 / 4]])
VALUE = float((OTHER * ACCEPTED).sum(1).mean())


def drawn(n: int, seed: int) -> tuple[Logged, Predicted]:
    """Decisions of one policy, with rewards predicted by items alone."""
    rng = np.random.default_rng(seed)
    context, luck = rng.integers(2, size=n), rng.random((n, 1))
    item = (LOGGING.cumsum(1)[context] < luck).sum(1)
    reward = (rng.random(n) < ACCEPTED[context, item]).astype(float)
    logged = Logged(reward, LOGGING[context, item], OTHER[context, item])
    return logged, cross_fitted(item, reward, OTHER[context], np.arange(n))


def every_outcome(times: int) -> tuple[Logged, Predicted]:
    """A log in which everything happened as often as is expected, with wrong predictions."""
    rows = [
        (float(accepted), LOGGING[at], OTHER[at], 0.9 - 0.2 * at[1], OTHER[at[0]] @ [0.9, 0.7, 0.5])
        for at in np.ndindex(2, 3)
        for accepted in (0, 1)
        for _ in range(
            round(16 * times * LOGGING[at] * abs(1 - accepted - ACCEPTED[at]))  # 16: whole numbers
        )
    ]
    columns = np.array(rows).T
    return Logged(*columns[:3]), Predicted(*columns[3:])


def test_estimates_are_exact_where_all_happened_as_often_as_expected() -> None:
    found = off_policy(*every_outcome(20))
    assert not found.refused
    assert {name: round(one.mean, 12) for name, one in found.estimates.items()} == {
        name: round(VALUE, 12) for name in ("ips", "snips", "dr")
    }


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_cover_as_often_as_they_say(name: str) -> None:
    """Of 400 logs; the standard error of a share of 95 % is 1.1 %."""
    covered = [
        one.low <= VALUE <= one.high
        for seed in range(400)
        for one in [off_policy(*drawn(600, seed)).estimates[name]]
    ]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_good_predictions_make_the_interval_narrower() -> None:
    logged, _ = drawn(2000, 0)
    rng = np.random.default_rng(1)
    sure = (rng.random(ACCEPTED.shape) < ACCEPTED).astype(float)  # rewards that items decide
    context, item = rng.integers(2, size=2000), rng.integers(3, size=2000)
    logged = Logged(sure[context, item], np.full(2000, 1 / 3), OTHER[context, item])
    told = off_policy(logged, Predicted(sure[context, item], (OTHER * sure).sum(1)[context]))
    width = {name: one.high - one.low for name, one in told.estimates.items()}
    assert width["dr"] < width["ips"] / 2


def test_the_same_decisions_again_make_nothing_surer_if_users_are_told() -> None:
    logged, _ = drawn(3000, 3)
    user_idx = np.concatenate([np.arange(3000), np.repeat(np.arange(300), 3)])  # a tenth
    more = Logged(logged.reward[user_idx], logged.propensity[user_idx], logged.wanted[user_idx])
    told, alone = off_policy(more._replace(user_idx=user_idx)), off_policy(more)
    assert (told.n_decisions, told.n_users, alone.n_users) == (3900, 3000, 3900)
    width, too_narrow = (
        one.high - one.low for one in (told.estimates["snips"], alone.estimates["snips"])
    )
    assert width > 1.2 * too_narrow


def refused(**changes: Any) -> OffPolicy:
    n = 1000
    usual = Logged(np.arange(n) % 2 * 1.0, np.full(n, 0.5), np.full(n, 0.5))
    return off_policy(usual._replace(**changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"unseen": np.full(1000, 0.34)},
            "the log never shows 34 % of what this policy would show",
        ),
        (
            {"wanted": np.repeat([1.0, 0.0], [90, 910])},
            "the log is worth 90 independent decisions of this policy, and at least 100 are needed",
        ),
        (
            {"user_idx": np.arange(1000) % 50},
            "the log is worth 50 independent decisions of this policy, and at least 100 are needed",
        ),
        ({"wanted": np.full(1000, 0.2)}, "weights are 0.40 on average where 1.00 is expected"),
        (
            {"reward": np.repeat([1.0, 0.0], [4, 996])},
            "of rewards of this policy the log is worth 4.0, and at least 10 are needed",
        ),
        (
            {"reward": np.repeat([0.0, 1.0], [4, 996])},
            "of refusals of this policy the log is worth 4.0, and at least 10 are needed",
        ),
    ],
)
def test_a_log_that_says_nothing_is_refused_in_words(changes: Any, sentence: str) -> None:
    assert refused().refused == ""
    found = refused(**changes)
    assert found.refused.startswith(sentence)
    assert found.estimates == {}


def test_a_little_that_is_never_shown_is_told_and_not_refused() -> None:
    found = refused(unseen=np.full(1000, 0.005), wanted=np.full(1000, 0.4975))
    assert found.refused == ""
    assert found.unseen == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("changes", "how", "message"),
    [
        ({}, {"n_rounds": 5}, "n_rounds must be 1, got 5: what a policy shows changes where users"),
        ({"reward": np.full(1000, 2.0)}, {}, "reward must be in [0, 1]"),
        ({"propensity": np.zeros(1000)}, {}, "propensity must be in (0, 1]"),
        ({"wanted": np.ones(3)}, {}, "logged and predicted must have one length above 0"),
    ],
)
def test_bad_input_is_refused(changes: Any, how: dict[str, int], message: str) -> None:
    logged = Logged(np.ones(1000), np.ones(1000), np.ones(1000))._replace(**changes)
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        off_policy(logged, **how)


def test_no_decision_is_predicted_by_its_own_reward() -> None:
    item, policy = np.zeros(10, np.int64), np.ones((10, 1))
    reward = np.eye(10)[3]
    of_shown, of_policy = cross_fitted(item, reward, policy, np.arange(10))
    assert of_shown[3] == of_shown[8] == of_policy[3] == 0  # 3 and 8 share a fold
    assert (np.delete(of_shown, [3, 8]) > 0).all()
