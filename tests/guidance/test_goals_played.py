"""Users led to whichever item of a goal suits: when targets change, and what stays the same."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.errors import InvalidInputError
from proactrec.evaluation.observed_metrics import (
    MetricOptions,
    rounds_to_target,
    target_acceptance,
    targets_accepted,
)
from proactrec.evaluation.protocols import CAMPAIGN, COMMON, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.guidance import guide as guide_module
from proactrec.guidance.explanations import Explainer
from proactrec.guidance.goals import Goal, best_targets, closed_targets
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.recorded import train_users
from proactrec.guidance.replay import Replay
from proactrec.guidance.wording import told
from proactrec.journeys import Journeys
from proactrec.policies.foresight import ForesightOptions
from proactrec.simulator.world import World

from .judge import of
from .toys import N_ITEMS, N_ROUNDS, N_USERS, Toy

ITEMS = np.arange(2, N_ITEMS + 1, 2)
GOAL = Goal(torch.from_numpy(ITEMS))
POLICIES = ("ipg", "foresight", "planned refusal")
SPANNING = RailsOptions(item_cap_total=2, category_caps={"b": 3}, item_cap=1)


def played(
    toy: Toy,
    guide: Guide | str,
    goal: Goal = GOAL,
    protocol: Protocol = CAMPAIGN,
    **how: Any,
) -> GuidanceLog:
    """Everybody's journey to a goal."""
    guide = toy.guide(guide, RailsOptions()) if isinstance(guide, str) else guide
    world = World(toy.dataset, *toy.vectors, ITEMS, protocol.world)
    options = protocol.rollout.model_copy(update={"n_rounds": N_ROUNDS, "n_traced": 0})
    return rollout(guide, world, toy.dataset, ITEMS, options, goal=goal, n_workers=1, **how).log


def fixed_at(toy: Toy, item: int) -> Goal:
    """For who does not have it."""
    owned = toy.dataset.before("train")
    left = [item * (item not in owned.of(user)) for user in range(N_USERS + 1)]
    return replace(GOAL, fixed=torch.tensor(left))


def assert_same(one: GuidanceLog, other: GuidanceLog) -> None:
    for name, column in vars(one).items():
        np.testing.assert_array_equal(column, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("name", POLICIES)
def test_a_target_changes_when_it_was_accepted_or_refused_and_only_then(
    name: str, toy: Toy
) -> None:
    log = played(toy, name)
    assert log.user_idx.tolist() == list(range(N_USERS + 1))
    assert not log.target_idx.any()
    owned = toy.dataset.before("train")
    for row in range(N_USERS + 1):
        gone = set(owned.of(row).tolist())
        for number in range(N_ROUNDS):
            left = set(ITEMS.tolist()) - gone
            target = int(log.led_to[row, number])
            assert target in left or not left
            if number:
                before = int(log.led_to[row, number - 1])
                assert (target != before) == (before in gone and bool(left))
            gone.add(int(log.item_idx[row, number]))
    assert (np.diff(log.led_to, axis=1) != 0).any()
    np.testing.assert_array_equal(log.of_goal, np.isin(log.item_idx, ITEMS))


def test_users_have_the_same_luck_wherever_they_are_led(toy: Toy) -> None:
    """A policy that pays no heed to targets shows the same, and is answered alike."""
    chosen = played(toy, "random")
    for item in (2, 8):
        one = played(toy, "random", fixed_at(toy, item))
        assert (one.led_to == item).all()
        both = np.isin(chosen.user_idx, one.user_idx)
        for name in ("item_idx", "accepted", "accept_prob", "interest", "rank", "guided"):
            np.testing.assert_array_equal(getattr(chosen, name)[both], getattr(one, name))


def test_a_chooser_of_its_own_that_is_the_same_chooses_the_same(toy: Toy) -> None:
    """It learns what the policy learns."""
    guide = toy.guide("foresight", RailsOptions())
    assert_same(played(toy, guide), played(toy, guide, replace(GOAL, chooser=guide)))
    by_foresight = played(toy, "ipg", replace(GOAL, chooser=guide))
    untaught = replace(guide, policy=toy.foresight(ForesightOptions(learns=False)))
    other = played(toy, "ipg", replace(GOAL, chooser=untaught))
    assert (by_foresight.led_to != other.led_to).any()


def test_in_blocks_it_is_the_same(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [played(toy, name) for name in POLICIES]
    monkeypatch.setattr(guide_module, "MAX_BLOCK", 5)
    for name, log in zip(POLICIES, whole, strict=True):
        assert_same(played(toy, name), log)


def test_weighed_anew_every_other_round_the_best_one_leads_then(toy: Toy) -> None:
    guide = toy.guide("ipg", RailsOptions())
    log = played(toy, guide, replace(GOAL, every=2))
    replay, rows = Replay(guide, toy.dataset, log), np.arange(len(log.user_idx))
    for number in (3, 5):
        journeys = replay.journeys(rows, number)
        closed = closed_targets(guide, journeys, GOAL.items)
        best = best_targets(guide, journeys, GOAL.items, closed).numpy()
        led = log.led_to[:, number - 1]
        np.testing.assert_array_equal(led[best > 0], best[best > 0])
    assert (log.led_to != played(toy, guide).led_to).any()


def test_caps_close_targets(toy: Toy) -> None:
    guide = toy.guide("ipg", SPANNING)
    log = played(toy, guide)
    owned, capped = toy.dataset.before("train"), of(("b",))
    led = np.zeros(N_ITEMS + 1, int)
    n_closed_by_caps = 0
    for number in range(N_ROUNDS):
        for row in range(len(log.user_idx)):
            past = log.item_idx[row, :number].tolist()
            full = {i for i in ITEMS.tolist() if led[i] >= 2}
            if sum(i in capped for i in past) >= 3:
                full |= capped
            gone = {*owned.of(int(log.user_idx[row])).tolist(), *past}
            left = set(ITEMS.tolist()) - gone - full
            target = int(log.led_to[row, number])
            if number and left:
                assert target in left
                before = int(log.led_to[row, number - 1])
                n_closed_by_caps += before in full - gone
        np.add.at(led, log.item_idx[:, number][log.guided[:, number]], 1)
    assert n_closed_by_caps


def test_a_run_to_a_goal_is_told_again(toy: Toy) -> None:
    for name in POLICIES:
        guide = toy.guide(name, RailsOptions(plain_share=0.3))
        log = played(toy, guide)
        assert_same(GuidanceLog.from_table(log.to_table()), _rounded(log))
        replay, rows = Replay(guide, toy.dataset, log), np.arange(len(log.user_idx))
        for number in range(1, N_ROUNDS + 1):
            shown = log.is_shown[:, number - 1]
            decided = replay.decide(rows, number).item_idx.numpy()
            np.testing.assert_array_equal(decided[shown], log.item_idx[shown, number - 1])


def _rounded(log: GuidanceLog) -> GuidanceLog:
    prob, interest = (x.astype(np.float32).astype(float) for x in (log.accept_prob, log.interest))
    return replace(log, accept_prob=prob, interest=interest)


def test_plain_rounds_keep_their_share_while_targets_change(toy: Toy) -> None:
    log = played(toy, toy.guide("ipg", RailsOptions(plain_share=0.5)))
    plain = (~log.guided & log.is_shown)[:N_USERS]  # the last one has next to nothing left
    for start in range(N_ROUNDS - 1):
        assert (plain[:, start : start + 2].sum(1) == 1).all()


def test_explanations_say_why_another_target_took_its_place(toy: Toy) -> None:
    guide = toy.guide("ipg", RailsOptions())
    log = played(toy, guide)
    explainer = Explainer(Replay(guide, toy.dataset, log), toy.believed.item_vectors)
    legs = explainer.journeys_of(toy.dataset.user_ids[1])
    rounds = [[one.round for one in leg.explanations] for leg in legs]
    assert [n for leg in rounds for n in leg] == list(range(1, N_ROUNDS + 1))
    assert legs[0].former is None
    for before, leg in pairwise(legs):
        assert leg.former is not None
        assert leg.former.item == before.target
        last = [one for one in before.explanations if one.is_target]
        assert leg.former.because == ("accepted" if last[-1].accepted else "refused")
        words = [one["words"] for one in told(leg)["explanations"]]
        assert f"led to “{leg.target.title}”" in words[0][0]
        assert before.target.title in words[0][0]
        assert not any("From here on" in text for others in words[1:] for text in others)
    one = explainer.journeys_of(toy.dataset.user_ids[1], target_id=legs[1].target.item_id)
    assert one == legs[1:2]


def test_figures_count_items_of_the_goal(toy: Toy) -> None:
    log = played(toy, "ipg")
    options = MetricOptions(rounds=(3, N_ROUNDS))
    hits = [
        [n for n in range(N_ROUNDS) if log.accepted[row, n] and log.item_idx[row, n] in ITEMS]
        for row in range(len(log.user_idx))
    ]
    counts = [[sum(n < p for n in row) for p in options.rounds] for row in hits]
    assert targets_accepted(log, options).numerator.tolist() == counts
    assert target_acceptance(log, options).numerator.tolist() == (np.array(counts) > 0).tolist()
    waited = [[min(p, min(row, default=99) + 1) for p in options.rounds] for row in hits]
    assert rounds_to_target(log, options).numerator.tolist() == waited
    users, items = (x.numpy().astype(float) for x in toy.vectors)
    interest = users[log.user_idx] @ items[ITEMS].mean(0)
    np.testing.assert_allclose(log.interest[:, 0], interest, atol=1e-6)


def test_where_journeys_end_with_the_target_any_item_of_the_goal_ends_them(toy: Toy) -> None:
    log = played(toy, "ipg", protocol=COMMON)
    ends = [row.argmax() + 1 if row.any() else N_ROUNDS for row in log.accepted & log.of_goal]
    assert log.is_shown.sum(1).tolist() == ends


def test_a_goal_needs_somebody_who_can_choose(toy: Toy) -> None:
    with pytest.raises(InvalidInputError, match="predicts acceptance"):
        played(toy, toy.guide("ipg"))
    everybody = train_users(toy.dataset)
    begun = Journeys.begun(everybody, torch.tensor([N_USERS]), torch.tensor([0]), 3)
    closed = closed_targets(toy.guide("ipg"), begun, GOAL.items)  # they have all but the last item
    assert closed[0].tolist() == [item < N_ITEMS for item in ITEMS]
