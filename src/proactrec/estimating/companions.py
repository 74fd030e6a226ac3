"""What companions take: pairs of items counted all at once, or item by item where they are many."""

import math

from proactrec.content import OVERSAMPLING
from proactrec.estimating.formula import Formula
from proactrec.estimating.size import FORESIGHT, Size
from proactrec.policies.together import COUNTED_PAIRS, KEPT_PAIRS, NEWEST

MOST_PAIRS = 2.0
"""Items that meet in a history, by the square of its mean length: histories differ in length."""


def distinct_pairs(size: Size) -> float:
    """Pairs of items that any user has both of, if all are as likely: more than in truth."""
    return -(size.items**2) * math.expm1(-met_pairs(size) / size.items**2)


def met_pairs(size: Size) -> float:
    """Pairs of items over all histories, of their newest items where these are counted by item."""
    length = min(NEWEST, size.history) if counts_by_item(size) else size.history
    return MOST_PAIRS * size.users * length**2


def counts_by_item(size: Size) -> bool:
    """Whether companions are counted item by item (`policies/together.py`)."""
    return MOST_PAIRS * size.users * size.history**2 > COUNTED_PAIRS


def kept_pairs(size: Size) -> float:
    """Pairs of items that are kept where they are counted item by item."""
    return min(distinct_pairs(size), KEPT_PAIRS)


AT_ONCE = Formula(
    "pairs of items",
    "once",
    f"100 · distinct pairs of the {MOST_PAIRS:g} · users · history² that meet, or items²",
    lambda size: 100 * distinct_pairs(size),
)
BY_ITEM = (
    Formula(
        "pairs of items",
        "once",
        f"36 · distinct pairs that meet, {KEPT_PAIRS:,} at the most, and 60 · interactions: kept "
        "by item, made one table and its transpose",
        lambda size: 36 * kept_pairs(size) + 60 * size.n_interactions,
    ),
    Formula(
        "leading directions",
        "once",
        f"16 · pairs kept + 5 · 4 · {FORESIGHT.view_dim + OVERSAMPLING} · items",
        lambda size: 16 * kept_pairs(size) + 20 * (FORESIGHT.view_dim + OVERSAMPLING) * size.n_rows,
    ),
)


def held(size: Size) -> tuple[Formula, ...]:
    """What is there meanwhile."""
    return BY_ITEM if counts_by_item(size) else (AT_ONCE,)


def counts(size: Size) -> dict[str, float]:
    """Pairs that meet, and the directions of those that are kept."""
    if counts_by_item(size):
        return {"counting by item": met_pairs(size), "decomposing kept pairs": kept_pairs(size)}
    return {"counting": met_pairs(size), "decomposing": distinct_pairs(size)}
