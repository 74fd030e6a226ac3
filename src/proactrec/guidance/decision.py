"""What a guide decided, what rails had to do with it, and what others leave to a journey."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from proactrec.journeys import Journeys
from proactrec.policies.base import Decision

REASONS = (
    "opted_out",
    "not_chosen",
    "stopped",
    "paused",
    "budget_spent",
    "plain_share",
    "daily_cap",
    "nothing_passes",
)
GUIDED = -1
"""Of a round that no rail made plain or stopped; others hold the place of a reason."""
STOPPED = REASONS.index("stopped")
OTHER_COUNTS = ("decided_again", "overruled", "items_forbidden")


class Bounds(NamedTuple):
    """What rails that span journeys leave to each of some."""

    is_left_out: Tensor  # (n,) bool: never guided, others are
    is_held: Tensor  # (n,) bool: not guided in this round
    closed: Tensor | None = None  # (n_items + 1,), or by journey: others have these items

    @classmethod
    def free(cls, journeys: Journeys) -> Self:
        """Nothing spans these journeys."""
        nobody = torch.zeros_like(journeys.is_over)
        return cls(nobody, nobody)


class Ruled(NamedTuple):
    """A decision of a guide: what is shown, and what rails had to do with it."""

    item_idx: Tensor  # (n,), 0 where nothing is left to be shown
    score: Tensor  # (n,)
    features: Tensor | None  # (n, n_features), of a policy that learns
    among: Tensor | None  # (n, k), items that might have been drawn, best first; 0: none
    guided: Tensor  # (n,) bool: the policy chose, not a rail
    reason: Tensor  # (n,): place in REASONS of what made it plain, or GUIDED
    n_forbidden: Tensor  # (n,), guided items that rails took away
    n_overruled: Tensor  # (n,), answers of the policy that were
    n_again: Tensor  # (n,), times that others had the item, or the turn
    plain_idx: Tensor | None = None  # (n,), what would be shown unguided; None: no rail bears

    @classmethod
    def free(cls, decision: Decision) -> Self:
        """Of a policy without rails."""
        item_idx, nothing = decision.item_idx, torch.zeros_like(decision.item_idx)
        return cls(*decision, item_idx > 0, nothing + GUIDED, nothing, nothing, nothing)

    def again(self, rows: Tensor, other: Self) -> Self:
        """With these rows decided once more."""
        other = other._replace(
            n_forbidden=self.n_forbidden[rows],
            n_overruled=self.n_overruled[rows] + other.n_overruled,
            n_again=self.n_again[rows] + 1,
        )
        pairs: Any = zip(self, other, strict=True)
        parts: Any = (x if x is None else x.index_copy(0, rows, y) for x, y in pairs)
        return type(self)(*parts)

    def masked(self, is_over: Tensor) -> Self:
        """With nothing shown where it is over."""
        return self._replace(
            item_idx=self.item_idx.masked_fill(is_over, 0),
            among=None if self.among is None else self.among.masked_fill(is_over[:, None], 0),
            guided=self.guided & ~is_over,
        )


def joined(parts: Iterable[Ruled], n: int) -> Ruled:
    """Decisions of some journeys and others, one after the other: `n` in all.

    Filled in as they come: small tensors kept from every block would lie in the way of its large
    ones, so that memory is never used again.
    """
    whole, at = None, 0
    for part in parts:
        to = at + len(part.item_idx)
        if to - at == n:
            return part
        if whole is None:
            empty: Any = (x if x is None else x.new_empty(n, *x.shape[1:]) for x in part)
            whole = Ruled(*empty)
        pairs: Any = zip(whole, part, strict=True)
        for column, of_part in pairs:
            if column is not None:
                column[at:to] = of_part
        at = to
    assert whole is not None
    return whole


class RailCounts:
    """What rails did, over decisions: until targets were accepted.

    Rounds made plain or stopped, by the first reason that holds; those decided again because others
    had the item, or the turn; answers of the policy that were overruled; items that rails took
    away, summed over guided decisions.
    """

    def __init__(self) -> None:
        self._total = torch.zeros((), dtype=torch.int64)  # (1 + n_reasons + n_others,) by now

    def note(self, journeys: Journeys, ruled: Ruled) -> None:
        """Count one more round of some journeys."""
        is_left = ~journeys.has_arrived
        reasons = torch.arange(len(REASONS), device=is_left.device)
        n_of = ((ruled.reason[:, None] == reasons) & is_left[:, None]).sum(0)
        again, forbidden = ruled.n_again * is_left, ruled.n_forbidden * is_left
        others = [x.sum() for x in (again, ruled.n_overruled, forbidden)]
        self._total = self._total + torch.cat([is_left.sum()[None], n_of, torch.stack(others)])

    @property
    def counts(self) -> Counter[str]:
        """All that was counted, by name."""
        names = "decisions", *REASONS, *OTHER_COUNTS
        return Counter(dict(zip(names, self._total.expand(len(names)).tolist(), strict=True)))
