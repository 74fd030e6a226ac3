"""What holds for every guide, and so for every host that asks one.

::

    from proactrec.testing.guides import GuideContract

    class TestMine(GuideContract):
        def make(self, toy):
            options = RailsOptions(plain_share=0.3)
            rails = Rails(options, toy.items)
            return Guide(MyPolicy(toy.encoder), toy.items, rails, NextItem(toy.encoder))
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.guidance.decision import Ruled
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.ledger import Free
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates
from proactrec.testing.policies import companies
from proactrec.testing.toys import Toy, toy


class GuideContract:
    """Checks of one guide; a subclass makes it."""

    def make(self, toy: Toy) -> Guide:
        """The guide, of these users and items."""
        raise NotImplementedError

    def test_a_journey_is_decided_alike_in_any_company(self) -> None:
        """Together, one by one, in blocks, by rounds, in any order and side by side."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        together = decide(guide, journeys)
        for parts in companies(journeys):
            for rows in parts:
                assert alike(decide(guide, journeys.of(rows)), together, rows)
        everything = torch.arange(len(journeys.user))
        with ThreadPoolExecutor(2) as pool:
            found = decide(guide, journeys, map_blocks=pool.map)
        assert alike(found, together, everything)

    def test_kept_places_decide_as_places_made_anew(self) -> None:
        """Through a whole journey, renewed where the guide says that they are stale."""
        world = toy()
        guide, journeys = self.make(world), world.begun()
        places = guide.first_places(journeys)
        for number in range(journeys.n_rounds):
            going = (~journeys.is_over).nonzero()[:, 0]
            kept = decide(guide, journeys, places=places)
            assert alike(decide(guide, journeys.of(going)), kept, going)
            accepted = (kept.item_idx > 0) & (journeys.number % 3 == number % 3)
            journeys = journeys.after(kept.item_idx, accepted, kept.guided)
            is_over = journeys.is_over | (journeys.number % 11 == number)
            journeys = journeys._replace(is_over=is_over)
            places = guide.renewed(places, journeys, accepted)

    def test_nothing_is_shown_where_it_is_over(self) -> None:
        """And nobody else notices."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        before = decide(guide, journeys)
        is_over = journeys.number % 2 == 0
        found = decide(guide, journeys._replace(is_over=is_over))
        assert not found.item_idx[is_over].any()
        assert not found.guided[is_over].any()
        left = (~is_over).nonzero()[:, 0]
        assert torch.equal(found.item_idx[left], before.item_idx[left])

    def test_it_shows_nothing_that_a_user_has_or_was_shown(self) -> None:
        """Nor padding; where refused items may come again, only what was accepted counts."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        ruled = decide(guide, journeys)
        seen = journeys.shown * journeys.accepted if guide.shows_again else journeys.shown
        assert ruled.item_idx.any()
        assert (ruled.guided <= (ruled.item_idx > 0)).all(), "nothing shown is nothing guided"
        for row, item in enumerate(ruled.item_idx.tolist()):
            had = journeys.users.history.of(int(journeys.user[row]))
            assert not item or item not in {*had.tolist(), *seen[row].tolist()}

    def test_it_shows_nothing_that_stands_on_the_page(self) -> None:
        """What the host shows in other places is handed in."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        first = decide(guide, journeys).item_idx
        second = decide(guide, journeys, without=first[:, None]).item_idx
        assert (second != first)[first > 0].all()

    def test_it_shows_nothing_but_what_is_offered(self) -> None:
        """Where something is; a row of zeros is the whole catalogue."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        n_users, is_free = len(journeys.user), journeys.number % 3 == 0
        offered = torch.arange(1, 6).expand(n_users, -1) + journeys.number[:, None] % 9
        found = decide(guide, journeys, offered=offered * ~is_free[:, None])
        is_within = (offered == found.item_idx[:, None]).any(1)
        assert (is_within | is_free | (found.item_idx == 0)).all()
        assert (found.item_idx[~is_free] > 0).any()
        assert torch.equal(found.item_idx[is_free], decide(guide, journeys).item_idx[is_free])

    def test_who_opted_out_gets_what_everybody_gets_without_guidance(self) -> None:
        """The most relevant item, never counted as guided; a guide that can't tell it refuses."""
        world = toy()
        guide, journeys = self.make(world), world.journeys()
        is_out = np.arange(len(journeys.users.key)) % 2 == 0
        journeys = journeys._replace(users=replace(journeys.users, opted_out=is_out))
        if guide.rails is None:
            assert refuses(guide, journeys)
            return
        ruled, out = decide(guide, journeys), journeys.at(is_out)
        assert torch.equal(ruled.item_idx[out], plain_items(guide, journeys)[out])
        assert not ruled.guided[out].any()
        other = journeys._replace(target_idx=journeys.target_idx.flip(0))
        assert torch.equal(decide(guide, other).item_idx[out], ruled.item_idx[out])


def decide(guide: Guide, journeys: Journeys, **how: Any) -> Ruled:
    """What is shown; rails that span journeys are their ledger's, and here everything is left."""
    return guide.decide(journeys, Free(), **how)


def refuses(guide: Guide, journeys: Journeys) -> bool:
    """Whether it says that it can't decide these."""
    try:
        decide(guide, journeys)
    except InvalidInputError:
        return True
    return False


def plain_items(guide: Guide, journeys: Journeys) -> Tensor:
    """The most relevant items that are not forbidden to everybody: (n,)."""
    assert guide.rails is not None
    assert guide.recommender is not None
    relevance = guide.places(journeys).relevance
    view = guide.view(journeys, Places(relevance, relevance))
    penalty = view.candidates.penalty.masked_fill(guide.rails.is_forbidden, -torch.inf)
    with torch.no_grad():
        return guide.recommender.decide(view._replace(candidates=Candidates(penalty))).item_idx


def alike(part: Ruled, whole: Ruled, rows: Tensor) -> bool:
    """Whether a part is decided as these rows of the whole."""
    names = ("item_idx", "guided", "reason", "n_forbidden", "n_overruled", "n_again")
    return all(torch.equal(getattr(part, name), getattr(whole, name)[rows]) for name in names)
