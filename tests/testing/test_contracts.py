"""Contracts catch what they say they catch: each is broken once, and one check notices."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from proactrec.guidance.course import Rails
from proactrec.guidance.decision import Ruled
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.ledger import Free, Ledger, MemoryLedger, Settled
from proactrec.guidance.rails import RailsOptions
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, Decision, Evidence, View
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import TargetNow
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.guides import GuideContract
from proactrec.testing.ledgers import LedgerContract
from proactrec.testing.policies import PolicyContract
from proactrec.testing.toys import Toy
from proactrec.testing.worlds import WorldContract
from proactrec.types import IntArray


def notices(contract: object, check: str) -> bool:
    """Whether a check of a contract fails."""
    try:
        getattr(contract, f"test_{check}")()
    except AssertionError:
        return True
    return False


def checks_of(contract: type) -> set[str]:
    return {name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")}


class ShowsThePast(NextItem):
    def decide(self, view: View) -> Decision:
        last = view.journeys.shown.max(1).values
        found = super().decide(view)
        return found._replace(item_idx=torch.where(last > 0, last, found.item_idx))


class ShowsWhatIsForbidden(NextItem):
    """Where nothing is left, it shows the first item."""

    def decide(self, view: View) -> Decision:
        found = super().decide(view)
        return found._replace(item_idx=found.item_idx.clamp(min=1))


class LooksAround(NextItem):
    """A row depends on the others."""

    def place(self, journeys: Journeys) -> Tensor:
        own = super().place(journeys)
        return own - own.mean(0)


class WritesIntoCandidates(NextItem):
    def decide(self, view: View) -> Decision:
        view.candidates.penalty[:, 1:3] = -torch.inf
        return super().decide(view)


class TakesColumnsForItems(NextItem):
    def decide(self, view: View) -> Decision:
        found = view.candidates.scores(self.encoder.score(view.places)) + view.candidates.penalty
        score, item_idx = found.max(1)
        return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)


class Remembers(NextItem):
    """Once placed, a user stays there for the round: what arrives later is not seen."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.kept: dict[tuple[int, int], Tensor] = {}

    def place(self, journeys: Journeys) -> Tensor:
        made = super().place(journeys)
        keys = zip(journeys.number.tolist(), journeys.round.tolist(), strict=True)
        return torch.stack([self.kept.setdefault(k, p) for k, p in zip(keys, made, strict=True)])


class SaysNever(NextItem):
    renewed_by = "never"


class CountsWhatIsPending(NextItem):
    def place(self, journeys: Journeys) -> Tensor:
        return super().place(journeys) + (journeys.shown > 0).sum(1, keepdim=True)


class ReadsTargets(NextItem):
    def place(self, journeys: Journeys) -> Tensor:
        return super().place(journeys) + self.encoder.item_vectors[journeys.target_idx]


class WeighsOtherwise(NextItem):
    def weigh(self, view: View) -> Tensor:
        return -self.encoder.score(view.places) + view.candidates.penalty


class Overconfident(NextItem):
    def chances(self, view: View) -> Tensor:
        return view.candidates.scores(self.encoder.score(view.places).exp())


class LearnsInPlace(NextItem):
    """Knowing anew, it changes what it knew."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.knowledge = self.prior()

    def prior(self) -> Tensor:
        return torch.zeros(self.encoder.n_items + 1)

    def learned(self, knowledge: Tensor, evidence: Evidence) -> Tensor:
        return knowledge.index_add(0, evidence.item_idx, 9 * (evidence.accepted.float() - 0.5))

    def knowing(self, knowledge: Tensor) -> "LearnsInPlace":
        other = copy.copy(self)
        self.knowledge = other.knowledge = knowledge
        return other

    def decide(self, view: View) -> Decision:
        scores = self.encoder.score(view.places) + self.knowledge
        return view.candidates.best(view.candidates.scores(scores))


BROKEN: dict[type[NextItem], str] = {
    ShowsThePast: "it_shows_a_candidate_or_nothing",
    ShowsWhatIsForbidden: "with_nothing_left_it_shows_nothing",
    LooksAround: "a_journey_is_decided_alike_in_any_company",
    WritesIntoCandidates: "what_it_is_handed_stays_as_it_is",
    TakesColumnsForItems: "candidates_by_name_are_the_catalogue_with_a_penalty",
    Remembers: "answers_may_arrive_in_any_order",
    SaysNever: "a_place_changes_only_by_what_renews_it",
    CountsWhatIsPending: "a_place_changes_only_by_what_renews_it",
    ReadsTargets: "places_that_know_no_target_are_those_of_any_target",
    WeighsOtherwise: "what_it_weighs_is_what_it_shows",
    Overconfident: "chances_are_those_of_the_candidates",
    LearnsInPlace: "learning_makes_another_policy_and_leaves_this_one",
}


@pytest.mark.parametrize(("kind", "check"), BROKEN.items(), ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_policy_is_noticed(kind: type[NextItem], check: str) -> None:
    class Broken(PolicyContract):
        def make(self, toy: Toy) -> NextItem:
            return kind(toy.encoder)

    assert notices(Broken(), check)


def test_every_check_of_policies_is_broken_once() -> None:
    assert set(BROKEN.values()) == checks_of(PolicyContract)


class RefusesInVain(MemoryLedger):
    """It has no place left for one item."""

    def _begin(self, number: int) -> tuple[IntArray, Settled]:
        left, now = super()._begin(number)
        left[4] = 0
        return left, now


class NeverEnds(MemoryLedger):
    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        return super().take(journeys, asked) & (journeys.number > 0)


LEDGERS: dict[str, tuple[Callable[..., Ledger], str]] = {
    "grants all": (lambda *_: Free(), "no_cap_is_broken"),
    "refuses in vain": (RefusesInVain, "what_is_left_is_granted"),
    "never ends": (NeverEnds, "plain_items_need_no_grant"),
    "nothing for one": (NeverEnds, "a_journey_alone_has_everything"),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_a_broken_ledger_is_noticed(name: str) -> None:
    built, check = LEDGERS[name]

    class Broken(LedgerContract):
        def make(self, options: RailsOptions, n_items: int, user: Any) -> Ledger:
            return built(options, n_items, user)

    assert notices(Broken(), check)


class Unmasked(Guide):
    """It shows items to journeys that are over."""

    def decide(self, journeys: Journeys, *args: Any, **more: Any) -> Ruled:
        return super().decide(journeys._replace(is_over=journeys.is_over & False), *args, **more)


class Deaf(Guide):
    """It guides whoever opted out."""

    def decide(self, journeys: Journeys, *args: Any, **more: Any) -> Ruled:
        users = replace(journeys.users, opted_out=journeys.users.opted_out & False)
        return super().decide(journeys._replace(users=users), *args, **more)


class Stale(Guide):
    def renewed(self, places: Places, journeys: Journeys, accepted: Tensor) -> Places:
        return places


class Careless(Guide):
    """It takes nothing off the page."""

    def decide(self, journeys: Journeys, *args: Any, without: Any = None, **more: Any) -> Ruled:
        return super().decide(journeys, *args, **more)


class Pushy(Guide):
    """It pays no heed to what is offered."""

    def decide(self, journeys: Journeys, *args: Any, offered: Any = None, **more: Any) -> Ruled:
        return super().decide(journeys, *args, **more)


class Repeats(Guide):
    """It does not look at what was shown."""

    def view(self, journeys: Journeys, *args: Any) -> View:
        found = super().view(journeys, *args)
        shown = torch.zeros_like(found.candidates.penalty).scatter(1, journeys.shown, 1) > 0
        shown[:, 0] = False
        return found._replace(candidates=Candidates(found.candidates.penalty.masked_fill(shown, 0)))


class Crowded(Guide):
    """A journey's item depends on how many are decided."""

    def decide(self, journeys: Journeys, *args: Any, **more: Any) -> Ruled:
        found = super().decide(journeys, *args, **more)
        return found if len(found.item_idx) > 3 else found._replace(guided=~found.guided)


GUIDES = {
    Unmasked: "nothing_is_shown_where_it_is_over",
    Deaf: "who_opted_out_gets_what_everybody_gets_without_guidance",
    Stale: "kept_places_decide_as_places_made_anew",
    Careless: "it_shows_nothing_that_stands_on_the_page",
    Pushy: "it_shows_nothing_but_what_is_offered",
    Repeats: "it_shows_nothing_that_a_user_has_or_was_shown",
    Crowded: "a_journey_is_decided_alike_in_any_company",
}


@pytest.mark.parametrize(("kind", "check"), GUIDES.items(), ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_guide_is_noticed(kind: type[Guide], check: str) -> None:
    class Broken(GuideContract):
        def make(self, toy: Toy) -> Guide:
            rails, plain = Rails(RailsOptions(guided_budget=9), toy.items), NextItem(toy.encoder)
            return kind(TargetNow(toy.encoder), toy.items, rails, plain)

    assert notices(Broken(), check)


def test_every_check_of_guides_is_broken_once() -> None:
    assert set(GUIDES.values()) == checks_of(GuideContract)


def drawn_by_row(world: World) -> None:
    """Luck of a row in the block, not of a pair."""
    luck = world.luck

    def by_row(user_idx: Any, target_idx: Any, *args: Any, **more: Any) -> Any:
        return luck(np.arange(len(user_idx)), target_idx * 0, *args, **more)

    world.luck = by_row  # type: ignore[method-assign]


def drawn_anew(world: World) -> None:
    """Other luck every time."""
    luck, times = world.luck, []

    def anew(user_idx: Any, *args: Any, **more: Any) -> Any:
        times.append(1)
        return luck(user_idx + len(times), *args, **more)

    world.luck = anew  # type: ignore[method-assign]


def moved_by_refusals(patch: pytest.MonkeyPatch) -> None:
    answer = Environment._answer

    def drifting(self: Environment, slate: Tensor) -> Any:
        self._users = self.user_vectors.roll(1, 1)
        return answer(self, slate)

    patch.setattr(Environment, "_answer", drifting)


def certain(patch: pytest.MonkeyPatch) -> None:
    answer = Environment._answer

    def sure(self: Environment, slate: Tensor) -> Any:
        found = answer(self, slate)
        return found._replace(accept_prob=found.accept_prob * 3)

    patch.setattr(Environment, "_answer", sure)


def never_frozen(patch: pytest.MonkeyPatch) -> None:
    step = Environment.step

    def thawed(self: Environment, *args: Any) -> Any:
        self.is_frozen = self.is_frozen & False
        return step(self, *args)

    patch.setattr(Environment, "step", thawed)


def comes_back(patch: pytest.MonkeyPatch) -> None:
    step = Environment.step

    def returns(self: Environment, *args: Any) -> Any:
        self.has_left = self.has_left & False
        return step(self, *args)

    patch.setattr(Environment, "step", returns)


IN_WORLD = {
    drawn_by_row: "a_pair_has_the_same_luck_in_any_block",
    drawn_anew: "a_game_once_more_is_the_same_game",
}
IN_ENVIRONMENT = {
    moved_by_refusals: "only_an_accepted_item_moves_a_user",
    certain: "chances_are_chances_of_what_was_shown",
    never_frozen: "who_accepted_the_target_is_moved_no_more",
    comes_back: "who_left_is_shown_nothing",
}


@pytest.mark.parametrize("spoil", [*IN_WORLD, *IN_ENVIRONMENT])
def test_a_broken_world_is_noticed(spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(WorldContract):
        def make(self, toy: Toy) -> World:
            world = toy.world(WorldOptions(patience=1))
            if spoil in IN_WORLD:
                spoil(world)
            return world

    if spoil in IN_ENVIRONMENT:
        spoil(monkeypatch)
    assert notices(Broken(), {**IN_WORLD, **IN_ENVIRONMENT}[spoil])


def test_every_check_of_ledgers_and_worlds_is_broken_once() -> None:
    assert {check for _, check in LEDGERS.values()} == checks_of(LedgerContract)
    assert {*IN_WORLD.values(), *IN_ENVIRONMENT.values()} == checks_of(WorldContract)
