"""Items found by what they are called, and categories with what speaks for them."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.serving.guides import Guides
from proactrec.serving.looking import CategoriesSeen, CategorySeen, ItemSeen, ItemsSeen
from proactrec.serving.shelf import MOST_CATEGORIES
from proactrec.types import BoolArray


def item_seen(guides: Guides, item_idx: int) -> ItemSeen:
    """An item as it is decided by now."""
    items, row = guides.items, item_idx - 1
    return ItemSeen(
        item_id=items.item_ids[row],
        title=items.titles[row],
        categories=items.categories[row],
        available=item_idx not in guides.unavailable,
        users=int(guides.shelf.counts[item_idx]),
    )


def items_found(
    guides: Guides,
    search: str,
    category: str | None,
    ids: Sequence[str],
    after: str | None,
    limit: int,
) -> ItemsSeen:
    """A page of items, those that most users had first.

    Raises
    ------
    UnknownIdError
        If no item carries the category.
    InvalidInputError
        If the guide does not know the item to go on from.
    """
    begin = 0 if after is None else guides.items.index.get(after, 0)
    if after is not None and not begin:
        raise InvalidInputError(f"after must be the `next` of a page, got {after!r}: begin again")
    is_wanted = _wanted(guides, category, ids)
    found = list(islice(guides.shelf.search(search, is_wanted, begin), limit + 1))
    page = tuple(item_seen(guides, item_idx) for item_idx in found[:limit])
    return ItemsSeen(items=page, next=page[-1].item_id if len(found) > limit else None)


def categories_seen(guides: Guides) -> CategoriesSeen:
    """The largest categories as goals, the most promising first."""
    shelf, names = guides.shelf, guides.items.category_names[:MOST_CATEGORIES]
    if not shelf.n_users:
        return CategoriesSeen(categories=tuple(_unjudged(guides, name) for name in names))
    judged = shelf.suggestions if names else []
    return CategoriesSeen(
        categories=tuple(
            CategorySeen(
                name=one.category,
                items=one.n_items,
                available=_available(guides, one.category),
                reach=one.reach,
                seen=one.seen,
                distance=one.distance,
                score=one.score,
                reasons=one.reasons,
            )
            for one in judged
        )
    )


def _unjudged(guides: Guides, name: str) -> CategorySeen:
    """A category of a guide that knows nobody any more."""
    return CategorySeen(
        name=name,
        items=len(guides.items.of_category(name)),
        available=_available(guides, name),
        reach=0.0,
        seen=0.0,
        distance=None,
        score=0.0,
        reasons=("the guide knows no user to judge it by",),
    )


def _available(guides: Guides, category: str) -> int:
    pool = guides.items.of_category(category).tolist()
    return len(pool) - len(guides.unavailable.intersection(pool))


def _wanted(guides: Guides, category: str | None, ids: Sequence[str]) -> BoolArray:
    """Items of a category, of these ids, if any are given: (n_items + 1,)."""
    items = guides.items
    is_wanted = np.full(len(items) + 1, not ids)
    is_wanted[[items.index[one] for one in ids if one in items.index]] = True
    return is_wanted if category is None else is_wanted & items.carry([category])
