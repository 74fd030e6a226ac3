"""What holds for every ledger: rails that span journeys, whoever counts.

::

    from proactrec.testing.ledgers import LedgerContract

    class TestMine(LedgerContract):
        def make(self, options, n_items, user):
            return MyLedger(options, n_items, user)
"""

import numpy as np
import torch
from torch import Tensor

from proactrec.guidance.decision import Ruled
from proactrec.guidance.ledger import Ledger
from proactrec.guidance.rails import RailsOptions
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, Decision
from proactrec.rng import torch_generator
from proactrec.testing.toys import toy
from proactrec.types import IntArray

CAPS = (
    RailsOptions(item_cap_per_round=2),
    RailsOptions(item_cap_total=3),
    RailsOptions(item_cap_per_round=1, item_cap_total=2),
    RailsOptions(daily_cap=1, rounds_per_day=2),
    RailsOptions(daily_cap=2, rounds_per_day=3, item_cap_per_round=3, item_cap_total=7),
)
MOST_ASKED = 200
"""Times that all ask in a round before grants are said never to end."""


class LedgerContract:
    """Checks of one ledger under every cap; a subclass makes it."""

    def make(self, options: RailsOptions, n_items: int, user: IntArray) -> Ledger:
        """The ledger of journeys of these users (n_journeys,), numbered in their order."""
        raise NotImplementedError

    def test_no_cap_is_broken(self) -> None:
        """By round, in all, and by user and day; everybody asks for what is best in their eyes."""
        for options in CAPS:
            rounds = self._rounds(options)
            user = toy().begun().user
            counts = torch.stack([guided_to(items) for items in rounds])  # (n_rounds, n_items + 1)
            if options.item_cap_per_round is not None:
                assert counts.max() <= options.item_cap_per_round
            if options.item_cap_total is not None:
                assert counts.sum(0).max() <= options.item_cap_total
            if options.daily_cap is not None and options.rounds_per_day is not None:
                for day in torch.stack(rounds).split(options.rounds_per_day):
                    of_users = torch.zeros(int(user.max()) + 1).index_add(
                        0, user, (day > 0).float().sum(0)
                    )
                    assert of_users.max() <= options.daily_cap

    def test_what_is_left_is_granted(self) -> None:
        """Who is held or loses an item finds the cap used up: nothing is refused in vain."""
        for options in CAPS:
            ledger, journeys = self._begun(options)
            n_of_item = torch.zeros(len(toy().items) + 1, dtype=torch.int64)
            for number in range(journeys.n_rounds):
                asked, lost = settled(ledger, journeys, wishes(number))
                counts = guided_to(guided_items(asked))
                total = n_of_item + counts
                per_round = options.item_cap_per_round or len(journeys.user)
                in_all = options.item_cap_total or len(journeys.user) * journeys.n_rounds
                assert ((counts == per_round) | (total == in_all))[lost].all()
                n_of_item = total
                journeys = after(journeys, asked)

    def test_a_journey_alone_has_everything(self) -> None:
        """Caps are of all journeys: the first of a round, alone, gets what it asks for."""
        for options in CAPS:
            ledger = self.make(options, len(toy().items), np.zeros(1, np.int64))
            journeys = toy().begun().of(slice(0, 1))
            bounds = ledger.bounds(journeys)
            assert not bounds.is_held.any()
            assert not bounds.is_left_out.any()
            assert ledger.take(journeys, asking(ledger, journeys, wishes(0)[:1])).all()

    def test_plain_items_need_no_grant(self) -> None:
        """All are shown the same one, again and again."""
        for options in CAPS:
            ledger, journeys = self._begun(options)
            nothing = torch.zeros_like(journeys.user)
            plain = Ruled.free(Decision(nothing + 5, nothing.float()))
            plain = plain._replace(guided=nothing > 0)
            for _ in range(3):
                assert ledger.take(journeys, plain).all()
                journeys = after(journeys, plain)

    def _begun(self, options: RailsOptions) -> tuple[Ledger, Journeys]:
        journeys = toy().begun()
        return self.make(options, len(toy().items), journeys.user_rows), journeys

    def _rounds(self, options: RailsOptions) -> list[Tensor]:
        """Guided items of every round: (n_journeys,) each, 0 where there was none."""
        (ledger, journeys), rounds = self._begun(options), []
        for number in range(journeys.n_rounds):
            asked, _ = settled(ledger, journeys, wishes(number))
            rounds.append(guided_items(asked))
            journeys = after(journeys, asked)
        return rounds


def wishes(number: int) -> Tensor:
    """How much every journey wants every item in a round: (n_journeys, n_items + 1).

    The same item is the best to most; in every other round all want alike, to the last bit.
    """
    journeys, n_rows = toy().begun(), len(toy().items) + 1
    wanted = torch.rand(len(journeys.user), n_rows, generator=torch_generator(number, "wishes"))
    wanted[:, 4] += 0.7
    return wanted[:1].expand_as(wanted).clone() if number % 2 else wanted


def asking(ledger: Ledger, journeys: Journeys, wanted: Tensor) -> Ruled:
    """What journeys ask for within their bounds: the best open item, or a plain one."""
    bounds = ledger.bounds(journeys)
    penalty = torch.zeros_like(wanted)
    if bounds.closed is not None:
        penalty = penalty.masked_fill(bounds.closed, -torch.inf)
    penalty[:, 0] = -torch.inf
    best = Ruled.free(Candidates(penalty).best(wanted.clone()))
    is_plain = bounds.is_held | bounds.is_left_out | (best.item_idx == 0)
    return best._replace(item_idx=best.item_idx.masked_fill(is_plain, 5), guided=~is_plain)


def settled(ledger: Ledger, journeys: Journeys, wanted: Tensor) -> tuple[Ruled, list[int]]:
    """A round as a guide plays it: what was granted, and the items that were lost to others."""
    asked, lost = asking(ledger, journeys, wanted), list[int]()
    for _ in range(MOST_ASKED):
        rows = (~ledger.take(journeys, asked)).nonzero()[:, 0]
        if not len(rows):
            return asked, lost
        assert asked.guided[rows].all(), "who needs no grant loses nothing"
        bounds, items = ledger.bounds(journeys.of(rows)), asked.item_idx[rows]
        assert bounds.closed is not None
        closed = bounds.closed.expand(len(rows), -1).gather(1, items[:, None])[:, 0]
        assert (closed | bounds.is_held).all(), "who loses is told what is left"
        lost += items[closed & ~bounds.is_held].tolist()
        asked = asked.again(rows, asking(ledger, journeys.of(rows), wanted[rows]))
    raise AssertionError("grants never end")


def after(journeys: Journeys, asked: Ruled) -> Journeys:
    """The next round; nothing was accepted."""
    return journeys.after(asked.item_idx, torch.zeros_like(asked.guided), asked.guided)


def guided_items(asked: Ruled) -> Tensor:
    """Items that need a grant, 0 elsewhere: (n,)."""
    return asked.item_idx * asked.guided


def guided_to(items: Tensor) -> Tensor:
    """Journeys guided to every item: (n_items + 1,), 0 for padding."""
    counts = items.bincount(minlength=len(toy().items) + 1)
    counts[0] = 0
    return counts
