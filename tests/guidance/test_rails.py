"""Guard rails: whole rollouts of many policies under random rails, judged by a slow checker."""

import itertools
import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from proactrec.evaluation.protocols import COMMON, OFFICIAL, Protocol
from proactrec.guidance import guide as guide_module
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions, opted_out
from proactrec.journeys import OPEN_ENDED, Journeys
from proactrec.policies.base import Decision, Evidence, Policy, View
from proactrec.policies.belief import AcceptanceModel
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.reference import Random

from .drawn import N_EXAMPLES, rails_options
from .judge import journey, of, relevance, violations
from .toys import N_ROUNDS, POLICIES, TARGETS, Toy, assert_same

JUDGED: list[int] = []
"""Decisions of every run of random rails."""


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rails=rails_options(),
    name=st.sampled_from(POLICIES),
    seed=st.integers(0, 3),
    exclude=st.sampled_from(["shown", "accepted"]),
    end=st.sampled_from(["known", "unknown"]),
)
def test_no_policy_ever_breaks_a_rail(
    toy: Toy, rails: RailsOptions, name: str, seed: int, exclude: str, end: str
) -> None:
    log = toy.play(toy.guide(name, rails, seed), seed=seed, exclude=exclude, end=end)
    assert violations(log, toy, rails, seed, exclude) == set()
    JUDGED.append(int(log.is_shown.sum()))


def test_decisions_were_judged() -> None:
    """How many: shown by ``pytest -rP``."""
    if not JUDGED:
        pytest.skip("the test before was not run")
    print(f"{sum(JUDGED):,} decisions in {len(JUDGED)} runs, no violation")
    assert sum(JUDGED) > 100 * len(JUDGED)


ONE_RAIL: dict[str, dict[str, Any]] = {
    "relevance_floor": {"relevance_floor": 0.2},
    "forbidden_categories": {"forbidden_categories": ("b",)},
    "protected_categories": {"protected_categories": ("b",)},
    "category_caps": {"category_caps": {"a": 1, "d": 0}},
    "plain_share": {"plain_share": 0.5},
    "guided_budget": {"guided_budget": 2},
    "pause_after": {"pause_after": 2, "pause_rounds": 2},
    "stop_after": {"stop_after": 2},
    "item_cap_per_round": {"item_cap_per_round": 1},
    "item_cap_total": {"item_cap_total": 4},
    "daily_cap": {"daily_cap": 2, "rounds_per_day": 3},
    "guided_pairs": {"guided_pairs": 0.3},
    "opt_out": {"opt_out": ("u02",)},
}


@pytest.mark.parametrize("name", ["itmprec", "random", "foresight", "planned never"])
@pytest.mark.parametrize("rail", ONE_RAIL)
def test_every_rail_bites(toy: Toy, rail: str, name: str) -> None:
    """Without it the checker finds the violation, and that one only; with it, none."""
    rails = RailsOptions(**ONE_RAIL[rail])
    assert violations(toy.play(name), toy, rails) == {rail}
    assert violations(toy.play(toy.guide(name, rails)), toy, rails) == set()


@pytest.mark.parametrize("name", ["itmprec", "ipg", "nearest", "next-item", "oracle"])
def test_an_item_that_is_refused_does_not_come_again_for_ever(toy: Toy, name: str) -> None:
    rails = RailsOptions(item_cap=1)
    free = toy.play(name, exclude="accepted")
    assert violations(free, toy, rails, exclude="accepted") == {"item_cap"}
    log = toy.play(toy.guide(name, rails), exclude="accepted")
    assert violations(log, toy, rails, exclude="accepted") == set()
    assert_same(log, toy.play(name))  # one time each is what "shown" means


@pytest.mark.parametrize("protocol", [COMMON, OFFICIAL], ids=["common", "official"])
@pytest.mark.parametrize("name", POLICIES)
def test_rails_that_are_off_or_never_touched_change_nothing(
    toy: Toy, name: str, protocol: Protocol
) -> None:
    free = toy.play(name, protocol)
    assert_same(toy.play(toy.guide(name, RailsOptions()), protocol), free)
    loose = RailsOptions(relevance_floor=1.0, guided_budget=100, stop_after=100, item_cap=99)
    assert_same(toy.play(toy.guide(name, loose), protocol), free)
    loose = RailsOptions(
        item_cap_per_round=99,
        item_cap_total=999,
        daily_cap=99,
        rounds_per_day=9,
        guided_pairs=1,
        equal_groups="activity",
    )
    assert_same(toy.play(toy.guide(name, loose), protocol), free)


@pytest.mark.parametrize("name", ["itmprec", "random", "foresight", "planned refusal"])
def test_who_opted_out_sees_what_next_item_shows(toy: Toy, name: str) -> None:
    rails = RailsOptions(
        opt_out=("u03",), opt_out_share=0.5, stop_after=1, category_caps={"a": 1}, plain_share=0.3
    )
    log, plain = toy.play(toy.guide(name, rails)), toy.play("next-item")
    is_out = opted_out(rails, toy.dataset.user_ids, seed=0)[log.user_idx]
    assert 0.1 < is_out.mean() < 0.9
    for part in ("item_idx", "accepted", "interest", "rank"):
        np.testing.assert_array_equal(getattr(log, part)[is_out], getattr(plain, part)[is_out])
    assert (log.item_idx[~is_out] != plain.item_idx[~is_out]).any()


@pytest.mark.parametrize("name", ["foresight", "planned refusal", "ipg"])
def test_rails_do_not_depend_on_blocks(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rails = RailsOptions(relevance_floor=0.5, plain_share=0.3, pause_after=2, opt_out_share=0.2)
    whole = toy.play(toy.guide(name, rails))
    monkeypatch.setattr(guide_module, "MAX_BLOCK", 5)
    assert_same(toy.play(toy.guide(name, rails)), whole)


def test_everybody_plain_is_next_item(toy: Toy) -> None:
    plain = toy.play("next-item")
    for values in (
        {"plain_share": 1.0},
        {"guided_budget": 0},
        {"opt_out_share": 1.0},
        {"guided_pairs": 0},
    ):
        log = toy.play(toy.guide("foresight", RailsOptions(**values)))  # type: ignore[arg-type]
        np.testing.assert_array_equal(log.item_idx, plain.item_idx)


@pytest.mark.parametrize("floor", [0.2, 0.35])
def test_nothing_guided_is_less_likely_accepted_than_the_floor(toy: Toy, floor: float) -> None:
    """Chances by hand, for a belief that only acceptances move and that learns nothing."""
    believes = ForesightOptions(learns=False, belief_variance=0.0, item_shrinkage=None)
    inner = toy.foresight(believes)
    weak = {}
    for is_on in (False, True):
        rails = RailsOptions(acceptance_floor=floor if is_on else None)
        log = toy.play(toy.guide(inner, rails))
        weak[is_on] = n_unlikely(log, toy, inner, floor)
    assert weak[True] == 0 < weak[False]


def n_unlikely(log: GuidanceLog, toy: Toy, policy: Foresight, floor: float) -> int:
    prior, items = policy.prior(), toy.believed.item_vectors.double().numpy()
    score, found = relevance(log, toy), 0
    for pair, user in enumerate(log.user_idx):
        place = toy.believed.user_vectors[user].double().numpy()
        for one in journey(log, pair, score[pair], toy, RailsOptions()):
            logit = float(prior.weights[0]) + prior.slope * place @ items[one.item]
            is_weak = 1 / (1 + math.exp(-logit)) < floor - 1e-6
            found += bool(one.item) and not one.looks_plain and is_weak
            if one.accepted:
                place = 0.8 * place + 0.2 * items[one.item]
                place /= np.linalg.norm(place)
    return found


class Witness(Foresight):
    """Notes what it is taught."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.taught: list[Evidence] = []

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        self.taught.append(evidence)
        return super().learned(knowledge, evidence)


def test_a_learner_is_taught_about_the_plain_items_that_were_shown(toy: Toy) -> None:
    policy = toy.foresight(kind=Witness)
    assert isinstance(policy, Witness)
    rails = RailsOptions(plain_share=0.5)
    log = toy.play(toy.guide(policy, rails))
    first = policy.taught[0]
    np.testing.assert_array_equal(first.item_idx, log.item_idx[:, 0])
    users = toy.believed.user_vectors[torch.from_numpy(log.user_idx)]
    foreseen = (users * toy.believed.item_vectors[first.item_idx]).sum(1)
    torch.testing.assert_close(first.features[:, 0], foreseen)
    assert len(policy.taught) == N_ROUNDS - 1


class Wilful(Policy):
    """Wants what comes first of a category, whatever may be shown, and tampers with what may."""

    name: ClassVar[str] = "wilful"

    def decide(self, view: View) -> Decision:
        view.candidates.penalty.zero_()
        item_idx = torch.full_like(view.target_idx, min(of(("b",))))
        return Decision(item_idx, torch.ones(len(item_idx)))


@pytest.mark.parametrize("rail", ["forbidden_categories", "protected_categories"])
def test_who_asks_for_what_may_not_be_shown_is_overruled(toy: Toy, rail: str) -> None:
    rails = RailsOptions(**ONE_RAIL[rail])
    log, _, _, told = toy.played(toy.guide(Wilful(), rails))
    assert violations(log, toy, rails) == set()
    assert not log.guided.any()
    assert told["overruled"] >= log.is_shown.sum() > 0


def test_plain_rounds_come_as_often_as_asked_for(toy: Toy) -> None:
    told = toy.played(toy.guide("random", RailsOptions(plain_share=0.25))).rails
    assert told["plain_share"] / told["decisions"] == pytest.approx(0.25, abs=0.05)


def test_notes_count_what_rails_did_until_the_target_was_accepted(toy: Toy) -> None:
    rails = RailsOptions(opt_out=("u02",), guided_budget=3, forbidden_categories=("b",))
    log, _, _, told = toy.played(toy.guide("ipg", rails))
    is_left = np.ones(log.item_idx.shape, bool)
    hit = log.accepted & (log.item_idx == log.target_idx[:, None])
    is_left[:, 1:] = ~np.maximum.accumulate(hit, 1)[:, :-1]
    is_out = opted_out(rails, toy.dataset.user_ids, seed=0)[log.user_idx]
    assert told["decisions"] == is_left.sum()
    assert told["opted_out"] == is_left[is_out].sum()
    assert told["budget_spent"] == is_left[~is_out, 3:].sum()
    assert told["stopped"] == told["paused"] == told["nothing_passes"] == 0
    assert told["items_forbidden"] > 0


class Ahead(Random):
    """Notes how many rounds it is told are left, and what was there to tell it by."""

    def __init__(self, toy: Toy) -> None:
        super().__init__(toy.dataset.items.key)
        self.told: list[Tensor] = []
        self.journeys: list[Journeys] = []

    def decide(self, view: View) -> Decision:
        self.told.append(view.rounds_left)
        self.journeys.append(view.journeys)
        return super().decide(view)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"stop_after": 9}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"guided_budget": 3}, [2, 1, 0, 0, 0, 0, 0, 0]),
        ({"plain_share": 0.5}, [4, 3, 3, 2, 2, 1, 1, 0]),
        ({"daily_cap": 9, "rounds_per_day": 2}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"daily_cap": 2, "rounds_per_day": 3}, [5, 4, 4, 3, 2, 2, 1, 0]),
    ],
)
def test_who_looks_ahead_is_told_how_many_guided_rounds_are_left(
    toy: Toy, values: dict[str, Any], left: list[int]
) -> None:
    policy = Ahead(toy)
    toy.play(toy.guide(policy, RailsOptions(**values)), targets=TARGETS[:1])
    told: dict[int, set[float]] = {}
    for journeys, rounds in zip(policy.journeys, policy.told, strict=True):
        number = int(journeys.round[0])
        told.setdefault(number, set()).update(rounds[~journeys.has_arrived].tolist())
    assert told == {number: {x} for number, x in enumerate(left, start=1)}


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"guided_budget": 3}, [2, 1, 0, 0, 0, 0, 0, 0]),
        ({"plain_share": 0.25}, [0.75 * OPEN_ENDED] * N_ROUNDS),
        ({"daily_cap": 9, "rounds_per_day": 2}, [OPEN_ENDED] * N_ROUNDS),
        ({"daily_cap": 2, "rounds_per_day": 3}, [2 / 3 * OPEN_ENDED] * N_ROUNDS),
    ],
)
def test_where_no_end_is_known_only_budgets_make_one(
    toy: Toy, values: dict[str, Any], left: list[float]
) -> None:
    """The share of plain rounds and of capped days is of however many there will be."""
    policy = Ahead(toy)
    toy.play(toy.guide(policy, RailsOptions(**values)), targets=TARGETS[:1], end="unknown")
    for journeys, rounds in zip(policy.journeys, policy.told, strict=True):
        number = int(journeys.round[0])
        found = rounds[~journeys.has_arrived]
        assert found.tolist() == pytest.approx([left[number - 1]] * len(found), abs=2)


def test_where_no_end_is_known_pauses_take_their_share_of_it(toy: Toy) -> None:
    """Against the mean length of runs that end with so many refusals in a row."""
    policy, rails = Ahead(toy), RailsOptions(pause_after=2, pause_rounds=3)
    toy.play(toy.guide(policy, rails), end="unknown")
    n_checked = 0
    for left, journeys in zip(policy.told, policy.journeys, strict=True):
        n_past = int(journeys.round[0]) - 1
        for row in (~journeys.has_arrived).nonzero()[:, 0].tolist():
            n_answers = int((journeys.shown[row, :n_past] > 0).sum())
            chance = (1 + int(journeys.accepted[row].sum())) / (2 + n_answers)
            run = (1 - (1 - chance) ** 2) / (chance * (1 - chance) ** 2)
            # Of 200 rounds, of which the first and the last run are cut short.
            assert float(left[row]) / OPEN_ENDED == pytest.approx(run / (run + 3), abs=0.03)
            n_checked += 1
    assert n_checked > 100


def test_where_no_end_is_known_refusals_may_make_one(toy: Toy) -> None:
    """With `stop_after` the rounds to come are those until so many refusals in a row."""
    policy = Ahead(toy)
    toy.play(toy.guide(policy, RailsOptions(stop_after=1)), targets=TARGETS[:1], end="unknown")
    first = policy.told[0]
    assert first.tolist() == pytest.approx([1.0] * len(first), abs=1e-6)  # 1/2 + 1/4 + …
    assert max(float(left.max()) for left in policy.told) < 20


def to_be_expected(answers: list[bool], n_left: int, rails: RailsOptions) -> float:
    """Rounds after this one, over all ways in which those to come may be answered."""
    chance = (1 + sum(answers)) / (2 + len(answers))
    total = 0.0
    for to_come in itertools.product([False, True], repeat=n_left + 1):
        weight = math.prod(chance if accepted else 1 - chance for accepted in to_come)
        in_a_row, pause, n_played = 0, 0, 0
        for accepted in [*answers, *to_come]:
            if pause:
                pause -= 1
                continue
            n_played += 1
            in_a_row = 0 if accepted else in_a_row + 1
            if rails.stop_after is not None and in_a_row == rails.stop_after:
                break
            if rails.pause_after is not None and in_a_row == rails.pause_after:
                pause, in_a_row = rails.pause_rounds, 0
        total += weight * n_played
    return total - len(answers) - 1


@pytest.mark.parametrize(
    "values", [{"stop_after": 1}, {"stop_after": 3}, {"pause_after": 2, "pause_rounds": 2}]
)
def test_refusals_make_fewer_rounds_to_be_expected(toy: Toy, values: dict[str, int]) -> None:
    policy, rails = Ahead(toy), RailsOptions(**values)  # type: ignore[arg-type]
    toy.play(toy.guide(policy, rails))
    n_checked = 0
    for left, journeys in zip(policy.told, policy.journeys, strict=True):
        n_past = int(journeys.round[0]) - 1
        n_left = N_ROUNDS - n_past - 1
        shown, accepted = journeys.shown[:, :n_past], journeys.accepted[:, :n_past]
        for row in range(len(shown)):
            answers = accepted[row].tolist()
            if (
                bool(journeys.has_arrived[row])
                or (shown[row] == 0).any()
                or max(in_a_row(answers), default=0)
                >= min(values.get("stop_after", 9), values.get("pause_after", 9))
            ):
                continue
            assert float(left[row]) == pytest.approx(to_be_expected(answers, n_left, rails))
            n_checked += 1
    assert n_checked > 30


def in_a_row(answers: list[bool]) -> list[int]:
    """Refusals in a row after each answer."""
    return list(itertools.accumulate(answers, lambda n, yes: 0 if yes else n + 1, initial=0))


def test_the_last_place_of_a_category_is_kept_for_the_target(toy: Toy) -> None:
    rails = RailsOptions(category_caps={"a": 1})  # of both targets
    log = toy.play(toy.guide("random", rails))
    is_a = np.isin(log.item_idx, list(of(("a",))))
    assert is_a.any()
    assert (log.item_idx[is_a] == np.broadcast_to(log.target_idx[:, None], is_a.shape)[is_a]).all()
