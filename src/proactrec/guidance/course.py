"""What rails mean for one journey: functions of the journey, which hold no state of a run."""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from proactrec.data.items import Items
from proactrec.guidance.rails import UNLIMITED, RailsOptions, opted_out
from proactrec.journeys import Journeys
from proactrec.rng import generator, uniform_at
from proactrec.types import BoolArray

FORESEEN = 200
"""Rounds over which refusals are foreseen, where more are left or nobody knows how many."""


class Course(NamedTuple):
    """Where journeys stand before a round: who is in none of the masks (n,) may be guided."""

    is_stopped: Tensor  # nothing more is shown
    is_paused: Tensor  # after refusals
    is_spent: Tensor  # no guided rounds are left
    is_due: Tensor  # a plain round, by the share
    rounds_left: Tensor  # (n,), guided ones that are to be expected after this round


class Standing(NamedTuple):
    """What has been counted of journeys so far: all (n,)."""

    n_guided: Tensor
    n_refused: Tensor  # guided items in a row, since the last pause
    n_in_a_row: Tensor  # items in a row, guided or plain
    pause: Tensor  # plain rounds to come
    is_stopped: Tensor

    def where(self, is_new: Tensor, old: "Standing") -> "Standing":
        """The counts where a mask holds, else other ones."""
        return Standing(*(torch.where(is_new, a, b) for a, b in zip(self, old, strict=True)))


class Rails:
    """The rails of a guide: what a journey may be shown, and whether it may be guided now.

    Parameters
    ----------
    options : RailsOptions
    items : Items
    seed : int
        Draws who opts out, and which rounds are plain.
    """

    def __init__(self, options: RailsOptions, items: Items, *, seed: int = 0) -> None:
        self.options = options
        self.is_forbidden = torch.from_numpy(items.carry(options.forbidden_categories))
        self.is_protected = torch.from_numpy(items.carry(options.protected_categories))
        capped = [torch.from_numpy(items.carry((name,))) for name in options.category_caps]
        self._capped = torch.stack(capped) if capped else None  # (n_caps, n_items + 1)
        self._caps = torch.tensor(list(options.category_caps.values()))
        self._item_key, self._run_seed = items.key, seed
        self._seed = int(generator(seed, "rails").integers(2**63))

    def to(self, device: torch.device) -> Self:
        """The rails with their tables on a device."""
        other = copy.copy(self)
        tables = ("is_forbidden", "is_protected", "_capped", "_caps")
        for name, table in ((name, getattr(self, name)) for name in tables):
            setattr(other, name, None if table is None else table.to(device))
        return other

    def opted_out(self, user_ids: Sequence[str]) -> BoolArray:
        """Who is never guided, by their ids: (n_users,)."""
        return opted_out(self.options, user_ids, seed=self._run_seed)

    def may_not(self, journeys: Journeys, n_rows: int) -> Tensor:
        """What caps leave nothing of: (n, n_items + 1) bool, or (1, n_items + 1) if for all."""
        device = journeys.shown.device
        found = torch.zeros(1, n_rows, dtype=torch.bool, device=device)
        if self._capped is not None:
            found = self._full(journeys, self._capped.to(device))
        if self.options.item_cap is not None:
            once = torch.ones_like(journeys.shown)
            nothing = once.new_zeros(len(once), n_rows)
            found = found | (nothing.scatter_add(1, journeys.shown, once) >= self.options.item_cap)
        return found

    def closed(self, journeys: Journeys, items: Tensor) -> Tensor:
        """Whether items (k,) are no targets of journeys (any more), full caps among why: (n, k)."""
        device = journeys.shown.device
        found = (
            (self.is_forbidden | self.is_protected).to(device)[items].expand(len(journeys.user), -1)
        )
        if self._capped is not None:
            capped = self._capped.to(device)
            # Of all places: the last one of a category is kept for its target (see `_full`).
            is_full = self._caps.to(device) <= capped[:, journeys.shown].sum(2).T  # (n, n_caps)
            found = found | (is_full.float() @ capped[:, items].float() > 0)
        if self.options.item_cap is not None:
            times = (journeys.shown[:, :, None] == items).sum(1)
            found = found | (times >= self.options.item_cap)
        return found

    def course(self, journeys: Journeys) -> Course:
        """What earlier answers mean for the round that comes."""
        now = self._standing(journeys)
        budget = UNLIMITED if self.options.guided_budget is None else self.options.guided_budget
        is_due = self._is_due(journeys)
        left = self._rounds_left(journeys, now)
        return Course(now.is_stopped, now.pause > 0, now.n_guided >= budget, is_due, left)

    def _rounds_left(self, journeys: Journeys, now: Standing) -> Tensor:
        """Guided rounds left to every journey after this one: (n,).

        Share, budget and days say how many there are at most. Where refusals end or interrupt
        guidance, as many as are to be expected if acceptances keep their share so far (one
        acceptance and one refusal added).
        """
        options, n_left = self.options, journeys.rounds_left
        near = n_left.clamp(max=FORESEEN)
        left = ((1 - options.plain_share) * n_left.double() - 1e-9).ceil()
        if options.daily_cap is not None and options.rounds_per_day is not None:
            by_days = _left_by_days(journeys, options.daily_cap, options.rounds_per_day)
            left = left.minimum(by_days)
        n_accepted, n_refused = journeys.accepted.sum(1), (journeys.refused > 0).sum(1)
        chance = (1 + n_accepted) / (2 + (n_accepted + n_refused).double())
        if options.stop_after is not None:  # so many rounds, however many there may be
            share = _share_left(chance, now.n_in_a_row, options.stop_after, near + 1, near)
            left = left.minimum(near) * share
        if options.pause_after is not None:
            rest = torch.full_like(near, options.pause_rounds)
            left = left * _share_left(chance, now.n_refused, options.pause_after, rest, near)
        if options.guided_budget is not None:
            left = left.minimum(options.guided_budget - 1 - now.n_guided)
        return left.clamp(min=0)

    def _standing(self, journeys: Journeys) -> Standing:
        """Counts over the answers so far; what is not answered yet counts for nothing."""
        nothing = torch.zeros_like(journeys.user)
        now = Standing(journeys.guided.sum(1), nothing, nothing, nothing, nothing > 0)
        if self.options.pause_after is None and self.options.stop_after is None:
            return now  # nothing goes by the answers
        answers = journeys.guided, journeys.accepted, journeys.refused > 0
        for number in range(journeys.n_past):
            after = self._counted(now, *(part[:, number] for part in answers))
            now = after.where(journeys.round - 1 > number, now)
        return now

    def _counted(
        self, now: Standing, guided: Tensor, accepted: Tensor, refused: Tensor
    ) -> Standing:
        """Counts after one more round."""
        options = self.options
        n_refused = (now.n_refused + (guided & refused)) * ~(accepted & guided)
        n_in_a_row = (now.n_in_a_row + refused) * ~accepted
        is_tired = n_refused >= (options.pause_after or UNLIMITED)
        pause = (now.pause - 1).clamp(min=0).masked_fill(is_tired, options.pause_rounds)
        is_stopped = now.is_stopped | (n_in_a_row >= (options.stop_after or UNLIMITED))
        return Standing(now.n_guided, n_refused * ~is_tired, n_in_a_row, pause, is_stopped)

    def _full(self, journeys: Journeys, capped: Tensor) -> Tensor:
        """What is of a full category: (n, n_items + 1); the last place is kept for the target."""
        targets, caps = journeys.target_idx, self._caps.to(capped.device)
        n_shown = capped[:, journeys.shown].sum(2).T  # (n, n_caps)
        is_targets = capped[:, targets].T  # (n, n_caps)
        is_to_come = ~(journeys.shown == targets[:, None]).any(1, keepdim=True)
        is_full = n_shown + (is_targets & is_to_come) >= caps
        found = is_full.float() @ capped.float() > 0
        own = (is_targets & (n_shown >= caps)).any(1, keepdim=True)
        return found.scatter(1, targets[:, None], own)

    def _is_due(self, journeys: Journeys) -> Tensor:
        """Whether a round is plain by the share: in w rounds, at least ⌊share · w⌋ are.

        Where in the cycle a journey begins goes by the hashed ids of user and target.
        """
        if not self.options.plain_share:
            return torch.zeros_like(journeys.is_over)
        users, targets = journeys.drawing(self._item_key)
        drawn = uniform_at(self._seed, users, targets, users * 0)
        phase = torch.from_numpy(drawn).to(journeys.round.device)
        share, number = self.options.plain_share, journeys.round.double()
        return (number * share + phase).floor() > ((number - 1) * share + phase).floor()


def _left_by_days(journeys: Journeys, cap: int, length: int) -> Tensor:
    """Guided rounds left that a daily cap leaves to each journey, if its user has no other."""
    number, n_left = journeys.round, journeys.rounds_left
    begin = (number - 1) // length * length
    column = torch.arange(journeys.n_rounds, device=number.device)
    is_today = (column >= begin[:, None]) & (column < number[:, None] - 1)
    n_today = (journeys.guided & is_today).sum(1)
    today = n_left.minimum(begin + length - number)
    days, rest = (n_left - today) // length, (n_left - today) % length
    later = days * min(length, cap) + rest.clamp(max=cap)
    return later + (cap - 1 - n_today).clamp(min=0).minimum(today)


def _share_left(
    chance: Tensor, n_refused: Tensor, limit: int, rest: Tensor, n_left: Tensor
) -> Tensor:
    """Expected share of the rounds left that are played, where refusals in a row cost rounds.

    Parameters
    ----------
    chance : float tensor, shape (n,)
        Of acceptance, in every round.
    n_refused : int tensor, shape (n,)
        Refusals in a row before this round.
    limit : int
        So many in a row cost `rest` (n,) rounds; then it begins anew.
    n_left : int tensor, shape (n,)
    """
    is_near = (limit <= n_refused + n_left + 1) & (n_left > 0)
    if not bool(is_near.any()):
        return torch.ones_like(chance)
    chance, row = chance[:, None], torch.arange(len(chance), device=chance.device)
    most = int(n_left.max()) + 1
    played = chance.new_zeros(most + 1, len(chance), limit)  # by refusals in a row before it
    for n_rounds in range(1, most + 1):
        before = played[n_rounds - 1]
        back = played[(n_rounds - 1 - rest).clamp(min=0), row]
        refused = torch.cat([before[:, 1:], back[:, :1]], 1)
        played[n_rounds] = 1 + chance * before[:, :1] + (1 - chance) * refused
    start = n_refused.clamp(max=limit - 1)
    share = (played[n_left + 1, row, start] - 1) / n_left.clamp(min=1)
    return share.masked_fill(~is_near, 1.0)
