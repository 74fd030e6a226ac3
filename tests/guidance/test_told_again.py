"""A finished run, told again one journey at a time: the guide decides what the log shows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.evaluation.protocols import CAMPAIGN, COMMON, PROTOCOLS, Protocol
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.replay import Replay

from .drawn import N_EXAMPLES, rails_options
from .toys import KINDS, N_USERS, POLICIES, SINGLE, SPANNING, Toy

NAMES = tuple(name for name in POLICIES if name != "oracle")
GROUPS = {f"u{user:02}": KINDS[user % 2] for user in range(N_USERS)} | {"v": KINDS[0]}
RAILS = {
    "bare": None,
    "single": SINGLE,
    "spanning": SPANNING,
    "groups": RailsOptions(guided_pairs=0.6, equal_groups=GROUPS, item_cap_per_round=1),
    "activity": RailsOptions(guided_pairs=9, equal_groups="activity", item_cap_total=3),
    "days": RailsOptions(daily_cap=1, rounds_per_day=3, plain_share=0.3, stop_after=4),
    "floor": RailsOptions(relevance_floor=0.3, item_cap_per_round=1, pause_after=1),
}
LEARNER_AND_PLANNER = ("foresight", "planned refusal")
"""What they do hangs on the run so far; the others meet rails of two kinds."""


def told_again(
    toy: Toy, guide: Guide, protocol: Protocol = COMMON, **how: Any
) -> tuple[GuidanceLog, int]:
    """The log of a run, all of whose decisions were made again, alone; and their number."""
    settled = {name: how[name] for name in ("exclude", "end") if name in how}
    guide = protocol.rollout.model_copy(update=settled).told(guide)
    log = toy.play(guide, protocol, **how)
    replay, n_told = Replay(guide, toy.dataset, log, protocol.rollout.padding), 0
    for row, at in np.argwhere(log.item_idx).tolist():
        ruled = replay.decide(np.array([row]), at + 1)
        assert int(ruled.item_idx) == log.item_idx[row, at], (row, at)
        assert bool(ruled.guided) == log.guided[row, at], (row, at)
        n_told += 1
    return log, n_told


@pytest.mark.parametrize(
    ("name", "rails"),
    [
        (name, rails)
        for name in NAMES
        for rails in RAILS
        if name in LEARNER_AND_PLANNER or rails in ("bare", "spanning")
    ],
)
def test_every_decision_is_made_again_alone(toy: Toy, name: str, rails: str) -> None:
    log, n_told = told_again(toy, toy.guide(name, RAILS[rails]))
    assert n_told > 50
    if rails != "bare":
        shown = log.guided[log.is_shown]
        assert 0 < shown.sum() < len(shown)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("rails", [None, SPANNING], ids=["bare", "spanning"])
@pytest.mark.parametrize("name", ["foresight", "planned refusal"])
def test_protocols_are_told_again(
    toy: Toy, name: str, rails: RailsOptions | None, protocol: str
) -> None:
    assert told_again(toy, toy.guide(name, rails), PROTOCOLS[protocol])[1] > 60


def leaving(share: float, refused: float | None = None) -> Protocol:
    """A campaign whose users leave."""
    changes = {"leaving": share, "leaving_refused": refused}
    return CAMPAIGN.model_copy(update={"world": CAMPAIGN.world.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("exclude", "end"), [("shown", "known"), ("accepted", "unknown"), ("shown", "unknown")]
)
@pytest.mark.parametrize("rails", [None, SPANNING], ids=["bare", "spanning"])
@pytest.mark.parametrize("name", ["foresight", "itmprec"])
def test_campaigns_whose_users_leave_are_told_again(
    toy: Toy, name: str, rails: RailsOptions | None, exclude: str, end: str
) -> None:
    how = {"exclude": exclude, "end": end}
    log, n_told = told_again(toy, toy.guide(name, rails), leaving(0.1), **how)
    assert n_told > 60
    assert 0 < log.has_left.sum() < len(log.has_left)
    after = np.arange(log.n_rounds) >= log.left_after[:, None]
    assert not log.item_idx[log.has_left[:, None] & after].any()
    assert (log.is_shown.sum(1) > 1)[log.reached].any()  # guidance goes on after the target


def test_what_was_learned_of_leaving_is_learned_again(toy: Toy) -> None:
    """Before the last round: everybody who answered in those before it, and who came back."""
    guide, protocol = toy.guide("foresight"), leaving(0.05, 0.4)
    log = toy.play(guide, protocol)
    replay = Replay(guide, toy.dataset, log, protocol.rollout.padding)
    first, last = (replay.guide_at(number).knowledge for number in (1, log.n_rounds))
    number = np.arange(1, log.n_rounds)
    shown, accepted = log.is_shown[:, :-1], log.accepted[:, :-1]
    left = shown & (log.left_after[:, None] == number)
    for column, answered in enumerate((accepted, ~accepted)):
        n_played, n_left = (float((rows & answered).sum()) for rows in (shown, left))
        assert last.n_played[column] - first.n_played[column] == n_played
        assert last.n_left[column] - first.n_left[column] == n_left
    assert last.leaving[1] > last.leaving[0]


@pytest.mark.parametrize("exclude", ["shown", "accepted"])
@pytest.mark.parametrize("name", NAMES)
def test_the_noted_slot_of_every_slate_is_told_again(toy: Toy, name: str, exclude: str) -> None:
    world = COMMON.world.model_copy(update={"n_slots": 3})
    slates = COMMON.model_copy(update={"world": world})
    log, n_told = told_again(toy, toy.guide(name), slates, exclude=exclude)
    assert n_told > 40
    assert (log.slate[:, :, 0] != log.item_idx).any()  # somebody took what came later


@settings(
    max_examples=max(5, N_EXAMPLES // 4),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rails=rails_options(),
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 3),
    exclude=st.sampled_from(["shown", "accepted"]),
)
def test_runs_within_any_rails_are_told_again(
    toy: Toy, rails: RailsOptions, name: str, seed: int, exclude: str
) -> None:
    told_again(toy, toy.guide(name, rails, seed), seed=seed, exclude=exclude)


def test_a_round_in_which_nobody_is_shown_anything_teaches_nothing(toy: Toy) -> None:
    log, _ = told_again(toy, toy.guide("foresight", RailsOptions(stop_after=1)))
    assert not log.is_shown[:, -2:].any()


@pytest.mark.parametrize("name", ["foresight", "ipg"])
def test_counts_of_rails_are_those_of_their_run(toy: Toy, name: str) -> None:
    """A guide that was used before, for instance for a forecast, has kept nothing of that."""
    for rails in (SINGLE, SPANNING):
        guide = toy.guide(name, rails)
        before = toy.played(guide, seed=5, n_rounds=4)
        run, alone = toy.played(guide), toy.played(toy.guide(name, rails))
        assert run.rails == alone.rails
        assert 0 < before.rails["decisions"] < run.rails["decisions"]
        np.testing.assert_array_equal(run.log.item_idx, alone.log.item_idx)
