"""Logs derived for users who leave are those of a real rollout among them."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.evaluation.leaving import leaving_rounds, with_leaving
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.base import Policy
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import TARGETS

N_ROUNDS = 12


def world_of(toy: Any, **options: Any) -> World:
    return World(
        toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS, WorldOptions(**options), seed=2
    )


def played(toy: Any, policy: Policy, **options: Any) -> GuidanceLog:
    guidance = RolloutOptions(n_rounds=N_ROUNDS)
    return rollout(policy, world_of(toy, **options), toy.dataset, TARGETS, guidance).log


@pytest.mark.parametrize("after_success", ["stop", "freeze", "continue"])
@pytest.mark.parametrize(
    "leaving",
    [{"leaving": 0.15}, {"leaving": 0.1, "frailty": 1.0}, {"leaving": 0.2, "leaving_refused": 0.2}],
)
@pytest.mark.parametrize("kind", [NextItem, ITMPRec])
def test_a_derived_log_is_that_of_a_rollout(
    toy: Any, kind: type[Policy], leaving: dict[str, float], after_success: str
) -> None:
    policy = kind.build(toy.ingredients())
    usual = played(toy, policy, after_success=after_success)
    real = played(toy, policy, after_success=after_success, **leaving)
    assert 0 < real.has_left.sum() < len(real.has_left)
    found = with_leaving(usual, world_of(toy, after_success=after_success, **leaving))
    for field in fields(GuidanceLog):
        ours, theirs = getattr(found, field.name), getattr(real, field.name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def test_who_arrived_where_that_ends_a_journey_does_not_leave_later(toy: Any) -> None:
    log = played(toy, NextItem(toy.encoder), after_success="continue")
    assert log.reached.any()
    stop, go_on = (
        with_leaving(log, world_of(toy, leaving=0.15, after_success=after)).left_after
        for after in ("stop", "continue")
    )
    assert (stop != go_on).any()
    assert log.reached[stop != go_on].all()
    assert not stop[stop != go_on].any()


def test_where_nobody_leaves_the_log_stays(toy: Any) -> None:
    log = played(toy, NextItem(toy.encoder))
    same = with_leaving(log, world_of(toy))
    np.testing.assert_array_equal(same.item_idx, log.item_idx)
    assert not same.left_after.any()


@pytest.mark.parametrize(
    "options", [{"leaving": 0.02, "leaving_refused": 0.1}, {"leaving": 0.1, "patience": 3}]
)
def test_leaving_by_answers_can_not_be_derived(toy: Any, options: dict[str, Any]) -> None:
    pairs = np.array([1, 2]), TARGETS[:2]
    with pytest.raises(InvalidInputError, match="users must leave whatever they answered"):
        leaving_rounds(world_of(toy, **options), *pairs, N_ROUNDS)


def test_a_log_of_users_who_left_is_refused(toy: Any) -> None:
    log = played(toy, NextItem(toy.encoder), leaving=0.2)
    with pytest.raises(InvalidInputError, match="must be of users who all stayed"):
        with_leaving(log, world_of(toy, leaving=0.2))
