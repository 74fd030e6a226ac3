"""The plain item when nothing can be kept of a decision: from the guide's folder alone."""

from collections.abc import Collection, Sequence

import torch

from proactrec.guidance.walks import Walk, journeys_of
from proactrec.serving.choosing import known_of
from proactrec.serving.guides import Guides
from proactrec.serving.requests import Ask, Plain


def plain_items(
    asks: Sequence[Ask], guides: Guides, because: str, erased: Collection[int] | None = ()
) -> list[Plain]:
    """The caller's own choice, or what suits best of what the guide does not know users to have."""
    free = [row for row, ask in enumerate(asks) if not ask.candidates]
    found = dict(zip(free, _suiting([asks[row] for row in free], guides, erased), strict=True))
    items, plain = guides.items, []
    for row, ask in enumerate(asks):
        item_id = items.item_ids[found[row] - 1] if found.get(row) else ""
        item_id = ask.candidates[0] if ask.candidates else item_id
        plain.append(Plain(item_id, items.title_of(item_id), because))
    return plain


@torch.no_grad()
def _suiting(asks: Sequence[Ask], guides: Guides, erased: Collection[int] | None) -> list[int]:
    if not asks:
        return []
    known = [known_of(ask.user_id, guides, erased) for ask in asks]
    walks = [
        Walk(ask.user_id, one.row, one.items, False, 0)
        for ask, one in zip(asks, known, strict=True)
    ]
    sold_out = torch.tensor([sorted(guides.unavailable)] * len(asks), dtype=torch.int64)
    found: list[int] = guides.plain().decide(journeys_of(walks), without=sold_out).item_idx.tolist()
    return found
