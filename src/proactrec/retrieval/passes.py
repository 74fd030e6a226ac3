"""One pass over a table of int8 rows: which items may be among the best; compiled by Numba."""

import numpy as np
from numba import njit

from proactrec.retrieval.bounds import between, quick

ROUNDING = 1e-6
"""What bounds are widened by: scores are made of float32 products, in another order than here."""
REORDERED = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be made in any order, so that they are made side by side."""


@njit(cache=True, nogil=True, fastmath=REORDERED)  # type: ignore[untyped-decorator]
def candidates(rows, about, per_item, user, target, kind, numbers, penalty, k, found, most):  # type: ignore[no-untyped-def]
    """Write items that may be among the best k into `found`, ascending; how many, and their least.

    Parameters
    ----------
    rows : int8 array, shape (n_items + 1, d)
    about : float32 array, shape (n_items + 1, 3)
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
    n, size, by_unit = 0, rows.shape[1], numbers[10] > 0
    best = np.full(k, -np.inf)  # the k largest least scores, ascending
    for item in range(1, rows.shape[0]):
        a, b = np.float32(0), np.float32(0)
        for column in range(size):
            value = np.float32(rows[item, column])
            a += value * user[column]
            b += value * target[column]
        scale, error = about[item, 0], about[item, 1]
        unit = about[item, 2] if by_unit else np.float32(1)
        a, b = a * scale, b * scale * unit
        off_a, off_b = numbers[0] * error, numbers[1] * error * unit
        bar = best[0] - ROUNDING * (1 + abs(best[0])) if best[0] > -np.inf else -np.inf
        if quick(kind, a - off_a, a + off_a, b - off_b, b + off_b, numbers) < bar:
            continue
        if penalty[item] != 0:
            continue
        own = per_item[item] if per_item.shape[0] else np.float32(0)
        low, high = between(kind, a - off_a, a + off_a, b - off_b, b + off_b, own, numbers)
        if high < bar:
            continue
        found[n], most[n] = item, high
        n += 1
        if low > best[0]:
            place = 0
            while place + 1 < k and best[place + 1] < low:
                best[place] = best[place + 1]
                place += 1
            best[place] = low
    return _kept(found, most, n, best[0]), best[0]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _kept(found, most, n, least):  # type: ignore[no-untyped-def]
    """Drop those that turned out to be worse than the best k."""
    bar = least - ROUNDING * (1 + abs(least)) if least > -np.inf else -np.inf
    kept = 0
    for at in range(n):
        if most[at] >= bar:
            found[kept] = found[at]
            kept += 1
    return kept
