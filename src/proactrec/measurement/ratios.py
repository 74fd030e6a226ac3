"""Ratios of sums, and what every user adds to one: variances without drawing anything."""

import numpy as np

from proactrec.measurement.sums import Sums
from proactrec.types import FloatArray


def ratio(top: FloatArray, bottom: FloatArray, *, empty: float = 0.0) -> FloatArray:
    """Top over bottom; `empty` where the bottom is 0."""
    return np.divide(top, bottom, out=np.full_like(top, empty), where=bottom > 0)


def linearised(users: Sums) -> tuple[FloatArray, FloatArray]:
    r"""Ratios of sums over users, (n_figures,), and what every user adds to them.

    The score of user u is :math:`(a_u - R s_u) / \bar s` (the delta method): scores have mean 0,
    and their variance over the number of users is the ratio's.

    Parameters
    ----------
    users : Sums
        One row a user.
    """
    top, bottom = users.numerator, users.denominator
    value, mean = ratio(top.sum(0), bottom.sum(0)), bottom.mean(0)
    scores = top - value * bottom
    return value, np.divide(scores, mean, out=np.zeros_like(scores), where=mean > 0)
