"""Rails that span journeys: who is guided at all, whose turn it is, who gets a scarce item.

A ledger says what is left to journeys, and grants what they ask for or not; who loses decides again
without it, until nobody is over. Here are the two of one process: of journeys that nothing spans,
and of all journeys of a run, in memory. The order of journeys is that of targets, then of users.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.guidance.decision import Bounds, Ruled
from proactrec.guidance.rails import UNLIMITED, RailsOptions
from proactrec.journeys import Journeys
from proactrec.types import BoolArray, FloatArray, IntArray

MOST_UNEQUAL = 1.1
"""Largest share of a group that is guided, by the smallest."""
SCORE_DECIMALS = 5
"""Scores that differ less are equal: batches round differently."""


class Ledger(Protocol):
    """What spans journeys. Hosts have one each: in memory, or the transaction of a decision."""

    def bounds(self, journeys: Journeys) -> Bounds:
        """What is left to these journeys in the round that comes."""
        ...

    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        """Whether each of all journeys of a decision is granted what it asks for: (n,) bool.

        It is called until all are granted; what was granted in the last call stands. Who is not
        asks again within new bounds. `asked.guided` is False for who needs no grant.
        """
        ...


class Free:
    """The ledger of journeys that nothing spans."""

    def bounds(self, journeys: Journeys) -> Bounds:
        """Everything is left."""
        return Bounds.free(journeys)

    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        """Granted."""
        return torch.ones_like(journeys.is_over)


FREE = Free()


class Spent(NamedTuple):
    """What all journeys of a call that comes in parts used up, (n_items + 1,) times each item."""

    before: IntArray  # in the rounds before, by all parts
    now: IntArray  # in this round, by the parts that were asked first


class Settled(NamedTuple):
    """How a round of a :class:`MemoryLedger` went, so that it can be told afterwards."""

    closed: list[BoolArray]  # (n_items + 1,) each, of the first decisions and those after
    last: IntArray  # (n,), by which of them every journey decided at last
    is_held: BoolArray  # (n,)


class MemoryLedger:
    """What the journeys of one run have used up, and what that leaves to them.

    All are in the same round, and decide together.

    Parameters
    ----------
    options : RailsOptions
    n_items : int
    user : int array, shape (n_journeys,)
        User of every journey, in their order, by `Journeys.number`.
    group, names
        Group of every journey (n_journeys,), and what groups are called, for `equal_groups`.
    """

    def __init__(
        self,
        options: RailsOptions,
        n_items: int,
        user: IntArray,
        group: IntArray | None = None,
        names: Sequence[str] = ("everybody",),
    ) -> None:
        self.options, self._user, self._names = options, user, tuple(names)
        self._group = np.zeros_like(user) if group is None else group
        self._n_of_item = np.zeros(n_items + 1, dtype=np.int64)  # guided so far
        self._n_today = np.zeros(int(user.max(initial=0)) + 1, dtype=np.int64)  # of a user
        self.is_left_out = np.zeros(len(user), dtype=bool)
        self._groups: dict[str, dict[str, int]] = {}
        self.rounds: list[Settled] = []
        self._left, self._now = self._begin(1)

    def resume(self, journeys: Journeys, spent: Spent | None = None) -> None:
        """Count what journeys (all of them) used up before; each may be in a round of its own.

        `spent`: by all parts of a call, if these journeys are one of several.
        """
        if spent is None:
            before = times_led(journeys, len(self._n_of_item))
            spent = Spent(before, np.zeros_like(before))
        self._n_of_item += spent.before + spent.now
        length = self.options.rounds_per_day
        if length is not None:
            number = journeys.round.cpu().numpy()[:, None]
            column = np.arange(1, journeys.n_rounds + 1)
            is_today = (column < number) & ((column - 1) // length == (number - 1) // length)
            is_led = (journeys.guided & (journeys.shown > 0)).cpu().numpy()
            np.add.at(self._n_today, self._user, (is_today & is_led).sum(1))
        total = (self.options.item_cap_total or UNLIMITED) - self._n_of_item
        now = (self.options.item_cap_per_round or UNLIMITED) - spent.now
        self._left = np.minimum(total, now)
        self._now = self._now._replace(closed=[self._left <= 0])

    def notes(self) -> dict[str, Any]:
        """Journeys that might be guided, and are, of every group."""
        return {"groups": self._groups} if self.options.equal_groups is not None else {}

    def choose(self, worth: Tensor) -> None:
        """Leave out all but the worthiest journeys; `worth` (n_journeys,), -inf: never guided.

        Raises
        ------
        InvalidInputError
            If there are groups, and one of them would be left without guidance.
        """
        most = self.options.guided_pairs
        if most is None:
            return
        values, n_groups = worth.cpu().double().numpy(), len(self._names)
        sizes = np.bincount(self._group[values > -np.inf], minlength=n_groups)
        budget = int(most if most > 1 else most * len(values) + 1e-9)
        quotas = _quotas(sizes, budget)
        if self.options.equal_groups is not None:
            if budget and sizes.any() and not quotas.any():
                raise InvalidInputError(
                    "rails.guided_pairs must be enough to treat the groups of rails.equal_groups "
                    f"alike, got {budget} campaigns for groups of {sizes.tolist()}"
                )
            self._groups = {
                name: {"campaigns": int(size), "guided": int(quota)}
                for name, size, quota in zip(self._names, sizes, quotas, strict=True)
            }
        self.is_left_out = _place_among(self._group, values) >= quotas[self._group]

    def bounds(self, journeys: Journeys) -> Bounds:
        """What is left to these journeys in this round, as settled so far."""
        at, now = journeys.number.cpu().numpy(), self._now
        masks = self.is_left_out[at], now.is_held[at], now.closed[-1]
        return Bounds(*(torch.from_numpy(mask).to(journeys.user.device) for mask in masks))

    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        """Who may have what; if everybody may, the round ends with these decisions."""
        item_idx, score = asked.item_idx.cpu().numpy(), asked.score.cpu().double().numpy()
        loses = self._losers(item_idx, score, asked.guided.cpu().numpy())
        if loses.any():
            self._now.last[loses] = len(self._now.closed) - 1
        else:
            self._end(item_idx, asked.guided.cpu().numpy())
        return torch.from_numpy(~loses).to(journeys.user.device)

    def _losers(self, item_idx: IntArray, score: FloatArray, is_guided: BoolArray) -> BoolArray:
        """Who has to decide again: (n_journeys,)."""
        loses, now = np.zeros_like(is_guided), self._now
        if len(now.closed) == 1 and self.options.daily_cap is not None:
            rows = np.flatnonzero(is_guided)
            users = self._user[rows]
            place = _place_among(users, np.zeros(len(rows)))
            late = rows[place >= self.options.daily_cap - self._n_today[users]]
            loses[late] = now.is_held[late] = True
        rows = np.flatnonzero(is_guided & ~loses)
        items = item_idx[rows]
        over = rows[_place_among(items, score[rows]) >= self._left[items]]
        loses[over] = True
        closed = now.closed[-1].copy()
        closed[item_idx[over]] = True
        now.closed.append(closed)
        return loses

    def _end(self, item_idx: IntArray, is_guided: BoolArray) -> None:
        """Count what was granted; the next round begins."""
        np.add.at(self._n_of_item, item_idx[is_guided], 1)
        np.add.at(self._n_today, self._user[is_guided], 1)
        self.rounds.append(self._now)
        self._left, self._now = self._begin(len(self.rounds) + 1)

    def _begin(self, number: int) -> tuple[IntArray, Settled]:
        """Places of every item in a round, (n_items + 1,), and a round in which nobody is held."""
        options = self.options
        if options.rounds_per_day is not None and (number - 1) % options.rounds_per_day == 0:
            self._n_today[:] = 0
        total = (options.item_cap_total or UNLIMITED) - self._n_of_item
        left = np.minimum(total, options.item_cap_per_round or UNLIMITED)
        nobody = np.zeros(len(self._user), dtype=bool)
        return left, Settled([left <= 0], nobody.astype(np.int64), nobody)


class Recorded:
    """What a :class:`MemoryLedger` left to each journey, told again in any order.

    Parameters
    ----------
    ledger : MemoryLedger
        Of journeys that have been played.
    """

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def bounds(self, journeys: Journeys) -> Bounds:
        """As each journey's last decision found it."""
        at, number = journeys.number.cpu().numpy(), journeys.round.cpu().numpy() - 1
        settled = [self._ledger.rounds[n] for n in number]
        closed = [s.closed[s.last[row]] for s, row in zip(settled, at, strict=True)]
        held = [s.is_held[row] for s, row in zip(settled, at, strict=True)]
        masks = self._ledger.is_left_out[at], np.array(held), np.stack(closed)
        return Bounds(*(torch.from_numpy(mask).to(journeys.user.device) for mask in masks))

    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        """Granted: it was."""
        return FREE.take(journeys, asked)


def times_led(journeys: Journeys, n_rows: int) -> IntArray:
    """How often each item was a guided one in the rounds so far: (n_rows,), n_items + 1 of them."""
    led = (journeys.shown * journeys.guided).cpu().numpy()
    return np.bincount(led[led > 0], minlength=n_rows)


def _quotas(sizes: IntArray, budget: int) -> IntArray:
    """Journeys of every group that are guided, of those that may be: (n_groups,).

    As many as the budget allows with shares that differ by no more than :data:`MOST_UNEQUAL`; of
    all least shares that some group may have, the one with which most journeys are guided.
    """
    least = np.unique(np.concatenate([np.arange(1, n + 1) / n for n in sizes]))  # (n_shares,)
    quotas = np.ceil(np.outer(least, sizes) - 1e-9).astype(np.int64)  # (n_shares, n_groups)
    shares = np.divide(quotas, sizes, out=np.zeros(quotas.shape), where=sizes > 0)
    total = quotas.sum(1)
    fits = (total <= budget) & (shares.max(1) <= MOST_UNEQUAL * least + 1e-9)
    best: IntArray = (
        quotas[np.where(fits, total, 0).argmax()] if fits.any() else np.zeros_like(sizes)
    )
    return best


def _place_among(key: IntArray, score: FloatArray) -> IntArray:
    """Place of each among those of the same key, highest score first, then by order: as `key`."""
    order = np.lexsort((-score.round(SCORE_DECIMALS), key))
    place = np.empty(len(key), dtype=np.int64)
    found = key[order]
    place[order] = np.arange(len(key)) - np.searchsorted(found, found)
    return place
