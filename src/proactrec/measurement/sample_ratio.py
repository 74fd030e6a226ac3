r"""Whether users came to arms in the shares that were meant: a test that may be looked at any time.

Where the counts of n users by arm are multinomial with the shares :math:`p`, this is a martingale
of mean 1 (the Bayes factor of shares drawn from a Dirichlet distribution about p, against p
itself):

.. math::
    E = \frac{\Gamma(k)}{\Gamma(k + n)} \prod_i \frac{\Gamma(k p_i + n_i)}{\Gamma(k p_i)} p_i^{-n_i}

so the chance that it ever passes :math:`1 / \alpha` is at most :math:`\alpha` (Ville's inequality;
Lindon and Malek 2022, arXiv:2011.03567). Epochs, in each of which shares were others, multiply.
"""

import math
from collections.abc import Iterable, Mapping

from proactrec.errors import InvalidInputError

ALPHA = 0.001
"""A split is held to be broken below it."""
CONCENTRATION = 1000.0
"""How near to the shares others are thought to be, as so many users: a few points of 100."""

Epoch = tuple[Mapping[str, float], Mapping[str, int]]
"""Shares by arm, and how many users came to each."""


def p_value(epochs: Iterable[Epoch]) -> float:
    """Chance that a sound split ever looks as broken as this one does now, at most.

    Parameters
    ----------
    epochs : iterable of pairs
        Shares of all arms, summing to 1, and counts of users by arm.

    Raises
    ------
    InvalidInputError
        If shares do not sum to 1.
    """
    return min(1.0, math.exp(-sum(_log_factor(shares, counts) for shares, counts in epochs)))


def _log_factor(shares: Mapping[str, float], counts: Mapping[str, int]) -> float:
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise InvalidInputError(f"shares must sum to 1, got {dict(shares)}")
    total = sum(counts.values())
    if any(n and not shares.get(arm) for arm, n in counts.items()):
        return math.inf  # nobody was to be there
    found = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for arm, share in shares.items():
        n, prior = counts.get(arm, 0), CONCENTRATION * share
        if n:
            found += math.lgamma(prior + n) - math.lgamma(prior) - n * math.log(share)
    return found
