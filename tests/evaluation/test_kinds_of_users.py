"""Guidance of users who get bored, lose patience or see slates; and of those who do not."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.metrics import evaluate
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.oracles import OracleGreedy, OracleLookahead
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, Decision, Evidence, Policy, View
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.ranking import best_item
from proactrec.rng import uniforms
from proactrec.simulator.environment import Environment
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions

TARGETS = np.array([3, 9, 5, 12])
N_ROUNDS = 6
KINDS = [["A"], ["B"], ["A", "C"], [], ["C"]]
WORLDS: dict[str, dict[str, Any]] = {
    "bored": {"boredom": 2.0},
    "impatient": {"patience": 2},
    "slates": {"n_slots": 3, "position_decay": 0.7},
    "all at once": {"boredom": 1.5, "patience": 2, "n_slots": 2, "position_decay": 0.8},
}


@pytest.fixture(scope="module")
def users(toy: Any) -> Any:
    """The toy world, its items of some kinds."""
    categories = tuple(tuple(KINDS[item % 5]) for item in range(toy.dataset.n_items))
    return toy._replace(dataset=replace(toy.dataset, categories=categories))


def world_of(toy: Any, **options: Any) -> World:
    vectors = toy.user_vectors, toy.item_vectors
    return World(toy.dataset, *vectors, TARGETS, WorldOptions(**options), seed=2)


def played(toy: Any, policy: Policy, exclude: str = "shown", **options: Any) -> GuidanceLog:
    guidance = RolloutOptions(n_rounds=N_ROUNDS, exclude=exclude)  # type: ignore[arg-type]
    return rollout(policy, world_of(toy, **options), toy.dataset, TARGETS, guidance).log


WITHOUT = {
    ("ITMPRec", "medium", "constant"): "0236531d7a07",
    ("OracleLookahead", "medium", "constant"): "328f5c800f20",
    ("ITMPRec", "steep", "per-user"): "cadf895820ad",
    ("OracleLookahead", "steep", "per-user"): "f466313eb10b",
    ("ITMPRec", "medium", "arousal"): "f9e78d5feddb",
    ("OracleLookahead", "medium", "arousal"): "a9373fdb60c2",
}
"""Hashes of what was shown, accepted and ranked before there were such users (commit bfa7f54)."""


@pytest.mark.parametrize("case", WITHOUT, ids=" ".join)
def test_without_them_nothing_has_changed(toy: Any, case: tuple[str, str, str]) -> None:
    name, slope, receptivity = case
    policy = ITMPRec(toy.encoder, toy.intents) if name == "ITMPRec" else OracleLookahead()
    options = WorldOptions(world=slope, receptivity=receptivity)  # type: ignore[arg-type]
    world = World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS, options)
    log = rollout(policy, world, toy.dataset, TARGETS, RolloutOptions(n_rounds=9)).log
    parts = (log.item_idx, log.accepted, log.rank)
    found = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    assert found.hexdigest()[:12] == WITHOUT[case]
    np.testing.assert_array_equal(log.slate[:, :, 0], log.item_idx)
    assert "slot_0" not in log.to_table().columns


class Slow:
    """A next-item policy and its user, one pair at a time, in plain Python."""

    def __init__(self, toy: Any, world: World, user: int, target: int) -> None:
        self.toy, self.world, self.target = toy, world, target
        self.items = toy.item_vectors.double().numpy()
        self.vector = toy.user_vectors[user].double().numpy()
        self.history = toy.dataset.before("train").of(user).tolist()
        self.free = sorted(set(range(1, toy.dataset.n_items + 1)) - set(self.history))
        self.luck = [
            uniforms(2, np.array([user]), np.array([target]), N_ROUNDS, slot=slot)[0]
            for slot in range(world.options.n_slots)
        ]
        self.recent, self.n_skipped, self.is_over = self.history[-20:], 0, False

    def scores(self) -> np.ndarray:
        seq = ([0] * 5 + self.history)[-5:]
        with torch.no_grad():
            encoder = self.toy.encoder
            vector = encoder.transformer(torch.tensor([seq]))[0, -1]
            return (encoder.item_vectors @ vector).double().numpy()

    def chance(self, item: int, slot: int) -> float:
        options, response = self.world.options, self.world.response
        kinds = [set(self.toy.dataset.categories[i - 1]) for i in (item, *self.recent)]
        alike = sum(bool(kinds[0] & other) for other in kinds[1:]) / len(self.recent)
        logit = response.slope * (self.vector @ self.items[item] - response.offset)  # type: ignore[attr-defined]
        chance = 1 / (1 + np.exp(-(logit - options.boredom * alike)))
        return float(chance * options.position_decay**slot)

    def round(self, number: int, exclude: str) -> tuple[list[int], int, float]:
        """Slate, accepted item, chance that one is accepted."""
        options, scores = self.world.options, self.scores()
        slate = sorted(self.free, key=lambda i: -scores[i])[: options.n_slots]
        if self.is_over or not slate:
            return [0] * options.n_slots, 0, np.nan
        chances = [self.chance(item, slot) for slot, item in enumerate(slate)]
        lucky = [i for i, c, u in zip(slate, chances, self.luck, strict=False) if u[number] < c]
        taken = lucky[0] if lucky else 0
        self.n_skipped = 0 if taken else self.n_skipped + 1
        self.is_over = taken == self.target or self.n_skipped == options.patience
        if taken:
            vector = 0.8 * self.vector + 0.2 * self.items[taken]
            self.vector = vector / np.linalg.norm(vector)
            self.history, self.recent = [*self.history, taken], [*self.recent, taken][-20:]
        gone = slate if exclude == "shown" else [taken]
        self.free = [item for item in self.free if item not in gone]
        slate += [0] * (options.n_slots - len(slate))
        return slate, taken, float(1 - np.prod([1 - c for c in chances]))


@pytest.mark.parametrize("exclude", ["shown", "accepted"])
@pytest.mark.parametrize("kind", WORLDS)
def test_rollout_equals_the_loop_written_out(users: Any, kind: str, exclude: str) -> None:
    world = world_of(users, **WORLDS[kind])
    log = played(users, NextItem(users.encoder), exclude, **WORLDS[kind])
    usual = played(users, NextItem(users.encoder), exclude)
    assert (log.accepted != usual.accepted).any()
    for row in range(len(log.user_idx)):
        slow = Slow(users, world, int(log.user_idx[row]), int(log.target_idx[row]))
        for number in range(N_ROUNDS):
            slate, taken, chance = slow.round(number, exclude)
            assert log.slate[row, number].tolist() == slate
            assert log.accepted[row, number] == (taken > 0)
            assert log.item_idx[row, number] == (taken or slate[0])
            assert log.accept_prob[row, number] == pytest.approx(chance, abs=1e-5, nan_ok=True)
            interest = slow.vector @ slow.items[slow.target]
            assert log.interest[row, number + 1] == pytest.approx(interest, abs=1e-5)


def test_who_leaves_is_counted_and_not_as_one_with_nothing_left(users: Any) -> None:
    world = world_of(users, patience=3)
    world.response = DistributionResponse(0.0, 0.0)
    log = rollout(NextItem(users.encoder), world, users.dataset, TARGETS).log
    left = log.has_left
    assert 0 < left.sum() < len(left)
    for row in range(len(left)):
        shown = log.is_shown[row]
        runs = "".join("+" if a else "-" for a in log.accepted[row, shown])
        assert left[row] == runs.endswith("---")
        assert "---" not in runs[:-1]
        assert log.left_after[row] == (shown.sum() if left[row] else 0)
    counts = evaluate(log, users.dataset, MetricOptions())["pairs"]
    ended = left | log.reached
    assert counts["n_left"] == left.sum()
    assert counts["n_nothing_left"] == ((log.item_idx[:, -1] == 0) & ~ended).sum()
    patient = rollout(NextItem(users.encoder), world_of(users), users.dataset, TARGETS).log
    assert not patient.has_left.any()
    assert "n_left" not in evaluate(patient, users.dataset)["pairs"]


def test_all_of_a_slate_is_kept_and_counts_as_shown(users: Any, tmp_path: Path) -> None:
    log = played(users, NextItem(users.encoder), n_slots=3)
    log.save(tmp_path / "log.parquet")
    again = GuidanceLog.load(tmp_path / "log.parquet")
    np.testing.assert_array_equal(again.slate, log.slate)
    for slates in log.slate:
        shown = slates[slates > 0]
        assert len(set(shown.tolist())) == len(shown)
    short = {name: getattr(log, name)[:1] for name in GuidanceLog.__dataclass_fields__}
    short["slate"] = np.zeros((1, N_ROUNDS, 3), np.int64)
    short["slate"][0, :2] = [[2, 7, 1], [4, 0, 0]]  # of kinds B, B, A and none
    outcome = evaluate(GuidanceLog(**short), users.dataset)["outcome"]
    assert outcome["coverage"]["mean"] == 4 / users.dataset.n_items
    assert outcome["category_entropy"]["mean"] == pytest.approx(1.5)  # shares 1/2, 1/4, 1/4


class Learner(Policy):
    """Shows what comes first by number, and notes what it is told of its decisions."""

    name = "learner"
    knowledge = None

    def __init__(self) -> None:
        self.told: list[Evidence] = []

    def prior(self) -> None:
        return None

    def learned(self, knowledge: Any, evidence: Evidence) -> None:
        self.told.append(evidence)

    def knowing(self, knowledge: None) -> Policy:
        return self

    def decide(self, view: View) -> Decision:
        penalty = view.candidates.penalty
        scores = -torch.arange(penalty.shape[1], dtype=torch.float32)
        item_idx = best_item(scores + penalty)
        return Decision(item_idx, item_idx.float(), torch.stack([item_idx, -item_idx], 1).float())


def test_who_learns_is_told_of_the_slot_that_counted(users: Any) -> None:
    policy = Learner()
    log = played(users, policy, n_slots=3)
    assert (log.item_idx != log.slate[:, :, 0]).any()
    for number, evidence in enumerate(policy.told):
        shown = log.is_shown[:, number]
        np.testing.assert_array_equal(evidence.item_idx, log.item_idx[shown, number])
        np.testing.assert_array_equal(evidence.accepted, log.accepted[shown, number])
        items = evidence.item_idx.float()
        assert torch.equal(evidence.features, torch.stack([items, -items], 1))


def test_a_lookahead_sees_nothing_behind_a_last_refusal(users: Any) -> None:
    """With patience of one round a refusal ends all: its value is p (g + V), no more."""
    world = world_of(users, patience=1)
    environment = Environment(world)
    environment.reset(np.arange(4), np.full(4, 9), n_rounds=4)
    minds, penalty = environment.minds(), environment.owned_penalty(torch.arange(4))
    begun = Journeys.begun(
        train_users(users.dataset), torch.arange(4), torch.full((4,), 9), n_rounds=4
    )
    seen = View(begun, torch.empty(4, 0), Candidates(penalty), begun.rounds_left)
    found = OracleLookahead().reading(minds).decide(seen)
    calm = minds._replace(leaves=torch.zeros(4, dtype=torch.bool))
    patient = OracleLookahead().reading(calm).decide(seen)
    assert (found.score < patient.score).any()
    now = minds.outlook()
    for row in range(4):
        item = found.item_idx[row : row + 1]
        after = minds.of(torch.tensor([row])).accepting(item).outlook().expected_gain
        after = (after + penalty[row]).scatter(1, item[:, None], -torch.inf)
        ahead = 0.0 if int(item) == 9 else max(0.0, float(after.max()))
        gain, prob = (x[row, int(item)].item() for x in (now.expected_gain, now.accept_prob))
        assert float(found.score[row]) == pytest.approx(gain + prob * ahead, abs=1e-6)


def test_oracles_may_play_with_all_of_them(users: Any) -> None:
    for policy in (OracleGreedy(), OracleLookahead()):
        log = played(users, policy, **WORLDS["all at once"])
        random = played(users, NextItem(users.encoder), **WORLDS["all at once"])
        assert log.interest[:, -1].mean() > random.interest[:, -1].mean()


def test_rails_refuse_slates(tmp_path: Path) -> None:
    options = ExperimentOptions().changed(
        {"protocol.world.n_slots": 3, "rails.plain_share": 0.5, "policy": "next-item"}
    )
    with pytest.raises(InvalidInputError, match=r"world\.n_slots must be 1 with rails, got 3"):
        Experiment(options, tmp_path)
