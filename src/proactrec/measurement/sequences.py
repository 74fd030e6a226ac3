r"""Comparisons that may be looked at any time, and as often as one likes.

An interval of the usual kind is right at one look that was fixed beforehand; whoever looks after
every user and stops at the first alarm is wrong sooner or later. Here the bound holds at all looks
together: the chance that it is ever wrong is at most alpha, as users grow many (an asymptotic
confidence sequence: Waudby-Smith et al. 2024, arXiv:2103.06476, one-sided form):

.. math::
    \hat\mu_n - \hat\sigma_n \sqrt{\frac{2 (n \rho^2 + 1)}{n^2 \rho^2}
    \log\Bigl(1 + \frac{\sqrt{n \rho^2 + 1}}{2 \alpha}\Bigr)} \le \mu \quad \text{for all } n

A difference of two groups is a mean over all :math:`n = n_1 + n_0` users of what each adds to it,
whose variance is :math:`n (s_1^2 / n_1 + s_0^2 / n_0)`. All of it is made of counts, sums and sums
of squares, which add up over shards and come from SQL.
"""

import math
from typing import NamedTuple, Self

from proactrec.errors import InvalidInputError

LEAST = 30
"""Users of a group before anything is said of it: below, the normal limit is far."""
TIGHTEST_AT = 1000
"""Users at whose number bounds are tightest."""


class Moments(NamedTuple):
    """Independent users of a group, by one number each."""

    n: int
    mean: float
    variance: float  # of one user's number

    @classmethod
    def of_shares(cls, n: int, total: float, squares: float) -> Self:
        """Of numbers between 0 and 1, by their sum and the sum of their squares.

        The variance is that with one user more, as far off as there can be: where all of a few
        users are alike, others may differ.
        """
        if not n:
            return cls(0, 0.0, 0.25)
        mean = total / n
        spread = max(squares - n * mean**2, 0.0)
        return cls(n, mean, (spread + 0.25) / n)


def at_least(group: Moments, *, alpha: float) -> float:
    """What the mean of a group is at least, at all looks together; -inf while users are few."""
    _check(alpha)
    if group.n < LEAST:
        return -math.inf
    return group.mean - _reach(group.n, alpha) * math.sqrt(group.variance)


def difference_at_least(one: Moments, other: Moments, *, alpha: float) -> float:
    """What the mean of one group is at least above that of another, at all looks together.

    Parameters
    ----------
    one, other : Moments
        Of different users, divided at random.
    alpha : float in (0, 1)
        Chance that the bound is ever above the true difference.

    Returns
    -------
    float
        -inf while a group has fewer than :data:`LEAST` users.
    """
    _check(alpha)
    if min(one.n, other.n) < LEAST:
        return -math.inf
    n = one.n + other.n
    variance = n * (one.variance / one.n + other.variance / other.n)
    return one.mean - other.mean - _reach(n, alpha) * math.sqrt(variance)


def margin(variance: float, n: int, *, alpha: float, tightest_at: int = TIGHTEST_AT) -> float:
    """How far a figure of n users may be off on either side, at all looks together.

    Parameters
    ----------
    variance : float
        Of the figure, at this look.
    alpha : float in (0, 1)
        Chance that it is ever off by more.
    tightest_at : int, optional
        Users at whose number it is tightest.
    """
    _check(alpha)
    return _reach(n, alpha / 2, tightest_at) * math.sqrt(n * variance)


def _reach(n: int, alpha: float, tightest_at: int = TIGHTEST_AT) -> float:
    """How far the bound is from the mean of n users, in deviations of one user."""
    wanted = -2 * math.log(2 * min(alpha, 0.25))
    rho = (wanted + math.log(wanted + 1)) / tightest_at  # squared; the form tight at one number
    grown = n * rho + 1
    return math.sqrt(2 * grown / (n**2 * rho) * math.log1p(math.sqrt(grown) / (2 * alpha)))


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise InvalidInputError(f"alpha must be in (0, 1), got {alpha}")
