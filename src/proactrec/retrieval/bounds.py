"""Bounds on scores from bounds on their two products; compiled, and used inside the pass."""

import math

import numpy as np
from numba import njit

REORDERED = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be made in any order, so that they are made side by side."""
RELEVANCE, GUIDED = 0, 1
"""Places in :data:`proactrec.retrieval.scores.KINDS`; the third is what is left."""


@njit(cache=True, nogil=True)
def linked(a, is_sigmoid):  # type: ignore[no-untyped-def]
    """The link of relevance."""
    return 1.0 / (1.0 + math.exp(-a)) if is_sigmoid else a


@njit(cache=True, nogil=True)
def outer(x_low, x_high, y_low, y_high):  # type: ignore[no-untyped-def]
    """Least and largest product of two intervals."""
    one, two, three, four = x_low * y_low, x_low * y_high, x_high * y_low, x_high * y_high
    return min(min(one, two), min(three, four)), max(max(one, two), max(three, four))


@njit(cache=True, nogil=True)
def promised(a_low, a_high, b_low, b_high, numbers):  # type: ignore[no-untyped-def]
    """Of `foreseen`: least and largest worth of an acceptance."""
    here, interest, step, share = numbers[4], numbers[6], numbers[7], numbers[8]
    fixed, moving = share * share + (1 - share) * (1 - share), 2 * share * (1 - share)
    short = math.sqrt(max(fixed + moving * a_low, 1e-12))
    long = math.sqrt(max(fixed + moving * a_high, 1e-12))
    top, bottom = share * here + (1 - share) * b_high, share * here + (1 - share) * b_low
    most = top / (short if top >= 0 else long) - here
    least = bottom / (long if bottom >= 0 else short) - here
    return interest * least + step, interest * most + step


@njit(cache=True, nogil=True, fastmath=REORDERED)
def write_ceilings(kind, within, numbers, ceiling, n):  # type: ignore[no-untyped-def]
    """Numbers that the first n scores are not above, whatever the items' own numbers.

    Without exponentials and branches, so that it is done for many items at once.
    """
    a_low, a_high, b_low, b_high = within[0], within[1], within[2], within[3]
    numbers = numbers.astype(np.float32)
    one, lowest, highest, here = np.float32(1), numbers[2], numbers[3], numbers[4]
    if kind > GUIDED:
        interest, step, share = numbers[6], numbers[7], numbers[8]
        rest = one - share
        fixed, moving = share * share + rest * rest, np.float32(2) * share * rest
        for at in range(n):
            top = share * here + rest * b_high[at]
            square = fixed + moving * (a_low[at] if top >= 0 else a_high[at])
            gain = top / np.sqrt(max(square, np.float32(1e-12))) - here
            ceiling[at] = max(interest * gain + step, np.float32(0))
        return
    is_sigmoid = numbers[9] > 0
    for at in range(n):
        low, high = a_low[at], a_high[at]
        if is_sigmoid:
            # As exp(x) >= 1 + x; a sigmoid is nowhere above 1.
            low, high = np.float32(0), one / (one + max(one - high, np.float32(0)))
        low, high = low + lowest, high + highest
        if kind == GUIDED:
            near, far = b_high[at] - here, b_low[at] - here
            high = max(max(high * near, low * near), max(high * far, low * far))
        ceiling[at] = high


@njit(cache=True, nogil=True)
def between(kind, within, own, numbers):  # type: ignore[no-untyped-def]
    """Least and largest score of an item whose number is `own`, by bounds on its products (4,)."""
    a_low, a_high, b_low, b_high = within[0], within[1], within[2], within[3]
    here, slope, is_sigmoid = numbers[4], numbers[5], numbers[9] > 0
    if kind > GUIDED:
        one, other = linked(slope * a_low + own, True), linked(slope * a_high + own, True)
        low, high = promised(a_low, a_high, b_low, b_high, numbers)
        return outer(min(one, other), max(one, other), low, high)
    f_low, f_high = linked(a_low, is_sigmoid) + own, linked(a_high, is_sigmoid) + own
    if kind == RELEVANCE:
        return f_low, f_high
    return outer(f_low, f_high, b_low - here, b_high - here)
