"""What holds for every policy, whatever it shows.

::

    from proactrec.testing.policies import PolicyContract

    class TestMine(PolicyContract):
        def make(self, toy):
            return MyPolicy(toy.encoder)
"""

from collections.abc import Iterable
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN, Journeys
from proactrec.policies.base import (
    Candidates,
    Decision,
    Evidence,
    Explains,
    Learner,
    Policy,
    PredictsAcceptance,
    View,
    is_stale,
    what_may_be_shown,
)
from proactrec.rng import torch_generator
from proactrec.testing.toys import Toy, toy

N_ROWS = 15
"""Items of the toy world, and padding."""


class PolicyContract:
    """Checks of one policy; a subclass makes it."""

    may_run_out: ClassVar[bool] = False
    """Whether it may show nothing while something is left, as a planned path does at its end."""

    def make(self, toy: Toy) -> Policy:
        """The policy, for these users and items."""
        raise NotImplementedError

    def test_it_shows_a_candidate_or_nothing(self) -> None:
        """Never padding, nor what a user has or was shown, nor what else is no candidate."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        for view in (seen(policy, journeys), narrowed(policy, journeys)):
            item_idx, n_left = decide(policy, view).item_idx, (view.candidates.penalty == 0).sum(1)
            assert item_idx.shape == journeys.user.shape
            assert item_idx.dtype == torch.int64
            assert (item_idx[n_left == 0] == 0).all(), "item 0 where nothing is left"
            is_shown = item_idx > 0
            assert is_shown.any()
            assert (is_shown | (n_left == 0)).all() or self.may_run_out
            allowed = view.candidates.penalty.gather(1, item_idx[:, None])[:, 0] == 0
            assert allowed[is_shown].all(), "only what may be shown"

    def test_with_nothing_left_it_shows_nothing(self) -> None:
        """Item 0, to everybody."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        view = seen(policy, journeys)
        closed = Candidates(torch.full_like(view.candidates.penalty, -torch.inf))
        assert not decide(policy, view._replace(candidates=closed)).item_idx.any()

    def test_a_journey_is_decided_alike_in_any_company(self) -> None:
        """Together, one by one, in blocks, by rounds and in any order: places and decisions."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        whole = narrowed(policy, journeys)
        together = decide(policy, whole)
        for parts in companies(journeys):
            for rows in parts:
                part = journeys.of(rows)
                places = place(policy, part)
                assert_near(places, whole.places[rows])
                found = decide(policy, whole.of(rows)._replace(places=places))
                assert torch.equal(found.item_idx, together.item_idx[rows])
                assert_near(found.score, together.score[rows])

    def test_what_it_is_handed_stays_as_it_is(self) -> None:
        """Journeys, places and candidates; and a second call says the same."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        view = seen(policy, journeys)
        before = [part.clone() for part in tensors(view)]
        first = decide(policy, view)
        place(policy, journeys)
        for part, old in zip(tensors(view), before, strict=True):
            assert torch.equal(part, old)
        again = decide(policy, view)
        assert torch.equal(again.item_idx, first.item_idx)
        assert torch.equal(again.score, first.score)

    def test_candidates_by_name_are_the_catalogue_with_a_penalty(self) -> None:
        """All items named, or only those that may be shown, decide as the whole catalogue."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        view = narrowed(policy, journeys)
        expected = decide(policy, view)
        for candidates in (named(view.candidates), listed(view.candidates)):
            found = decide(policy, view._replace(candidates=candidates))
            assert torch.equal(found.item_idx, expected.item_idx)
            assert_near(found.score, expected.score)

    def test_chances_are_those_of_the_candidates(self) -> None:
        """Between 0 and 1, in the columns of the candidates."""
        world = toy()
        policy = self.make(world)
        if not isinstance(policy, PredictsAcceptance):
            raise SkipTest("it predicts no acceptance")
        view = narrowed(policy, world.journeys())
        chances, candidates = policy.chances(view), listed(view.candidates)
        assert ((chances >= 0) & (chances <= 1)).all()
        found = policy.chances(view._replace(candidates=candidates))
        assert_near(found, candidates.scores(chances))

    def test_what_it_weighs_is_what_it_shows(self) -> None:
        """The largest value is shown, and nothing is said of what may not be."""
        world = toy()
        policy = self.make(world)
        if not isinstance(policy, Explains):
            raise SkipTest("it explains nothing")
        view = narrowed(policy, world.journeys())
        value = policy.weigh(view)
        shown = decide(policy, view).item_idx
        assert torch.equal(value.argmax(1)[shown > 0], shown[shown > 0])
        assert (value[view.candidates.penalty < 0] == -torch.inf).all()

    def test_answers_may_arrive_in_any_order(self) -> None:
        """A place is a function of the journeys: asking between two answers changes nothing."""
        world = toy()
        journeys, rng = world.journeys(), torch_generator(0, "arrival")
        expected = place(self.make(world), journeys)
        for _ in range(3):
            policy = self.make(world)
            now = journeys._replace(answer=torch.full_like(journeys.answer, UNKNOWN))
            for column in torch.randperm(journeys.n_rounds, generator=rng).tolist():
                answer = now.answer.clone()
                answer[:, column] = journeys.answer[:, column]
                now = now._replace(answer=answer)
                assert place(policy, now).isfinite().all()
            assert torch.equal(place(policy, now), expected)

    def test_a_place_changes_only_by_what_renews_it(self) -> None:
        """As `renewed_by` says; what is shown and not answered yet changes nothing."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        old = place(policy, journeys)
        item_idx = decide(policy, seen(policy, journeys)).item_idx
        taken = item_idx > 0
        for answer in (ACCEPTED, REFUSED, UNKNOWN):
            accepted = taken & (answer == ACCEPTED)
            after = journeys.after(item_idx, accepted, taken)
            stale = is_stale(policy, accepted, taken)
            if answer == UNKNOWN:
                last = journeys.round[:, None] - 1
                after = after._replace(answer=after.answer.scatter(1, last, UNKNOWN))
                stale = stale & False
            new = place(policy, after)
            assert_near(new[~stale], old[~stale])

    def test_places_that_know_no_target_are_those_of_any_target(self) -> None:
        """Hosts make them once for all targets of a user, as `knows_target` says."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        if policy.knows_target:
            raise SkipTest("its places know the target")
        nowhere = journeys._replace(target_idx=torch.zeros_like(journeys.target_idx))
        assert torch.equal(place(policy, nowhere), place(policy, journeys))

    def test_learning_makes_another_policy_and_leaves_this_one(self) -> None:
        """Knowledge is a value: what is known anew decides anew, and only there."""
        world = toy()
        policy, journeys = self.make(world), world.journeys()
        if not isinstance(policy, Learner):
            raise SkipTest("it does not learn")
        first = decide(policy, seen(policy, journeys))
        evidence = evidence_of(first)
        wiser = policy.knowing(policy.learned(policy.prior(), evidence))
        learned = decide(wiser, seen(wiser, journeys))
        assert same(decide(policy, seen(policy, journeys)), first), "the old one is as it was"
        assert isinstance(wiser, Learner)
        back = wiser.knowing(policy.prior())
        assert same(decide(back, seen(back, journeys)), first), "it starts from its prior"
        again = policy.knowing(policy.learned(policy.prior(), evidence))
        assert same(decide(again, seen(again, journeys)), learned), "the same teaches the same"
        of_nothing = Evidence(*(part[:0] for part in evidence if part is not None))
        calm = policy.knowing(policy.learned(policy.prior(), of_nothing))
        found = decide(calm, seen(calm, journeys))
        assert torch.equal(found.item_idx, first.item_idx), "nothing teaches nothing"


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Batches of another size round differently."""
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def place(policy: Policy, journeys: Journeys) -> Tensor:
    """Where users stand."""
    return policy.place(journeys)


@torch.no_grad()
def decide(policy: Policy, view: View) -> Decision:
    """What is shown."""
    return policy.decide(view)


def seen(policy: Policy, journeys: Journeys) -> View:
    """What a policy sees without rails."""
    candidates = what_may_be_shown(journeys, N_ROWS)
    return View(journeys, place(policy, journeys), candidates, journeys.rounds_left)


def narrowed(policy: Policy, journeys: Journeys) -> View:
    """The same with about half of the candidates, and none for the last journey."""
    view = seen(policy, journeys)
    penalty = view.candidates.penalty.clone()
    penalty[torch.rand(penalty.shape, generator=torch_generator(0, "narrowed")) < 0.5] = -torch.inf
    penalty[-1] = -torch.inf
    return view._replace(candidates=Candidates(penalty))


def named(candidates: Candidates) -> Candidates:
    """The whole catalogue, item by item."""
    everything = torch.arange(candidates.penalty.shape[1])
    return Candidates(candidates.penalty, everything.expand_as(candidates.penalty))


def listed(candidates: Candidates) -> Candidates:
    """Only the items that may be shown, padded with item 0."""
    is_open = candidates.penalty == 0
    order = (~is_open).to(torch.int8).argsort(dim=1, stable=True)[:, : int(is_open.sum(1).max())]
    penalty = candidates.penalty.gather(1, order)
    return Candidates(penalty, order.masked_fill(penalty < 0, 0))


def companies(journeys: Journeys) -> Iterable[list[Tensor]]:
    """Rows one by one, in blocks, by round, and shuffled."""
    rows = torch.arange(len(journeys.user))
    yield list(rows.split(1))
    yield list(rows.split(7))
    yield [(journeys.round == number).nonzero()[:, 0] for number in journeys.round.unique()]
    yield [torch.randperm(len(rows), generator=torch_generator(0, "shuffled"))]


def evidence_of(decision: Decision) -> Evidence:
    """Answers to what was decided; every third is accepted, every seventh the last."""
    rows = decision.item_idx.nonzero()[:, 0]
    features = torch.empty(len(rows), 0) if decision.features is None else decision.features[rows]
    number = torch.arange(len(rows))
    return Evidence(decision.item_idx[rows], features, number % 3 == 0, number % 7 > 0)


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions are the same to the last bit."""
    return torch.equal(one.item_idx, other.item_idx) and torch.equal(one.score, other.score)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a named tuple of named tuples."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in tensors(part)] if isinstance(value, tuple) else []
