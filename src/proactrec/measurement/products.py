r"""A group of users as sums of products: all that an effect needs, and they add up over shards.

Of every user some numbers are known: covariates from before, and the numerators and denominators of
figures. Means, variances and regressions of all of them follow from the one table
:math:`\sum_u v_u v_u^\top` with :math:`v_u = (1, x_u, a_u, s_u)`, whatever part of the users a
shard has; SQL makes it in one pass.

A figure is a ratio :math:`R = \bar a / \bar s`, and :math:`(a_u - R s_u) / \bar s` what user u adds
to it (the delta method). These scores are regressed on covariates, and the figure is moved to the
covariates' mean over all groups (CUPED with a slope per group):

.. math:: \hat R_g = R_g + b_g^\top (\bar x - \bar x_g)
"""

from typing import NamedTuple

import numpy as np

from proactrec.measurement.ratios import ratio
from proactrec.types import FloatArray, IntArray

NEGLIGIBLE = 1e-9
"""Eigenvalues of the covariates' correlations below that are of covariates that say the same."""


class Layout(NamedTuple):
    """What stands in which column of a table; column 0 is of ones."""

    n_covariates: int  # in columns 1, 2, ...
    numerators: IntArray  # (n_figures,) columns
    denominators: IntArray  # (n_figures,); 0: a figure is a mean over users


class Group(NamedTuple):
    """Figures of a group, one column each."""

    mean: FloatArray  # (n_figures,), adjusted
    slope: FloatArray  # (n_covariates, n_figures)
    variance: FloatArray  # (n_figures,), of what one user adds, less what covariates explain
    n_users: int
    freedom: int


class Differences(NamedTuple):
    """First group less second, for every figure: (n_figures,) each."""

    value: FloatArray
    variance: FloatArray
    freedom: FloatArray  # of Welch


def table_of(values: FloatArray) -> FloatArray:
    """Sums of products of users' numbers, (n_users, m): (1 + m, 1 + m)."""
    whole = np.column_stack([np.ones(len(values)), values])
    table: FloatArray = whole.T @ whole
    return table


def group_of(table: FloatArray, layout: Layout, centre: FloatArray) -> Group:
    """Figures of a group of more users than it has covariates, adjusted to a centre.

    Parameters
    ----------
    table : float array, shape (1 + m, 1 + m)
    centre : float array, shape (n_covariates,)
        Means of the covariates over all groups.
    """
    n = table[0, 0]
    mean = table[0] / n
    spread = table - n * np.outer(mean, mean)  # about the mean, summed over users
    top, bottom = mean[layout.numerators], mean[layout.denominators]
    value = ratio(top, bottom)
    figures, at = np.arange(len(value)), (len(table), len(value))
    scores = np.zeros(at)  # what each column adds to a user's score
    np.add.at(scores, (layout.numerators, figures), ratio(np.ones_like(bottom), bottom))
    np.add.at(scores, (layout.denominators, figures), -ratio(value, bottom))
    x = slice(1, 1 + layout.n_covariates)
    with_scores = spread[x] @ scores
    slope, rank = _regressed(spread[x, x], with_scores)
    own = np.einsum("mf,mn,nf->f", scores, spread, scores, optimize=True)
    freedom = int(n) - 1 - rank
    rest = np.maximum(own - (slope * with_scores).sum(0), 0)
    return Group(value - (mean[x] - centre) @ slope, slope, rest / freedom, int(n), freedom)


def differences(
    first: Group, second: Group, covariance: FloatArray, *, alike: bool = False
) -> Differences:
    r"""How much higher the first group's figures are.

    .. math::
        \widehat{\operatorname{var}}(\hat R_1 - \hat R_0) = \frac{s_{e1}^2}{n_1} +
        \frac{s_{e0}^2}{n_0} + \frac{(b_1 - b_0)^\top \Sigma_x (b_1 - b_0)}{n_1 + n_0}

    with the residuals' variances (Lin 2013). Assignment was random, so the groups' covariates
    differ by chance only, and what is added is 0 on average but for terms of order 1/n, however
    wrong the regression is.

    Parameters
    ----------
    covariance : float array, shape (n_covariates, n_covariates)
        Of the covariates over both groups.
    alike : bool, optional
        Take the larger of both variances for each group: in a small one, chance may hide it.
    """
    groups = first, second
    spread = np.stack([group.variance for group in groups])
    spread = np.broadcast_to(spread.max(0), spread.shape) if alike else spread
    parts = spread / np.array([[group.n_users] for group in groups])
    steeper = first.slope - second.slope
    n_users = first.n_users + second.n_users
    more = np.einsum("kf,kl,lf->f", steeper, covariance, steeper, optimize=True)
    variance = parts.sum(0) + np.maximum(more, 0) / n_users
    freedom = np.array([first.freedom, second.freedom], np.float64)
    welch = variance**2 / np.maximum((parts**2 / freedom[:, None]).sum(0), 1e-300)
    return Differences(
        first.mean - second.mean, variance, np.clip(welch, freedom.min(), freedom.sum())
    )


def covariates_of(table: FloatArray, layout: Layout) -> tuple[FloatArray, FloatArray]:
    """Means of the covariates, and their covariance."""
    x = slice(1, 1 + layout.n_covariates)
    mean = table[0, x] / table[0, 0]
    covariance: FloatArray = table[x, x] / table[0, 0] - np.outer(mean, mean)
    return mean, covariance


def _regressed(spread: FloatArray, with_scores: FloatArray) -> tuple[FloatArray, int]:
    """Slopes of least squares, and how many covariates say something of their own."""
    scale = np.sqrt(np.maximum(np.diag(spread), 0))
    unit = ratio(np.ones_like(scale), scale)
    values, vectors = np.linalg.eigh(spread * np.outer(unit, unit))
    is_kept = values > NEGLIGIBLE
    inverse = (vectors * ratio(is_kept.astype(np.float64), values)) @ vectors.T
    slope = unit[:, None] * (inverse @ (unit[:, None] * with_scores))
    return slope, int(is_kept.sum())
