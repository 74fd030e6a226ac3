"""Decisions belong to their journeys: not to those beside them, their rounds, or the process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.guidance.decision import GUIDED, REASONS, Ruled, joined
from proactrec.guidance.guide import Guide
from proactrec.guidance.ledger import FREE
from proactrec.guidance.rails import RailsOptions
from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN, Journeys
from proactrec.policies.base import Explains, Policy, View

from .apart import Case, decided
from .drawn import N_EXAMPLES, Row, a_row, journeys_of, rails_options, some_rows
from .toys import N_ROUNDS, POLICIES, SINGLE, TARGETS, Toy

ROOT = Path(__file__).parents[2]
CLOSE = 1e-5
REAL = (*(name for name in POLICIES if name != "oracle"), "taught")
"""Policies that need no minds; the last is a learner that was taught."""
drawn = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def one_by_one(guide: Guide, journeys: Journeys) -> Ruled:
    rows = torch.arange(len(journeys.user)).split(1)
    return joined([guide.decide(journeys.of(row)) for row in rows], len(rows))


def round_by_round(guide: Guide, journeys: Journeys) -> Ruled:
    """Those of one round together, as a simulation has them."""
    parts = [(journeys.round == n).nonzero()[:, 0] for n in journeys.round.unique()]
    found = joined([guide.decide(journeys.of(part)) for part in parts], len(journeys.user))
    back = torch.cat(parts).argsort()
    return Ruled(*(None if column is None else column[back] for column in found))


def backwards(guide: Guide, journeys: Journeys) -> Ruled:
    """With others beside them, in another order."""
    rows = torch.cat([torch.arange(len(journeys.user)).flip(0)] * 2)
    found = guide.decide(journeys.of(rows))
    return Ruled(
        *(None if column is None else column[: len(journeys.user)].flip(0) for column in found)
    )


WAYS = (one_by_one, round_by_round, backwards)


def assert_agree(one: Ruled, other: Ruled, guide: Guide, journeys: Journeys) -> None:
    """Items are equal, unless their scores are."""
    assert torch.equal(one.guided, other.guided)
    assert torch.equal(one.reason, other.reason)
    assert torch.equal(one.n_forbidden, other.n_forbidden)
    assert torch.equal(one.item_idx > 0, other.item_idx > 0)
    is_shown = one.item_idx > 0
    torch.testing.assert_close(one.score[is_shown], other.score[is_shown], atol=CLOSE, rtol=CLOSE)
    for row in (one.item_idx != other.item_idx).nonzero()[:, 0].tolist():
        items = [int(ruled.item_idx[row]) for ruled in (one, other)]
        assert is_tie(guide, journeys.of(slice(row, row + 1)), bool(one.guided[row]), items)


def is_tie(guide: Guide, journey: Journeys, is_guided: bool, items: list[int]) -> bool:
    places = guide.places(journey)
    view, chooser = guide.view(journey, places), guide.policy
    if guide.rails is not None and guide.recommender is not None:
        ruling = guide.ruling(journey, places, FREE)
        plain = View(journey, places.relevance, ruling.open, journey.rounds_left)
        view, chooser = (ruling.view, chooser) if is_guided else (plain, guide.recommender)
    if not isinstance(chooser, Explains):
        return False
    weights = chooser.weigh(view)[0, items]
    return bool((weights[0] - weights[1]).abs() <= CLOSE)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@drawn
@given(
    name=st.sampled_from(REAL),
    rails=st.none() | rails_options(spans=False),
    rows=some_rows,
    padding=st.sampled_from(["left", "right"]),
    again=st.booleans(),
)
def test_any_mix_of_journeys_is_decided_as_each_alone(
    toy: Toy,
    way: Callable[[Guide, Journeys], Ruled],
    name: str,
    rails: RailsOptions | None,
    rows: list[Row],
    padding: str,
    again: bool,
) -> None:
    guide = toy.guide(name, rails, shows_again=again)
    journeys = journeys_of(rows, toy, guide, padding)
    assert_agree(guide.decide(journeys), way(guide, journeys), guide, journeys)


def test_a_pause_lasts_as_long_whoever_else_is_there(toy: Toy) -> None:
    guide = toy.guide("ipg", RailsOptions(pause_after=1, pause_rounds=2))
    early = Row(0, 3, [20], [REFUSED], [True])
    late = Row(1, 3, [20, 21, 22, 23, 24], [ACCEPTED] * 5, [True] * 5)
    journeys = journeys_of([early, late], toy, guide)
    reasons = [REASONS.index("paused"), GUIDED]
    assert guide.decide(journeys).reason.tolist() == reasons
    assert one_by_one(guide, journeys).reason.tolist() == reasons


def some_cases(n_rows: int = 30) -> list[Case]:
    rng, kinds = np.random.default_rng(5), (ACCEPTED, REFUSED, UNKNOWN)
    cases = []
    for name in REAL:
        for rails in (None, SINGLE):
            rows = []
            for _ in range(n_rows):
                n_past = int(rng.integers(N_ROUNDS))
                shown = (rng.permutation(26)[:n_past] + 1).tolist()
                answer = rng.choice(kinds, n_past).tolist()
                guided = (rng.random(n_past) < 0.5).tolist()
                user, target = int(rng.integers(12)), int(rng.choice(TARGETS))
                rows.append(Row(user, target, shown, answer, guided))
            cases.append(Case(name, None if rails is None else rails.said(), rows))
    return cases


def elsewhere(cases: list[Case]) -> list[list[list[float]]]:
    """What another process decides."""
    command = [sys.executable, "-m", "tests.guidance.apart"]
    asked = json.dumps(cases)
    done = subprocess.run(
        command, input=asked, cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: list[list[list[float]]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_two_processes_decide_as_one() -> None:
    """Each of them half of the journeys, and one of them all."""
    cases = some_cases()
    whole = decided(cases)
    halves = [
        decide([case._replace(rows=case.rows[part::2]) for case in cases])
        for part, decide in enumerate((decided, elsewhere))
    ]
    n_shown = 0
    for case, together, even, odd in zip(cases, whole, *halves, strict=True):
        apart = np.zeros_like(np.array(together))
        apart[0::2], apart[1::2] = even, odd
        item, guided, score = np.array(together).T
        np.testing.assert_array_equal(apart[:, 0], item, err_msg=str(case[:2]))
        np.testing.assert_array_equal(apart[:, 1], guided, err_msg=str(case[:2]))
        is_shown = item > 0
        np.testing.assert_allclose(apart[is_shown, 2], score[is_shown], atol=CLOSE, rtol=CLOSE)
        n_shown += is_shown.sum()
    assert n_shown > 20 * len(cases)


@drawn
@given(
    name=st.sampled_from(REAL),
    row=a_row(answers=(ACCEPTED, REFUSED)),
    order=st.permutations(range(N_ROUNDS)),
    rails=st.none() | rails_options(spans=False),
)
def test_answers_may_arrive_in_any_order(
    toy: Toy, name: str, row: Row, order: list[int], rails: RailsOptions | None
) -> None:
    """A guide that was asked at every step stands where one that sees all at once does."""
    guide = toy.guide(name, rails)
    known = row._replace(answer=[UNKNOWN] * len(row.answer))
    for at in (number for number in order if number < len(row.answer)):
        known.answer[at] = row.answer[at]
        guide.decide(journeys_of([known], toy, guide))
    arrived, at_once = (journeys_of([one], toy, guide) for one in (known, row))
    fresh = toy.guide(name, rails)
    for x, y in zip(guide.places(arrived), fresh.places(at_once), strict=True):
        assert torch.equal(x, y)
    for x, y in zip(guide.decide(arrived), fresh.decide(at_once), strict=True):
        assert x is y is None or torch.equal(x, y)


def test_answers_in_order_renew_places_as_they_are_made_at_once(toy: Toy) -> None:
    """The cache of a host that plays round by round holds what journeys say."""
    log = toy.play("random")
    for name in REAL:
        guide = toy.guide(name, SINGLE)
        rows = [
            Row(int(user), int(target), [], [], [])
            for user, target in zip(log.user_idx, log.target_idx, strict=True)
        ]
        journeys = journeys_of(rows, toy, guide)
        places = guide.first_places(journeys)
        for number in range(N_ROUNDS - 1):
            shown, took = (
                torch.from_numpy(x[:, number].copy()) for x in (log.item_idx, log.accepted)
            )
            journeys = journeys.after(shown, took, shown > 0)
            places = guide.renewed(places, journeys, took)
            for kept, made in zip(places, guide.places(journeys), strict=True):
                torch.testing.assert_close(kept, made, atol=CLOSE, rtol=CLOSE)


@drawn
@given(name=st.sampled_from(REAL), row=a_row(), at=st.integers(0, N_ROUNDS - 2))
def test_what_is_not_answered_yet_is_neither_accepted_nor_refused(
    toy: Toy, name: str, row: Row, at: int
) -> None:
    """Users stand where they would if it had not been shown; only, it is not shown once more."""
    at = min(at, len(row.shown) - 1)
    if at < 0:
        return
    guide = toy.guide(name, FORGIVING)
    pending = row._replace(answer=[*row.answer[:at], UNKNOWN, *row.answer[at + 1 :]])
    gone = pending._replace(shown=[*row.shown[:at], 0, *row.shown[at + 1 :]])
    here, away = (journeys_of([one], toy, guide) for one in (pending, gone))
    for x, y in zip(guide.places(here), guide.places(away), strict=True):
        assert torch.equal(x, y)
    assert guide.rails is not None
    for x, y in zip(guide.rails.course(here), guide.rails.course(away), strict=True):
        assert torch.equal(x, y)
    left, left_away = (guide.rails.course(x).rounds_left for x in (here, away))
    assert torch.equal(left, left_away)
    assert int(guide.decide(here).item_idx) != row.shown[at]


FORGIVING = RailsOptions(stop_after=2, pause_after=1, guided_budget=5)
"""Rails that count answers."""


@pytest.mark.parametrize(("answer", "is_stopped"), [(UNKNOWN, False), (REFUSED, True)])
def test_only_a_refusal_counts_as_one(toy: Toy, answer: int, is_stopped: bool) -> None:
    guide = toy.guide("ipg", RailsOptions(stop_after=1))
    journeys = journeys_of([Row(0, 3, [20], [answer], [True])], toy, guide)
    assert bool(guide.decide(journeys).item_idx == 0) == is_stopped


@pytest.mark.parametrize("name", ["itmprec", "planned acceptance", "foresight", "taught"])
def test_only_an_acceptance_moves_like_one(toy: Toy, name: str) -> None:
    policy: Policy = toy.policy(name)
    guide = toy.guide(policy)
    rows = [Row(0, 3, [20], [answer], [True]) for answer in (ACCEPTED, UNKNOWN)]
    accepted, pending = policy.place(journeys_of(rows, toy, guide))
    assert not torch.allclose(accepted, pending, atol=1e-3)


@pytest.mark.parametrize("name", ["planned refusal", "foresight", "taught"])
def test_only_a_refusal_moves_like_one(toy: Toy, name: str) -> None:
    policy: Policy = toy.policy(name)
    guide = toy.guide(policy)
    rows = [Row(0, 3, [20], [answer], [True]) for answer in (REFUSED, UNKNOWN)]
    refused, pending = policy.place(journeys_of(rows, toy, guide))
    assert not torch.allclose(refused, pending, atol=1e-6)
