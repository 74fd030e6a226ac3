"""Bounds on scores from bounds on their two products; compiled, and used inside the pass."""

import math

from numba import njit

RELEVANCE, GUIDED = 0, 1
"""Places in :data:`proactrec.retrieval.scores.KINDS`; the third is what is left."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def linked(a, is_sigmoid):  # type: ignore[no-untyped-def]
    """The link of relevance."""
    return 1.0 / (1.0 + math.exp(-a)) if is_sigmoid else a


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def outer(x_low, x_high, y_low, y_high):  # type: ignore[no-untyped-def]
    """Least and largest product of two intervals."""
    one, two, three, four = x_low * y_low, x_low * y_high, x_high * y_low, x_high * y_high
    return min(min(one, two), min(three, four)), max(max(one, two), max(three, four))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def quick(kind, a_low, a_high, b_low, b_high, numbers):  # type: ignore[no-untyped-def]
    """A number that no score is above, had at once: without exponentials, and of any item."""
    lowest, highest, here, is_sigmoid = numbers[2], numbers[3], numbers[4], numbers[9] > 0
    if kind > GUIDED:
        return max(promised(a_low, a_high, b_low, b_high, numbers)[1], 0.0)
    f_low, f_high = lowest + (0.0 if is_sigmoid else a_low), highest + a_high
    if is_sigmoid:
        f_high = highest + (1.0 if a_high >= 0 else 1.0 / (2.0 - a_high))  # as exp(x) >= 1 + x
    if kind == RELEVANCE:
        return f_high
    return outer(f_low, f_high, b_low - here, b_high - here)[1]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def between(kind, a_low, a_high, b_low, b_high, own, numbers):  # type: ignore[no-untyped-def]
    """Least and largest score of an item whose number is `own`."""
    here, slope, is_sigmoid = numbers[4], numbers[5], numbers[9] > 0
    if kind > GUIDED:
        one, other = linked(slope * a_low + own, True), linked(slope * a_high + own, True)
        low, high = promised(a_low, a_high, b_low, b_high, numbers)
        return outer(min(one, other), max(one, other), low, high)
    f_low, f_high = linked(a_low, is_sigmoid) + own, linked(a_high, is_sigmoid) + own
    if kind == RELEVANCE:
        return f_low, f_high
    return outer(f_low, f_high, b_low - here, b_high - here)
