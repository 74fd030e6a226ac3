r"""What another policy would have brought, from a log whose chances are known; for one step only.

A decision counts with its weight :math:`w = \pi(a \mid x) / p(a \mid x)`: how much likelier the
other policy :math:`\pi` was to show what the log showed by chance :math:`p`. Of rewards :math:`r`:

.. math::
    \hat V_{ips} = \tfrac1n \sum w r, \qquad
    \hat V_{snips} = \frac{\sum w r}{\sum w}, \qquad
    \hat V_{dr} = \tfrac1n \sum \bigl(\hat r(\pi, x) + w (r - \hat r(a, x))\bigr)

with :math:`\hat r` a prediction of rewards (Horvitz & Thompson 1952; Swaminathan & Joachims 2015;
Dudik, Langford & Li 2011, arXiv:1103.4601). Intervals are normal ones of the influence values,
summed by user where users are told, and never narrower than rewards of the expected rate would
make them: a log in which no decision of a large weight was rewarded looks far too sure of itself.
Estimates mean nothing where the log hardly overlaps with the policy: then there is a sentence
instead of a figure.
"""

from typing import NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.student import student_quantile
from proactrec.types import FloatArray, IntArray

MOST_UNSEEN = 0.01
"""Share of what the policy would show that the log can never show."""
LEAST_SIZE = 100.0
"""Decisions that the log must be worth, once weighted."""
LEAST_REWARDS = 10.0
"""Rewards, and decisions without, that it must be worth at its own rate: with fewer no interval is
near a normal one."""
MOST_DRIFT = 4.0
"""Standard errors that the mean weight may be off: more, and the chances can't be true."""
N_FOLDS = 5
PRIOR_DECISIONS = 20.0
"""Decisions of average reward that every item is given beforehand."""


class Logged(NamedTuple):
    """Decisions of one step each, (n,), and what another policy would have done."""

    reward: FloatArray  # in [0, 1]
    propensity: FloatArray  # chance of what was shown, when it was shown
    wanted: FloatArray  # chance of it under the other policy
    unseen: FloatArray | None = None  # the other policy's share of items without any chance
    user_idx: IntArray | None = None  # whose decisions depend on each other; None: all are alone


class Predicted(NamedTuple):
    """Rewards as they were predicted without the decision's own reward, (n,)."""

    of_shown: FloatArray
    of_policy: FloatArray  # expected over what the other policy would show


class OffPolicy(NamedTuple):
    """What the log says of another policy; `refused`: why it says nothing."""

    n_decisions: int
    n_users: int
    effective_size: float  # decisions of the other policy that the log is worth
    largest_weight: float
    unseen: float  # share of what it would show that the log never could
    refused: str
    estimates: dict[str, Estimate]  # ips, snips and dr (with predictions), 95 % intervals


def off_policy(
    logged: Logged, predicted: Predicted | None = None, *, n_rounds: int = 1
) -> OffPolicy:
    """Mean reward of one decision of another policy, where the log decided.

    Parameters
    ----------
    logged : Logged
    predicted : Predicted, optional
        For the doubly robust estimate; see :func:`cross_fitted`.
    n_rounds : int
        Rounds that the figure is meant to be of.

    Raises
    ------
    InvalidInputError
        For more than one round; if arrays differ in length or leave their ranges.
    """
    _check(logged, predicted, n_rounds)
    weight = logged.wanted / logged.propensity
    unseen = 0.0 if logged.unseen is None else float(logged.unseen.mean())
    size, largest = _worth(weight), float(weight.max())
    user_idx = np.arange(len(weight)) if logged.user_idx is None else logged.user_idx
    user_idx = np.unique(user_idx, return_inverse=True)[1]
    refused = _refusal(logged, weight, user_idx, unseen)
    found = {} if refused else _estimates(logged.reward, weight, predicted, user_idx)
    return OffPolicy(len(weight), int(user_idx.max()) + 1, size, largest, unseen, refused, found)


def cross_fitted(
    item_idx: IntArray, reward: FloatArray, policy: FloatArray, group: IntArray
) -> Predicted:
    """Predictions by the mean reward of each item, learned from the other folds' decisions.

    Parameters
    ----------
    item_idx : int array, shape (n,)
        What was shown, from 0.
    reward : float array, shape (n,)
    policy : float array, shape (n, n_items)
        Chances of the other policy.
    group : int array, shape (n,)
        Decisions that stay in one fold, e.g. those of a user.
    """
    fold, n_items = group % N_FOLDS, policy.shape[1]
    of_shown, of_policy = np.empty(len(reward)), np.empty(len(reward))
    for number in range(N_FOLDS):
        own, other = fold == number, fold != number
        n_shown = np.bincount(item_idx[other], minlength=n_items)
        total = np.bincount(item_idx[other], reward[other], n_items)
        mean = reward[other].mean() if other.any() else 0.0
        by_item = (total + PRIOR_DECISIONS * mean) / (n_shown + PRIOR_DECISIONS)
        of_shown[own] = by_item[item_idx[own]]
        of_policy[own] = policy[own] @ by_item
    return Predicted(of_shown, of_policy)


def _estimates(
    reward: FloatArray, weight: FloatArray, predicted: Predicted | None, user_idx: IntArray
) -> dict[str, Estimate]:
    snips, rate = float(weight @ reward / weight.sum()), np.full(len(reward), reward.mean())
    around = snips + weight * (reward - snips) / weight.mean()
    found = {
        "ips": _estimate(weight * reward, user_idx, _noise(weight, rate)),
        "snips": _estimate(around, user_idx, _noise(weight / weight.mean(), rate)),
    }
    if predicted is not None:
        adding = predicted.of_policy + weight * (reward - predicted.of_shown)
        found["dr"] = _estimate(adding, user_idx, _noise(weight, predicted.of_shown))
    return found


def _noise(weight: FloatArray, rate: FloatArray) -> float:
    """Variance of a mean of weighted rewards that come by chance, at these rates."""
    return float(weight**2 @ (rate * (1 - rate)).clip(0)) / len(weight) ** 2


def _estimate(adding: FloatArray, user_idx: IntArray, noise: float = 0.0) -> Estimate:
    """Mean of what every decision adds (n,), with an interval over users."""
    mean, by_user = float(adding.mean()), _by_user(adding - adding.mean(), user_idx)
    n_others = max(len(by_user) - 1.0, 1.0)
    variance = float(by_user @ by_user) * (n_others + 1) / n_others / len(adding) ** 2
    reach = float(student_quantile(0.975, np.array(n_others))) * max(variance, noise) ** 0.5
    return Estimate(mean, mean - reach, mean + reach)


def _by_user(adding: FloatArray, user_idx: IntArray) -> FloatArray:
    return np.bincount(user_idx, adding).astype(np.float64)


def _worth(weight: FloatArray) -> float:
    """How many equal weights are worth as much as these (Kish)."""
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def _refusal(logged: Logged, weight: FloatArray, user_idx: IntArray, unseen: float) -> str:
    """Why an estimate would mean nothing; empty: it means something."""
    if unseen > MOST_UNSEEN:
        return f"the log never shows {100 * unseen:.0f} % of what this policy would show"
    if (size := _worth(_by_user(weight, user_idx))) < LEAST_SIZE:
        return (
            f"the log is worth {size:.0f} independent decisions of this policy, and at least "
            f"{LEAST_SIZE:.0f} are needed"
        )
    drift = _estimate(weight, user_idx)
    error = (drift.high - drift.mean) / 1.96
    if abs(drift.mean - (1 - unseen)) > MOST_DRIFT * error + 1e-9:
        return (
            f"weights are {drift.mean:.2f} on average where {1 - unseen:.2f} is expected: "
            "propensities of the log and of the policy don't fit together"
        )
    rate = float(logged.reward.mean())
    if (n_rewards := size * min(rate, 1 - rate)) < LEAST_REWARDS:
        return (
            f"of {'rewards' if rate < 0.5 else 'refusals'} of this policy the log is worth "
            f"{n_rewards:.1f}, and at least {LEAST_REWARDS:.0f} are needed"
        )
    return ""


def _check(logged: Logged, predicted: Predicted | None, n_rounds: int) -> None:
    if n_rounds != 1:
        raise InvalidInputError(
            f"n_rounds must be 1, got {n_rounds}: what a policy shows changes where users stand in "
            "later rounds, which the log of another one says nothing of"
        )
    arrays = [one for one in (*logged, *(predicted or ())) if one is not None]
    if {len(one) for one in arrays} != {len(logged.reward)} or not len(logged.reward):
        raise InvalidInputError(
            f"logged and predicted must have one length above 0, got {[len(a) for a in arrays]}"
        )
    if not ((logged.reward >= 0) & (logged.reward <= 1)).all():
        raise InvalidInputError("reward must be in [0, 1]")
    if not ((logged.propensity > 0) & (logged.propensity <= 1)).all():
        raise InvalidInputError(
            "propensity must be in (0, 1]: what was shown had some chance, got "
            f"{logged.propensity.min()} to {logged.propensity.max()}"
        )
