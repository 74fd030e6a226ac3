"""The loop against itself written out slowly, one pair at a time; and what must not matter."""

import math
import re
import threading
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch

import proactrec.evaluation.rollout as rollouts
import proactrec.guidance.guide as module
from proactrec.errors import InvalidInputError
from proactrec.evaluation.protocols import COMMON, OFFICIAL, PAPER, Protocol
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.journeys import OPEN_ENDED, Journeys
from proactrec.policies.base import Decision, Policy, Renewal, View
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.rng import uniforms
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions

TARGETS = np.array([3, 9, 5, 12])
EVERYTHING = DistributionResponse(1000.0, -5.0)
NOTHING = DistributionResponse(1000.0, 5.0)


def changed(protocol: Protocol, **parts: dict[str, Any]) -> Protocol:
    """A protocol with some options of its parts changed."""
    update = {
        part: type(getattr(protocol, part))(**{**getattr(protocol, part).model_dump(), **values})
        for part, values in parts.items()
    }
    return protocol.model_copy(update=update)


def world_of(toy: Any, options: WorldOptions | None = None, seed: int = 0) -> World:
    return World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS, options, seed=seed)


def policy_of(toy: Any, protocol: Protocol = COMMON, name: str = "itmprec") -> Policy:
    if name == "itmprec":
        return ITMPRec(toy.encoder, toy.intents, protocol.itmprec)
    return {"ipg": IPG, "next-item": NextItem}[name](toy.encoder)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


class Row(NamedTuple):
    """What happened to one pair."""

    user: int
    target: int
    shown: list[int]
    accepted: list[bool]
    prob: list[float]
    interest: list[float]
    rank: list[int]
    is_counted: bool


class Slow:
    """itmprec.md §4 in plain Python: no masks, no batches, the encoder's full forward."""

    def __init__(self, toy: Any, protocol: Protocol, world: World, name: str) -> None:
        self.toy, self.protocol, self.world, self.name = toy, protocol, world, name
        self.items = toy.encoder.item_vectors.double().numpy()
        self.interest_items = toy.item_vectors.double().numpy()
        self.prototypes = toy.intents.prototypes.double().numpy()

    def encoded(self, seq: list[int]) -> np.ndarray:
        with torch.no_grad():
            return self.toy.encoder.transformer(torch.tensor([seq]))[0, -1].double().numpy()

    def relevance(self, h: np.ndarray, item: int) -> float:
        if self.name == "next-item":
            return float(h @ self.items[item])
        o = self.protocol.itmprec
        link = {"sigmoid": sigmoid, "raw": float}
        value = link[o.relevance_link](h @ self.items[item])
        if self.name == "itmprec":
            own, its = (
                max(range(len(self.prototypes)), key=lambda c: cosine(x, self.prototypes[c]))
                for x in (h, self.items[item])
            )
            between = self.prototypes[own] @ self.prototypes[its]
            value += o.intent_weight * link[o.intent_link](between)
        return float(value)

    def guidance(self, h: np.ndarray, item: int, target: int) -> float:
        there = self.items[target]
        if self.protocol.itmprec.guidance == "dot":
            return float((self.items[item] - h) @ there)
        return cosine(self.items[item], there) - cosine(h, there)

    def choose(self, h: np.ndarray, target: int, free: list[int]) -> int:
        rel = {i: self.relevance(h, i) for i in free}
        if self.name == "next-item":
            return max(free, key=rel.__getitem__)
        guided = {i: rel[i] * self.guidance(h, i, target) for i in free}
        best = max(free, key=guided.__getitem__)
        if self.protocol.itmprec.no_gain == "most_relevant" and guided[best] <= 0:
            return max(free, key=rel.__getitem__)
        return best

    def tiac(self, h: np.ndarray, target: int, free: list[int]) -> float:
        o = self.protocol.itmprec
        top = sorted(free, key=lambda i: -cosine(h, self.items[i]))[: o.n_curious]
        b = sum(cosine(self.items[i], self.items[target]) for i in top) / len(top)
        if o.tiac_floor is not None:
            b = max(b, o.tiac_floor)
        share = 1 - b if o.tiac == "one_minus" else b
        return share if o.tiac_decimals is None else round(share, o.tiac_decimals)

    def luck(self, user: int, target: int, n_rounds: int) -> list[float]:
        if self.world.options.random_numbers == "per_pair":
            key = np.array([user]), np.array([target])
            return uniforms(self.world.seed, *key, n_rounds)[0].tolist()
        stream = torch.Generator().manual_seed(114514 + self.world.seed)
        n_users = self.toy.dataset.n_users
        one = [torch.rand(n_users, dtype=torch.float64, generator=stream) for _ in range(n_rounds)]
        return [float(x[user]) for x in one]

    def rank(self, e: np.ndarray, target: int, train: set[int]) -> int:
        own = e @ self.interest_items[target]
        others = set(range(1, len(self.interest_items))) - train - {target}
        return sum(e @ self.interest_items[i] > own for i in others)

    def play(self, user: int, target: int, order: int) -> Row:
        o, w = self.protocol.rollout, self.world.options
        history = self.toy.dataset.before("train").of(user).tolist()
        train, length = set(history), self.toy.encoder.options.max_seq_len
        seq, pads = history[-length:], [0] * (length - len(history))
        seq = pads + seq if o.padding == "left" else seq + pads
        e = self.toy.user_vectors[user].double().numpy()
        noise = np.random.RandomState(114514).rand(len(TARGETS))[order] / 100
        luck, there = self.luck(user, target, o.n_rounds), self.interest_items[target]
        row = Row(user, target, [], [], [], [float(e @ there)], [], target not in train)
        row.rank.append(self.rank(e, target, train))
        hidden, is_frozen, is_stopped = set(train), target in train, False
        for p in range(o.n_rounds):
            free = [i for i in range(1, len(self.items)) if i not in hidden]
            if is_stopped or not free:
                item, prob, accepts = 0, math.nan, False
            else:
                h = self.encoded(seq)
                item = self.choose(h, target, free)
                z = self.interest_items[item]
                prob = sigmoid(self.world.response.slope * (e @ z - self.world.response.offset))
                prob = min(prob + (noise if w.noise == "per_target" else 0), 1)
                accepts = luck[p] < prob
                if accepts and not is_frozen:
                    share = self.tiac(h, target, free) if w.receptivity == "policy" else 0.8
                    e = share * e + (1 - share) * z
                    e = e / np.linalg.norm(e)
                if accepts:
                    seq = [*seq[1:], item]
                if accepts and item == target:
                    is_frozen, is_stopped = True, w.after_success == "stop"
                if accepts or o.exclude == "shown":
                    hidden.add(item)
            row.shown.append(item)
            row.prob.append(prob)
            row.accepted.append(accepts)
            row.interest.append(float(e @ there))
            row.rank.append(self.rank(e, target, train))
        return row

    def all_pairs(self) -> list[Row]:
        data = self.toy.dataset
        rows = [
            self.play(user, int(target), order)
            for order, target in enumerate(TARGETS)
            for user in range(data.n_users)
        ]
        return [r for r in rows if r.is_counted or self.world.options.owners == "zero"]


def assert_same(log: GuidanceLog, rows: list[Row]) -> None:
    assert log.user_idx.tolist() == [r.user for r in rows]
    assert log.target_idx.tolist() == [r.target for r in rows]
    np.testing.assert_array_equal(log.item_idx, [r.shown for r in rows])
    np.testing.assert_array_equal(log.accepted, [r.accepted for r in rows])
    np.testing.assert_array_equal(log.rank, [r.rank for r in rows])
    np.testing.assert_allclose(log.interest, [r.interest for r in rows], atol=1e-5)
    np.testing.assert_allclose(log.accept_prob, [r.prob for r in rows], atol=1e-5)
    assert log.is_counted.tolist() == [r.is_counted for r in rows]


SHORT = {"rollout": {"n_rounds": 9}}
CASES = {
    "common": changed(COMMON, **SHORT),
    "official": changed(OFFICIAL, **SHORT),
    "official, own policy coefficient per round": changed(
        OFFICIAL, itmprec={"tiac_decimals": None, "n_curious": 3}, **SHORT
    ),
    "official dynamics of all": changed(OFFICIAL, world={"receptivity": "constant"}, **SHORT),
    "products instead of cosines": changed(
        COMMON, itmprec={"guidance": "dot", "relevance_link": "raw", "intent_link": "raw"}, **SHORT
    ),
    "accepted items only are excluded": changed(
        COMMON, rollout={"n_rounds": 9, "exclude": "accepted"}
    ),
    "paper": changed(PAPER, **SHORT),
}


@pytest.mark.parametrize("name", ["itmprec", "ipg", "next-item"])
@pytest.mark.parametrize("protocol", CASES.values(), ids=CASES.keys())
def test_rollout_equals_the_loop_written_out(toy: Any, protocol: Protocol, name: str) -> None:
    if name != "itmprec":
        protocol = changed(
            protocol, itmprec=COMMON.itmprec.model_dump(), world={"receptivity": "constant"}
        )
    world = world_of(toy, protocol.world, seed=3)
    fast = rollout(policy_of(toy, protocol, name), world, toy.dataset, TARGETS, protocol.rollout)
    rows = Slow(toy, protocol, world, name).all_pairs()
    assert any(any(r.accepted) for r in rows)  # the case has something to tell
    assert_same(fast.log, rows)


def same_logs(one: GuidanceLog, other: GuidanceLog) -> None:
    for field in ("user_idx", "target_idx", "item_idx", "accepted", "rank", "is_counted"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)
    np.testing.assert_allclose(one.interest, other.interest, atol=1e-6)
    np.testing.assert_allclose(one.accept_prob, other.accept_prob, atol=1e-6)


@pytest.mark.parametrize(("scores", "pairs"), [(1, 4096), (15 * 7, 4096), (10**9, 3)])
@pytest.mark.parametrize("n_workers", [1, 2, None])
def test_blocks_and_workers_change_nothing(
    toy: Any, monkeypatch: pytest.MonkeyPatch, scores: int, pairs: int, n_workers: int | None
) -> None:
    whole = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS, n_workers=1)
    monkeypatch.setattr(module, "BLOCK_SCORES", scores)
    monkeypatch.setattr(module, "MAX_BLOCK", pairs)
    monkeypatch.setattr(module, "BLOCK_USERS", 1)
    told: list[int] = []
    cut = rollout(
        policy_of(toy),
        world_of(toy),
        toy.dataset,
        TARGETS,
        n_workers=n_workers,
        progress=lambda stage, done, total, note="": told.append(total - done),
    )
    same_logs(cut.log, whole.log)
    np.testing.assert_array_equal(cut.trace.pairs, whole.trace.pairs)
    np.testing.assert_allclose(cut.trace.vectors, whole.trace.vectors, atol=1e-6)
    size = min(pairs, max(1, scores // 15))
    assert told == list(range(math.ceil(len(whole.log.user_idx) / size)))[::-1]


@pytest.mark.parametrize("targets", [TARGETS, TARGETS[:1]])
@pytest.mark.parametrize("name", ["itmprec", "ipg", "next-item"])
def test_workers_share_the_work_in_one_block_and_change_no_byte(
    toy: Any, monkeypatch: pytest.MonkeyPatch, name: str, targets: np.ndarray
) -> None:
    monkeypatch.setattr("proactrec.encoders.base.ENCODE_ROWS", 4)
    monkeypatch.setattr("proactrec.policies.ipg.SCORED_ROWS", 3)
    encoded_by: set[int] = set()
    last = toy.encoder.transformer.last

    def noted(item_seq: torch.Tensor) -> torch.Tensor:
        encoded_by.add(threading.get_ident())
        return last(item_seq)

    monkeypatch.setattr(toy.encoder.transformer, "last", noted)
    logs = []
    for n_workers in (1, 2, 3):
        encoded_by.clear()
        played = rollout(
            policy_of(toy, name=name), world_of(toy), toy.dataset, targets, n_workers=n_workers
        )
        logs.append(played.log)
        assert bool(encoded_by - {threading.get_ident()}) == (n_workers > 1)
    for log in logs[1:]:
        for field in GuidanceLog.__dataclass_fields__:
            assert getattr(log, field).tobytes() == getattr(logs[0], field).tobytes(), field


def test_blocks_that_keep_workers_busy_are_played_side_by_side() -> None:
    assert rollouts._keeps_busy(1782, 891, 2)
    assert rollouts._keeps_busy(50 * 943, 891, 2)
    assert rollouts._keeps_busy(860, 891, 1)
    assert not rollouts._keeps_busy(943, 891, 2)  # a block, and a small one
    assert not rollouts._keeps_busy(860, 891, 2)


def test_number_of_threads_is_restored(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BLOCK", 3)
    before = torch.get_num_threads()
    rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS, n_workers=2)
    assert torch.get_num_threads() == before


def rows_of(log: GuidanceLog, is_wanted: np.ndarray) -> GuidanceLog:
    fields = GuidanceLog.__dataclass_fields__
    return GuidanceLog(**{name: getattr(log, name)[is_wanted] for name in fields})


def test_a_target_fares_the_same_alone_and_among_others(toy: Any) -> None:
    together = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS).log
    for target in TARGETS[1:3]:
        alone = rollout(policy_of(toy), world_of(toy), toy.dataset, np.array([target])).log
        same_logs(alone, rows_of(together, together.target_idx == target))


def test_users_fare_the_same_alone_and_among_others(toy: Any) -> None:
    together = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS).log
    some = np.array([7, 2])
    alone = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS, user_idx=some).log
    for user in some:
        same_logs(
            rows_of(alone, alone.user_idx == user), rows_of(together, together.user_idx == user)
        )


def test_another_seed_is_another_luck(toy: Any) -> None:
    first, again, other = (
        rollout(policy_of(toy), world_of(toy, seed=s), toy.dataset, TARGETS).log for s in (0, 0, 1)
    )
    same_logs(first, again)
    assert (first.accepted != other.accepted).any()


def test_who_has_seen_everything_is_shown_nothing_more(toy: Any) -> None:
    options = RolloutOptions(n_rounds=16)
    world = world_of(toy)
    world.response = NOTHING
    log = rollout(policy_of(toy), world, toy.dataset, TARGETS, options).log
    n_free = toy.dataset.n_items - toy.dataset.before("train").lengths[log.user_idx]
    np.testing.assert_array_equal(log.is_shown.sum(1), n_free)
    np.testing.assert_array_equal(log.is_shown, np.arange(16) < n_free[:, None])
    np.testing.assert_array_equal(np.isnan(log.accept_prob), ~log.is_shown)
    assert not log.accepted.any()
    np.testing.assert_array_equal(log.interest, log.interest[:, :1].repeat(17, 1))


def test_guidance_stops_after_success(toy: Any) -> None:
    world = world_of(toy)
    world.response = EVERYTHING
    log = rollout(policy_of(toy), world, toy.dataset, TARGETS).log
    assert log.reached.any()
    for row in np.flatnonzero(log.reached):
        at = int(np.argmax(log.item_idx[row] == log.target_idx[row]))
        assert (log.item_idx[row, : at + 1] > 0).all()
        assert (log.item_idx[row, at + 1 :] == 0).all()
        assert np.unique(log.rank[row, at + 1 :]).size == 1
        assert np.ptp(log.interest[row, at + 1 :]) == 0


def test_guidance_goes_on_without_effect_under_freeze(toy: Any) -> None:
    world = world_of(toy, WorldOptions(after_success="freeze"))
    world.response = EVERYTHING
    log = rollout(policy_of(toy), world, toy.dataset, TARGETS, RolloutOptions(n_rounds=6)).log
    row = int(np.flatnonzero(log.item_idx[:, 0] == log.target_idx)[0])
    assert log.accepted[row].sum() == (log.item_idx[row] > 0).sum() > 1
    assert np.ptp(log.interest[row, 1:]) == 0
    assert log.interest[row, 1] > log.interest[row, 0]


def test_items_come_again_only_where_accepted_ones_are_excluded(toy: Any) -> None:
    world = world_of(toy)
    world.response = NOTHING
    again = RolloutOptions(exclude="accepted", n_rounds=5)
    log = rollout(policy_of(toy), world, toy.dataset, TARGETS, again).log
    np.testing.assert_array_equal(log.item_idx, log.item_idx[:, :1].repeat(5, 1))
    log = rollout(policy_of(toy), world, toy.dataset, TARGETS, RolloutOptions(n_rounds=2)).log
    assert (log.item_idx[:, 0] != log.item_idx[:, 1]).all()


@pytest.mark.parametrize("protocol", [COMMON, OFFICIAL, PAPER], ids=lambda p: p.name)
def test_nothing_known_accepted_or_shown_is_shown_again(toy: Any, protocol: Protocol) -> None:
    world = world_of(toy, protocol.world)
    log = rollout(
        policy_of(toy, protocol), world, toy.dataset, TARGETS, protocol.rollout, n_workers=1
    ).log
    train = toy.dataset.before("train")
    for row, user in enumerate(log.user_idx):
        hidden = set(train.of(user).tolist())
        for item, accepts in zip(log.item_idx[row], log.accepted[row], strict=True):
            assert item not in hidden
            if item and (accepts or protocol.rollout.exclude == "shown"):
                hidden.add(int(item))


def test_owners_are_dropped_and_counted_or_never_move(toy: Any) -> None:
    train = toy.dataset.before("train")
    owners = {(u, int(t)) for t in TARGETS for u in train.user_idx[train.item_idx == t].tolist()}
    dropped = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS)
    kept = rollout(policy_of(toy), world_of(toy, WorldOptions(owners="zero")), toy.dataset, TARGETS)
    n_pairs = len(TARGETS) * toy.dataset.n_users
    assert 0 < len(owners) < n_pairs
    assert (dropped.n_dropped_owners, len(dropped.log.user_idx)) == (
        len(owners),
        n_pairs - len(owners),
    )
    assert (kept.n_dropped_owners, len(kept.log.user_idx)) == (0, n_pairs)
    found = zip(kept.log.user_idx.tolist(), kept.log.target_idx.tolist(), strict=True)
    assert [pair not in owners for pair in found] == kept.log.is_counted.tolist()
    owned = rows_of(kept.log, ~kept.log.is_counted)
    assert owned.accepted.any()
    assert np.ptp(owned.interest, axis=1).max() == 0
    same_logs(rows_of(kept.log, kept.log.is_counted), dropped.log)


def test_trace_holds_the_hidden_vectors_of_its_pairs(toy: Any) -> None:
    result = rollout(
        policy_of(toy), world_of(toy), toy.dataset, TARGETS, RolloutOptions(n_traced=6)
    )
    log, (pairs, vectors) = result.log, result.trace
    assert vectors.shape == (6, 21, 6)
    assert len(set(pairs.tolist())) == 6
    targets = toy.item_vectors[log.target_idx[pairs]].numpy()
    np.testing.assert_allclose((vectors * targets[:, None]).sum(2), log.interest[pairs], atol=1e-6)
    np.testing.assert_allclose(vectors[:, 0], toy.user_vectors[log.user_idx[pairs]], atol=1e-7)


def test_trace_is_no_longer_than_the_log(toy: Any) -> None:
    user = np.array([0])
    options = RolloutOptions(n_traced=500, n_rounds=1)
    result = rollout(policy_of(toy), world_of(toy), toy.dataset, TARGETS, options, user_idx=user)
    assert result.trace.pairs.tolist() == list(range(len(result.log.user_idx)))


def test_nobody_to_guide_is_refused(toy: Any) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("targets must hold at least one item")):
        rollout(policy_of(toy), world_of(toy), toy.dataset, np.array([], dtype=np.int64))
    train = toy.dataset.before("train")
    wanted = re.escape("every user already has every target: nobody can be guided")
    with pytest.raises(InvalidInputError, match=wanted):
        rollout(policy_of(toy), world_of(toy), toy.dataset, train.of(3)[:1], user_idx=np.array([3]))


class Spy(NextItem):
    """A policy that notes what it is told, and can be told nothing else."""

    def __init__(self, toy: Any) -> None:
        super().__init__(toy.encoder)
        self.seen: list[View] = []

    def decide(self, view: View) -> Decision:
        candidates = view.candidates._replace(penalty=view.candidates.penalty.clone())
        self.seen.append(view._replace(places=view.places.clone(), candidates=candidates))
        return super().decide(view)


def test_policy_sees_its_own_places_and_nothing_hidden(toy: Any) -> None:
    """Scrambling the hidden vectors changes nothing in the first round's view."""
    scrambled = toy._replace(user_vectors=toy.user_vectors.flip(0))
    spies = [Spy(toy), Spy(toy)]
    for spy, one in zip(spies, (toy, scrambled), strict=True):
        rollout(spy, world_of(one), toy.dataset, TARGETS, n_workers=1)
    first, other = (spy.seen[0] for spy in spies)
    assert (first.journeys.round == 1).all()
    told = [
        (*v.journeys[1:], v.places, v.candidates.penalty, v.rounds_left) for v in (first, other)
    ]
    for x, y in zip(*told, strict=True):
        assert torch.equal(x, y)
    assert first.candidates.item_idx is other.candidates.item_idx is None
    history = torch.from_numpy(toy.dataset.before("train").padded(5))
    with torch.no_grad():
        expected = toy.encoder.transformer(history)[:, -1][first.journeys.user]
    torch.testing.assert_close(first.places, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("end", ["known", "unknown"])
def test_policies_are_told_how_many_rounds_are_left_where_anybody_knows(
    toy: Any, end: Literal["known", "unknown"]
) -> None:
    """Whoever does not heed it shows the same."""
    spy, options = Spy(toy), RolloutOptions(n_rounds=5, end=end)
    log = rollout(spy, world_of(toy), toy.dataset, TARGETS, options, n_workers=1).log
    for number, view in enumerate(spy.seen, start=1):
        left = 5 - number if end == "known" else OPEN_ENDED
        assert (view.rounds_left == left).all()
        assert (view.journeys.rounds_left == 5 - number).all()  # what the host knows
    assert len(spy.seen) == 5
    usual = rollout(
        NextItem(toy.encoder), world_of(toy), toy.dataset, TARGETS, RolloutOptions(n_rounds=5)
    )
    same_logs(log, usual.log)


class Noting(NextItem):
    """Notes which places it is asked for, and what it is told of their journeys."""

    def __init__(self, toy: Any, renewed_by: Renewal, knows_target: bool) -> None:
        super().__init__(toy.encoder)
        self.renewed_by, self.knows_target = renewed_by, knows_target
        self.asked: list[tuple[int, int, int]] = []  # user, target, round
        self.told: list[tuple[list[int], list[int]]] = []  # shown, answers
        self.seqs: list[list[int]] = []

    def place(self, journeys: Journeys) -> torch.Tensor:
        columns = (journeys.user, journeys.target_idx, journeys.round)
        self.asked += zip(*(x.tolist() for x in columns), strict=True)
        self.told += zip(journeys.shown.tolist(), journeys.answer.tolist(), strict=True)
        self.seqs += journeys.sequence(5, "left").tolist()
        return super().place(journeys)


CASES_OF_RENEWAL = [
    ("never", True),
    ("acceptance", False),
    ("acceptance", True),
    ("refusal", True),
    ("answer", False),
]


@pytest.mark.parametrize(("renewed_by", "knows_target"), CASES_OF_RENEWAL)
def test_places_are_made_when_policies_say_and_of_whole_journeys(
    toy: Any, renewed_by: Renewal, knows_target: bool
) -> None:
    policy = Noting(toy, renewed_by, knows_target)
    options = RolloutOptions(n_rounds=4)
    log = rollout(policy, world_of(toy), toy.dataset, TARGETS, options, n_workers=1).log
    n_first = len(log.user_idx) if knows_target else toy.dataset.n_users
    start, later = policy.asked[:n_first], policy.asked[n_first:]
    whose = set(zip(log.user_idx.tolist(), log.target_idx.tolist(), strict=True))
    if knows_target:
        assert {(user, target) for user, target, _ in start} == whose
    else:
        assert {target for _, target, _ in start} == {0}
    before_last = slice(0, 3)
    accepted, shown = log.accepted[:, before_last], log.is_shown[:, before_last]
    goes_on = ~(accepted & (log.item_idx[:, before_last] == log.target_idx[:, None]))
    row, number = {
        "never": np.zeros_like(shown),
        "acceptance": accepted & goes_on,
        "refusal": ~accepted & shown,
        "answer": shown & goes_on,
    }[renewed_by].nonzero()
    expected = zip(log.user_idx[row], log.target_idx[row], number + 2, strict=True)
    assert sorted(later) == sorted((int(u), int(t), int(n)) for u, t, n in expected)
    row_of = {pair: n for n, pair in enumerate(zip(log.user_idx, log.target_idx, strict=True))}
    known = toy.dataset.before("train")
    for (user, target, at), (items, answers), seq in zip(
        later, policy.told[n_first:], policy.seqs[n_first:], strict=True
    ):
        row, n_past = row_of[user, target], at - 1
        past, taken = log.item_idx[row, :n_past], log.accepted[row, :n_past]
        rest = [0] * (4 - n_past)
        assert items == past.tolist() + rest
        assert answers == taken.astype(int).tolist() + [-1] * len(rest)
        history = [*known.of(user).tolist(), *past[taken].tolist()]
        assert seq == ([0] * 5 + history)[-5:]
