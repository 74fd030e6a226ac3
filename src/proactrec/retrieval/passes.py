"""One pass over a table of int8 rows: which items may be among the best; compiled by Numba."""

import numpy as np
from numba import njit

from proactrec.retrieval.bounds import RELEVANCE, REORDERED, between, write_ceilings

ROUNDING = 4e-6
"""What bounds are widened by: scores are made of float32 products, in another order than here."""
BLOCK = 256
"""Rows whose products stay in the cache until they are looked at."""


@njit(cache=True, nogil=True)
def candidates(rows, about, per_item, user, target, kind, numbers, penalty, k, found, most):  # type: ignore[no-untyped-def]
    """Write items that may be among the best k into `found`, ascending; how many, and their least.

    Parameters
    ----------
    rows : int8 array, shape (n_items + 1, d)
    about : float32 array, shape (3, n_items + 1)
        Of each row: scale, bound on the length of its error, one over the length of the item.
    per_item : float32 array, shape (n_items + 1,) or (0,)
    user, target : float32 arrays, shape (d,)
    kind, numbers
        See :class:`proactrec.retrieval.scores.Score`.
    penalty : float32 array, shape (n_items + 1,)
        Items with another one than 0 are not in question, and raise no bound.
    found : int64 array, most : float64 array, both of shape (n_items + 1,)
        Overwritten: items in question, and what their scores can be at most.

    Returns
    -------
    n : int
    least : float
        What the k-th best score is at least; -inf if fewer are in question.
    """
    n, best, bar = 0, np.full(k, -np.inf), -np.inf  # the k largest least scores, ascending
    within = np.empty((4, BLOCK), np.float32)  # bounds on both products
    ceiling = np.empty(BLOCK, np.float32)
    for start in range(1, rows.shape[0], BLOCK):
        size = min(BLOCK, rows.shape[0] - start)
        _write_products(kind, rows, about, user, target, numbers, start, size, within)
        write_ceilings(kind, within, numbers, ceiling, size)
        for at in range(size):
            item = start + at
            if ceiling[at] < bar or penalty[item] != 0:
                continue
            own = per_item[item] if per_item.shape[0] else np.float32(0)
            low, high = between(kind, within[:, at], own, numbers)
            if high < bar:
                continue
            found[n], most[n] = item, high
            n += 1
            if low > best[0]:
                _put(best, low)
                bar = best[0] - ROUNDING * (1 + abs(best[0]))  # -inf while fewer than k are known
    return _kept(found, most, n, bar), best[0]


@njit(cache=True, nogil=True, fastmath=REORDERED)
def _write_products(kind, rows, about, user, target, numbers, start, size, within):  # type: ignore[no-untyped-def]
    """Least and largest products of user and target with rows from `start` on."""
    a_low, a_high, b_low, b_high = within[0], within[1], within[2], within[3]
    b_low[:size] = 0
    for at in range(size if kind == RELEVANCE else 0):  # nobody asks for the target
        item, a = start + at, np.float32(0)
        for column in range(rows.shape[1]):
            a += np.float32(rows[item, column]) * user[column]
        a_low[at] = a
    for at in range(0 if kind == RELEVANCE else size):
        item, a, b = start + at, np.float32(0), np.float32(0)
        for column in range(rows.shape[1]):
            value = np.float32(rows[item, column])
            a += value * user[column]
            b += value * target[column]
        a_low[at], b_low[at] = a, b
    scale, error, unit = about[0, start:], about[1, start:], about[2, start:]
    of_user, of_target = np.float32(numbers[0]), np.float32(numbers[1])
    by_unit = numbers[10] > 0
    for at in range(size):  # apart, so that it is done for many rows at once
        one = unit[at] if by_unit else np.float32(1)
        a, b = a_low[at] * scale[at], b_low[at] * scale[at] * one
        off_a, off_b = of_user * error[at], of_target * error[at] * one
        a_low[at], a_high[at] = a - off_a, a + off_a
        b_low[at], b_high[at] = b - off_b, b + off_b


@njit(cache=True, nogil=True)
def _put(best, score):  # type: ignore[no-untyped-def]
    """Take the place of the lowest, in order."""
    place = 0
    while place + 1 < best.shape[0] and best[place + 1] < score:
        best[place] = best[place + 1]
        place += 1
    best[place] = score


@njit(cache=True, nogil=True)
def _kept(found, most, n, bar):  # type: ignore[no-untyped-def]
    """Drop those that turned out to be worse than the best."""
    kept = 0
    for at in range(n):
        if most[at] >= bar:
            found[kept] = found[at]
            kept += 1
    return kept
