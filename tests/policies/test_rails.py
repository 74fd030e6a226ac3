"""Guard rails: whole rollouts of many policies under random rails, judged by a slow checker."""

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proactrec.policies.guarded import Guarded
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation import rollout as rollout_module
from proactrec.evaluation.oracles import OracleGreedy, guarded
from proactrec.evaluation.protocols import COMMON, OFFICIAL, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions, check_rails, groups_of, opted_out
from proactrec.intents import Intents
from proactrec.policies.base import (
    Decision,
    Encodes,
    Evidence,
    Observation,
    Past,
    Policy,
    next_planned,
)
from proactrec.policies.belief import AcceptanceModel
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import Nearest, Random
from proactrec.simulator.minds import Minds
from proactrec.simulator.world import World

N_USERS = int(os.environ.get("PROACTREC_RAILS_USERS", "12"))
N_ITEMS, N_ROUNDS, READ = 26, 8, 5
TARGETS = np.array([3, 9])
KINDS = ("a", "b", "c", "d")
CATEGORIES = [[KINDS[i % 3]] + ["d"] * (i % 4 == 0) for i in range(1, N_ITEMS + 1)]
N_EXAMPLES = int(os.environ.get("PROACTREC_RAILS_EXAMPLES", "120"))
JUDGED: list[int] = []
"""Decisions of every run of random rails."""
NEAR = 1e-4
"""Scores closer than this are equal: batches round differently."""


class Planned(Policy):
    """A path through all items, drawn anew whenever it is asked to encode."""

    name: ClassVar[str] = "planned"

    def __init__(self, encodes: Encodes) -> None:
        self.encodes = encodes

    def encode(self, past: Past) -> Tensor:
        keys = (past.user_idx * 7 + past.target_idx * 5 + past.round * 3)[:, None]
        order = (torch.arange(1, N_ITEMS + 1)[None] * (2 * keys + 1)) % 53
        path = order.argsort(dim=1, stable=True) + 1
        return path.float()

    def decide(self, observation: Observation) -> Decision:
        return next_planned(observation)


class Toy(NamedTuple):
    dataset: Dataset
    encoder: SASRec
    vectors: InterestVectors  # of the simulated users
    believed: InterestVectors  # of the policy
    intents: Intents

    def policy(self, name: str) -> Policy:
        if name.startswith("planned"):
            return Planned(name.split()[1])  # type: ignore[arg-type]
        made: dict[str, Callable[[], Policy]] = {
            "itmprec": lambda: ITMPRec(self.encoder, self.intents),
            "ipg": lambda: IPG(self.encoder),
            "next-item": lambda: NextItem(self.encoder),
            "nearest": lambda: Nearest(self.encoder),
            "random": lambda: Random(0),
            "foresight": lambda: Foresight(self.believed, self.dataset),
            "oracle": OracleGreedy,
        }
        return made[name]()

    def guarded(self, name: str, rails: RailsOptions, seed: int = 0) -> Guarded:
        return guarded(self.policy(name), self.encoder, self.dataset, rails, seed=seed)

    def play(
        self,
        policy: Policy,
        protocol: Protocol = COMMON,
        seed: int = 0,
        targets: Any = TARGETS,
        n_workers: int = 1,
        **changes: Any,
    ) -> GuidanceLog:
        world = World(self.dataset, *self.vectors, targets, protocol.world, seed=seed)
        changes = {"n_rounds": N_ROUNDS, "n_traced": 0, **changes}
        options = protocol.rollout.model_copy(update=changes)
        return rollout(policy, world, self.dataset, targets, options, n_workers=n_workers).log


POLICIES = (
    "itmprec",
    "ipg",
    "next-item",
    "nearest",
    "random",
    "foresight",
    "oracle",
    "planned once",
    "planned refused",
    "planned pair",
)


def unit(rng: torch.Generator, n_rows: int, dim: int) -> Tensor:
    return F.normalize(torch.randn(n_rows, dim, generator=rng), dim=1)


@pytest.fixture(scope="module")
def toy() -> Toy:
    draw, rng = np.random.default_rng(4), torch.Generator().manual_seed(8)
    rows = [
        (f"u{user:02}", f"i{item:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate(draw.permutation(N_ITEMS)[: 3 + user % 6] + 1)
    ] + [("v", f"i{item:02}", item) for item in range(1, N_ITEMS + 1)]
    ids = [f"i{item:02}" for item in range(1, N_ITEMS + 1)]
    lists = pl.Series(CATEGORIES, dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    encoder = SASRec(N_ITEMS, EncoderOptions(embedding_dim=8, max_seq_len=READ, n_layers=1))
    encoder.start(0, padded(unit(rng, N_ITEMS, 8)))
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "items" not in name:  # the start is too small to tell histories apart
                weight.add_(0.5 * torch.randn(weight.shape, generator=rng))
    return Toy(
        Dataset.build("toy", Interactions(events), Catalogue(items)),
        encoder.eval(),
        InterestVectors(unit(rng, N_USERS + 1, 6), padded(unit(rng, N_ITEMS, 6))),
        InterestVectors(unit(rng, N_USERS + 1, 6), padded(unit(rng, N_ITEMS, 6))),
        Intents(unit(rng, 4, 8)),
    )


def padded(items: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, items.shape[1]), items])


# The checker: from the log alone, one pair and one round at a time.


def of(categories: tuple[str, ...]) -> set[int]:
    return {i for i, names in enumerate(CATEGORIES, start=1) if set(names) & set(categories)}


def relevance(log: GuidanceLog, toy: Toy) -> np.ndarray:
    """The encoder's score of every item before every round: (n_pairs, n_rounds, n_items + 1)."""
    known = toy.dataset.before("train")
    seqs = []
    for pair, user in enumerate(log.user_idx):
        seq = known.of(int(user)).tolist()
        for item, accepted in zip(log.item_idx[pair], log.accepted[pair], strict=True):
            seqs.append(([0] * READ + seq)[-READ:])
            seq = [*seq, int(item)] if accepted else seq
    with torch.no_grad():
        scores = toy.encoder.score(toy.encoder.encode(torch.tensor(seqs)))
    return scores.view(*log.item_idx.shape, -1).double().numpy()


class Seen(NamedTuple):
    """A round of one pair."""

    item: int
    accepted: bool
    may: list[int]  # items that rails and history leave
    place: int  # of the item among them by relevance, equal ones apart

    @property
    def looks_plain(self) -> bool:
        return self.place == 0


def journey(
    log: GuidanceLog, pair: int, score: np.ndarray, toy: Toy, rails: Any, exclude: str = "shown"
) -> list[Seen]:
    """Rounds of a pair; what may be shown as the rails that hold for every round say."""
    owned = set(toy.dataset.before("train").of(int(log.user_idx[pair])).tolist())
    forbidden, shown, seen = of(rails.forbidden_categories), list[int](), []
    never_again = set[int]()
    for number, item in enumerate(log.item_idx[pair].tolist()):
        gone = owned | forbidden | never_again
        may = [
            i
            for i in range(1, N_ITEMS + 1)
            if i not in gone and not is_over(i, shown, int(log.target_idx[pair]), rails)
        ]
        place = sum(score[number, i] > score[number, item] + NEAR for i in may) if item else 0
        seen.append(Seen(item, bool(log.accepted[pair, number]), may, place))
        shown += [item] * (item > 0)
        if exclude == "shown" or log.accepted[pair, number]:
            never_again.add(item)
    return seen


def is_over(item: int, shown: list[int], target: int, rails: RailsOptions) -> bool:
    """Whether an item would go beyond a cap, or take the target's place under it."""
    for category, cap in rails.category_caps.items():
        if category in CATEGORIES[item - 1]:
            keeps = category in CATEGORIES[target - 1] and target not in (item, *shown)
            if sum(category in CATEGORIES[i - 1] for i in shown) + keeps >= cap:
                return True
    return rails.item_cap is not None and shown.count(item) >= rails.item_cap


def violations(
    log: GuidanceLog, toy: Toy, rails: RailsOptions, seed: int = 0, exclude: str = "shown"
) -> set[str]:
    """Names of the rails that were broken."""
    score, found = relevance(log, toy), set[str]()
    is_out = opted_out(rails, toy.dataset, seed=seed)
    free = RailsOptions(forbidden_categories=rails.forbidden_categories)
    guided = np.zeros(log.item_idx.shape, bool)
    for pair in range(len(log.user_idx)):
        seen = journey(log, pair, score[pair], toy, free, exclude)
        is_usual = all(one.looks_plain and one.item in one.may for one in seen if one.item)
        if is_out[log.user_idx[pair]]:
            if not is_usual:
                found.add("opt_out")
            continue
        if rails.guided_pairs is not None and is_usual:
            continue  # it may be one that is left out
        seen = journey(log, pair, score[pair], toy, rails, exclude)
        guided[pair] = [one.item > 0 and not one.looks_plain for one in seen]
        found |= broken_in_rounds(seen, rails) | broken_over_rounds(seen, rails)
        reached = bool(log.reached[pair])
        if rails.stop_after is None and not reached and any(s.may and not s.item for s in seen):
            found.add("left out in the cold")
    return found | broken_over_pairs(log, guided, rails)


def broken_over_pairs(log: GuidanceLog, guided: np.ndarray, rails: RailsOptions) -> set[str]:
    """The rails that span users; `guided` (n_pairs, n_rounds) is true where it must have been."""
    per_round, total, today, found = Counter(), Counter(), Counter(), set()
    for pair, number in np.argwhere(guided).tolist():
        item, user = int(log.item_idx[pair, number]), int(log.user_idx[pair])
        per_round[item, number] += 1
        total[item] += 1
        today[user, number // (rails.rounds_per_day or 1)] += 1
    for name, counts in (
        ("item_cap_per_round", per_round),
        ("item_cap_total", total),
        ("daily_cap", today),
    ):
        cap = getattr(rails, name)
        if cap is not None and any(n > cap for n in counts.values()):
            found.add(name)
    most = rails.guided_pairs
    if most is not None:
        n_most = math.floor(most * len(guided) + 1e-9) if most <= 1 else most
        if guided.any(1).sum() > n_most:
            found.add("guided_pairs")
    return found


def broken_in_rounds(seen: list[Seen], rails: RailsOptions) -> set[str]:
    items = Counter(one.item for one in seen if one.item)
    found = {"item_cap"} if any(n > (rails.item_cap or 99) for n in items.values()) else set()
    return found | broken_by_categories(seen, rails)


def broken_by_categories(seen: list[Seen], rails: RailsOptions) -> set[str]:
    found, protected = set(), of(rails.protected_categories)
    forbidden, counts = of(rails.forbidden_categories), dict.fromkeys(rails.category_caps, 0)
    for one in (s for s in seen if s.item):
        if one.item in forbidden:
            found.add("forbidden_categories")
        if one.item in protected and not one.looks_plain:
            found.add("protected_categories")
        for name in counts:
            counts[name] += name in CATEGORIES[one.item - 1]
        if rails.relevance_floor is not None:
            n_best = max(1, math.ceil(rails.relevance_floor * len(one.may) - 1e-9))
            if one.place >= n_best:
                found.add("relevance_floor")
    if any(n > rails.category_caps[name] for name, n in counts.items()):
        found.add("category_caps")
    return found


def broken_over_rounds(seen: list[Seen], rails: RailsOptions) -> set[str]:
    found = set()
    played = [s for s in seen if s.item]
    guided = [not s.looks_plain for s in played]
    if rails.guided_budget is not None and sum(guided) > rails.guided_budget:
        found.add("guided_budget")
    for start in range(len(played)):
        for end in range(start + 1, len(played) + 1):
            n_plain = sum(not g for g in guided[start:end])
            if n_plain < math.floor(rails.plain_share * (end - start)):
                found.add("plain_share")
    return found | broken_by_refusals(played, rails)


def broken_by_refusals(played: list[Seen], rails: RailsOptions) -> set[str]:
    found = set()
    if rails.pause_after is not None:
        guided = [not s.looks_plain for s in played]
        tired = [g and not s.accepted for g, s in zip(guided, played, strict=True)]
        for end in range(rails.pause_after, len(played)):
            pause = guided[end : end + rails.pause_rounds]
            if all(tired[end - rails.pause_after : end]) and any(pause):
                found.add("pause_after")
    if rails.stop_after is not None:
        in_a_row = 0
        for one in played:
            if in_a_row >= rails.stop_after:
                found.add("stop_after")
            in_a_row = 0 if one.accepted else in_a_row + 1
    return found


share = st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9])
count = st.integers(1, 5)
some_kinds = st.lists(st.sampled_from(KINDS), max_size=2, unique=True).map(tuple)


@st.composite
def rails_options(draw: st.DrawFn) -> RailsOptions:
    pause_after, daily_cap = draw(st.none() | count), draw(st.none() | count)
    given_rails = {
        "relevance_floor": draw(st.none() | share),
        "forbidden_categories": draw(some_kinds),
        "protected_categories": draw(some_kinds),
        "category_caps": draw(st.dictionaries(st.sampled_from(KINDS), st.integers(0, 4))),
        "item_cap": draw(st.none() | count),
        "plain_share": draw(st.just(0.0) | share),
        "guided_budget": draw(st.none() | st.integers(0, 5)),
        "pause_after": pause_after,
        "pause_rounds": 3 if pause_after is None else draw(count),
        "stop_after": draw(st.none() | count),
        "item_cap_per_round": draw(st.none() | count),
        "item_cap_total": draw(st.none() | st.integers(1, 20)),
        "daily_cap": daily_cap,
        "rounds_per_day": None if daily_cap is None else draw(count),
        "guided_pairs": draw(st.none() | share | st.integers(2, 30)),
        "opt_out": draw(st.lists(st.sampled_from(["u01", "u07"]), unique=True).map(tuple)),
        "opt_out_share": draw(st.just(0.0) | share),
    }
    kept = draw(st.sets(st.sampled_from(sorted(given_rails)), min_size=1))
    for one, other in (("pause_rounds", "pause_after"), ("daily_cap", "rounds_per_day")):
        kept |= {one, other} if kept & {one, other} else set()
    return RailsOptions(**{name: value for name, value in given_rails.items() if name in kept})


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
)
def test_no_policy_ever_breaks_a_rail(
    toy: Toy, rails: RailsOptions, name: str, seed: int, exclude: str
) -> None:
    log = toy.play(toy.guarded(name, rails, seed), seed=seed, exclude=exclude)
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


@pytest.mark.parametrize("name", ["itmprec", "random", "foresight", "planned once"])
@pytest.mark.parametrize("rail", ONE_RAIL)
def test_every_rail_bites(toy: Toy, rail: str, name: str) -> None:
    """Without it the checker finds the violation, and that one only; with it, none."""
    rails = RailsOptions(**ONE_RAIL[rail])
    assert violations(toy.play(toy.policy(name)), toy, rails) == {rail}
    assert violations(toy.play(toy.guarded(name, rails)), toy, rails) == set()


@pytest.mark.parametrize("name", ["itmprec", "ipg", "nearest", "next-item", "oracle"])
def test_an_item_that_is_refused_does_not_come_again_for_ever(toy: Toy, name: str) -> None:
    rails = RailsOptions(item_cap=1)
    free = toy.play(toy.policy(name), exclude="accepted")
    assert violations(free, toy, rails, exclude="accepted") == {"item_cap"}
    log = toy.play(toy.guarded(name, rails), exclude="accepted")
    assert violations(log, toy, rails, exclude="accepted") == set()
    assert_same(log, toy.play(toy.policy(name)))  # one time each is what "shown" means


def assert_same(log: GuidanceLog, other: GuidanceLog) -> None:
    for name in ("user_idx", "target_idx", "item_idx", "accepted", "rank"):
        np.testing.assert_array_equal(getattr(log, name), getattr(other, name))
    np.testing.assert_allclose(log.interest, other.interest, atol=1e-6)


@pytest.mark.parametrize("protocol", [COMMON, OFFICIAL], ids=["common", "official"])
@pytest.mark.parametrize("name", POLICIES)
def test_rails_that_are_off_or_never_touched_change_nothing(
    toy: Toy, name: str, protocol: Protocol
) -> None:
    free = toy.play(toy.policy(name), protocol)
    assert_same(toy.play(toy.guarded(name, RailsOptions()), protocol), free)
    loose = RailsOptions(relevance_floor=1.0, guided_budget=100, stop_after=100, item_cap=99)
    assert_same(toy.play(toy.guarded(name, loose), protocol), free)
    loose = RailsOptions(
        item_cap_per_round=99,
        item_cap_total=999,
        daily_cap=99,
        rounds_per_day=9,
        guided_pairs=1,
        equal_groups="activity",
    )
    assert_same(toy.play(toy.guarded(name, loose), protocol), free)


@pytest.mark.parametrize("name", ["itmprec", "random", "foresight", "planned refused"])
def test_who_opted_out_sees_what_next_item_shows(toy: Toy, name: str) -> None:
    rails = RailsOptions(
        opt_out=("u03",), opt_out_share=0.5, stop_after=1, category_caps={"a": 1}, plain_share=0.3
    )
    log, plain = toy.play(toy.guarded(name, rails)), toy.play(toy.policy("next-item"))
    is_out = opted_out(rails, toy.dataset, seed=0)[log.user_idx]
    assert 0.1 < is_out.mean() < 0.9
    for part in ("item_idx", "accepted", "interest", "rank"):
        np.testing.assert_array_equal(getattr(log, part)[is_out], getattr(plain, part)[is_out])
    assert (log.item_idx[~is_out] != plain.item_idx[~is_out]).any()


@pytest.mark.parametrize("name", ["foresight", "planned refused", "ipg"])
def test_rails_do_not_depend_on_blocks(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rails = RailsOptions(relevance_floor=0.5, plain_share=0.3, pause_after=2, opt_out_share=0.2)
    whole = toy.play(toy.guarded(name, rails))
    monkeypatch.setattr(rollout_module, "MAX_BLOCK_PAIRS", 5)
    assert_same(toy.play(toy.guarded(name, rails)), whole)


SPANNING = RailsOptions(
    item_cap_per_round=2,
    item_cap_total=7,
    daily_cap=3,
    rounds_per_day=2,
    guided_pairs=0.8,
    opt_out_share=0.1,
)


@pytest.mark.parametrize("name", POLICIES)
def test_rails_that_span_users_depend_on_neither_blocks_nor_threads(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = toy.guarded(name, SPANNING)
    whole = toy.play(policy)
    told = policy.notes()["rails"]
    assert min(told["decided_again"], told["not_chosen"], told["daily_cap"]) > 0
    for size, n_workers in ((5, 1), (5, 3), (1, 2)):
        monkeypatch.setattr(rollout_module, "MAX_BLOCK_PAIRS", size)
        policy = toy.guarded(name, SPANNING)
        assert_same(toy.play(policy, n_workers=n_workers), whole)
        assert policy.notes()["rails"] == told


class Wishful(Policy):
    """All want the same items, some more than others."""

    name: ClassVar[str] = "wishful"

    def decide(self, observation: Observation) -> Decision:
        is_left = observation.penalty == 0
        item_idx = is_left.int().argmax(1)  # the first
        score = (observation.user_idx * 5 + observation.target_idx) % 4 / 4
        return Decision(item_idx.masked_fill(~is_left.any(1), 0), score)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_a_scarce_item_goes_to_those_with_the_highest_score(toy: Toy, cap: int) -> None:
    """The first round by hand: who asks for a full item asks for the next one then."""
    rails = RailsOptions(item_cap_per_round=cap)
    log = toy.play(guarded(Wishful(), toy.encoder, toy.dataset, rails))
    known, closed = toy.dataset.before("train"), set[int]()
    pairs = list(zip(log.user_idx.tolist(), log.target_idx.tolist(), strict=True))

    def first(pair: int) -> int:
        gone = closed | set(known.of(pairs[pair][0]).tolist())
        return next((i for i in range(1, N_ITEMS + 1) if i not in gone), 0)

    wanted = {pair: first(pair) for pair in range(len(pairs))}
    while True:
        losers = []
        for item in set(wanted.values()) - {0}:
            asking = [pair for pair, wish in wanted.items() if wish == item]
            asking.sort(key=lambda pair: (-((pairs[pair][0] * 5 + pairs[pair][1]) % 4), pair))
            losers += asking[cap:]
            closed |= {item} if asking[cap:] else set()
        if not losers:
            break
        wanted |= {pair: first(pair) for pair in losers}
    assert 0 not in wanted.values()
    assert log.item_idx[:, 0].tolist() == [wanted[pair] for pair in range(len(pairs))]


def test_the_day_of_a_user_goes_to_the_first_target(toy: Toy) -> None:
    rails = RailsOptions(daily_cap=1, rounds_per_day=1)
    log, free = toy.play(toy.guarded("random", rails)), toy.play(toy.policy("random"))
    plain = toy.play(toy.policy("next-item"))
    is_first = log.target_idx == TARGETS[0]
    np.testing.assert_array_equal(log.item_idx[is_first], free.item_idx[is_first])
    first_users = log.user_idx[is_first].tolist()
    n_rounds_played = {
        int(user): int((log.item_idx[row] > 0).sum())
        for row, user in zip(np.flatnonzero(is_first), first_users, strict=True)
    }
    for row in np.flatnonzero(~is_first):
        n_held = n_rounds_played.get(int(log.user_idx[row]), 0)
        held = slice(0, n_held)
        np.testing.assert_array_equal(log.item_idx[row, held], plain.item_idx[row, held])


@pytest.mark.parametrize("name", ["ipg", "foresight"])
def test_the_campaigns_with_most_to_gain_are_guided(toy: Toy, name: str) -> None:
    log = toy.play(toy.guarded(name, RailsOptions(guided_pairs=7)))
    seqs = torch.from_numpy(toy.dataset.before("train").padded(READ)[log.user_idx])
    targets = toy.encoder.item_vectors[torch.from_numpy(log.target_idx)]
    nearness = F.cosine_similarity(toy.encoder.encode(seqs), targets)
    plain = toy.play(toy.policy("next-item"))
    differs = (log.item_idx != plain.item_idx).any(1)
    assert set(np.flatnonzero(differs)) == set(nearness.argsort()[:7].tolist())


def test_no_group_is_guided_much_more_than_another(toy: Toy) -> None:
    groups = {user_id: "xyz"[n % 3] for n, user_id in enumerate(toy.dataset.user_ids)}
    for most in (0.4, 0.7, 13):
        rails = RailsOptions(guided_pairs=most, equal_groups=groups, opt_out=("u04",))
        policy = toy.guarded("random", rails)
        log, plain = toy.play(policy), toy.play(toy.policy("next-item"))
        told = policy.notes()["rails"]["groups"]
        is_guided = (log.item_idx != plain.item_idx).any(1)
        named = np.array([groups[toy.dataset.user_ids[user]] for user in log.user_idx])
        may = log.user_idx != toy.dataset.user_ids.index("u04")
        shares = {}
        for name in "xyz":
            n_may, n_guided = (
                int((may & (named == name)).sum()),
                int(is_guided[named == name].sum()),
            )
            assert told[name] == {"campaigns": n_may, "guided": n_guided}
            shares[name] = n_guided / n_may
        assert 0 < max(shares.values()) <= 1.1 * min(shares.values())
        assert is_guided.sum() <= (most * len(may) if most < 1 else most)


def test_thirds_by_activity(toy: Toy) -> None:
    names, group = groups_of(RailsOptions(guided_pairs=1, equal_groups="activity"), toy.dataset)
    lengths = toy.dataset.before("train").lengths
    assert len(names) == 3
    assert all(lengths[group == g].size for g in range(3))
    assert lengths[group == 0].max() < lengths[group == 1].min()
    assert lengths[group == 1].max() < lengths[group == 2].min()


def test_a_budget_too_small_for_all_groups_is_refused(toy: Toy) -> None:
    rails = RailsOptions(guided_pairs=2, equal_groups="activity")
    sentence = "enough to treat the groups of rails.equal_groups alike, got 2 campaigns for"
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        toy.play(toy.guarded("random", rails))


@pytest.mark.parametrize(
    ("rails", "guided", "sentence"),
    [
        (SPANNING, True, "rails that span users need observation.bounds"),
        (RailsOptions(guided_budget=1), False, "rails need past.guided"),
    ],
)
def test_nobody_plays_past_the_rails_in_a_loop_of_his_own(
    toy: Toy, rails: RailsOptions, guided: bool, sentence: str
) -> None:
    policy, one, nothing = toy.guarded("random", rails), torch.tensor([1]), torch.zeros(1, 8)
    past = Past(nothing.long(), one, one, nothing.long(), nothing.bool(), 1)
    past = past._replace(guided=nothing.bool()) if guided else past
    vectors = policy.encode(past)
    seen = Observation(one, one, vectors, torch.zeros(1, N_ITEMS + 1), 1, 7, None, past)
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        policy.decide(seen)


class Telepath(Policy):
    """Reads minds without being one of our oracles."""

    name: ClassVar[str] = "telepath"

    def decide(self, observation: Observation) -> Decision:
        raise AssertionError("it is to be asked what it knows")

    def decide_knowing(self, observation: Observation, minds: Minds) -> Decision:
        return OracleGreedy().decide_knowing(observation, minds)


@pytest.mark.parametrize("rails", [RailsOptions(plain_share=0.3), SPANNING], ids=["one", "all"])
def test_whoever_reads_minds_does_so_within_rails(toy: Toy, rails: RailsOptions) -> None:
    log = toy.play(guarded(Telepath(), toy.encoder, toy.dataset, rails))
    assert_same(log, toy.play(toy.guarded("oracle", rails)))


def test_everybody_plain_is_next_item(toy: Toy) -> None:
    plain = toy.play(toy.policy("next-item"))
    for values in (
        {"plain_share": 1.0},
        {"guided_budget": 0},
        {"opt_out_share": 1.0},
        {"guided_pairs": 0},
    ):
        log = toy.play(toy.guarded("foresight", RailsOptions(**values)))  # type: ignore[arg-type]
        np.testing.assert_array_equal(log.item_idx, plain.item_idx)


@pytest.mark.parametrize("floor", [0.2, 0.35])
def test_nothing_guided_is_less_likely_accepted_than_the_floor(toy: Toy, floor: float) -> None:
    """Chances by hand, for a belief that only acceptances move and that learns nothing."""
    believes = ForesightOptions(learns=False, belief_variance=0.0, item_shrinkage=None)
    inner = Foresight(toy.believed, toy.dataset, believes)
    weak = {}
    for is_on in (False, True):
        rails = RailsOptions(acceptance_floor=floor if is_on else None)
        log = toy.play(guarded(inner, toy.encoder, toy.dataset, rails))
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
    policy = Witness(toy.believed, toy.dataset)
    rails = RailsOptions(plain_share=0.5)
    log = toy.play(guarded(policy, toy.encoder, toy.dataset, rails))
    first = policy.taught[0]
    np.testing.assert_array_equal(first.item_idx, log.item_idx[:, 0])
    users = toy.believed.user_vectors[torch.from_numpy(log.user_idx)]
    foreseen = (users * toy.believed.item_vectors[first.item_idx]).sum(1)
    torch.testing.assert_close(first.features[:, 0], foreseen)
    assert len(policy.taught) == N_ROUNDS - 1


class Wilful(Policy):
    """Wants what comes first of a category, whatever may be shown, and tampers with what may."""

    name: ClassVar[str] = "wilful"

    def decide(self, observation: Observation) -> Decision:
        observation.penalty.zero_()
        item_idx = torch.full_like(observation.user_idx, min(of(("b",))))
        return Decision(item_idx, torch.ones(len(item_idx)))


@pytest.mark.parametrize("rail", ["forbidden_categories", "protected_categories"])
def test_who_asks_for_what_may_not_be_shown_is_overruled(toy: Toy, rail: str) -> None:
    rails = RailsOptions(**ONE_RAIL[rail])
    policy = guarded(Wilful(), toy.encoder, toy.dataset, rails)
    log = toy.play(policy)
    assert violations(log, toy, rails) == set()
    assert not log.guided.any()
    told = policy.notes()["rails"]
    assert told["overruled"] >= log.is_shown.sum() > 0


def test_plain_rounds_come_as_often_as_asked_for(toy: Toy) -> None:
    policy = toy.guarded("random", RailsOptions(plain_share=0.25))
    toy.play(policy)
    told = policy.notes()["rails"]
    assert told["plain_share"] / told["decisions"] == pytest.approx(0.25, abs=0.05)


def test_notes_count_what_rails_did_until_the_target_was_accepted(toy: Toy) -> None:
    rails = RailsOptions(opt_out=("u02",), guided_budget=3, forbidden_categories=("b",))
    policy = toy.guarded("ipg", rails)
    log = toy.play(policy)
    told = policy.notes()["rails"]
    is_left = np.ones(log.item_idx.shape, bool)
    hit = log.accepted & (log.item_idx == log.target_idx[:, None])
    is_left[:, 1:] = ~np.maximum.accumulate(hit, 1)[:, :-1]
    is_out = opted_out(rails, toy.dataset, seed=0)[log.user_idx]
    assert told["decisions"] == is_left.sum()
    assert told["opted_out"] == is_left[is_out].sum()
    assert told["budget_spent"] == is_left[~is_out, 3:].sum()
    assert told["stopped"] == told["paused"] == told["nothing_passes"] == 0
    assert told["items_forbidden"] > 0


class Ahead(Random):
    """Notes how many rounds it is told are left, and what was there to tell it by."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Tensor] = []
        self.past: list[Past] = []

    def decide(self, observation: Observation) -> Decision:
        assert isinstance(observation.rounds_left, Tensor)
        assert observation.past is not None
        self.told.append(observation.rounds_left.clone())
        copied = (x.clone() for x in observation.past[:5])
        self.past.append(Past(*copied, observation.round))
        return super().decide(observation)


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
    policy = Ahead()
    toy.play(guarded(policy, toy.encoder, toy.dataset, RailsOptions(**values)), targets=TARGETS[:1])
    told: dict[int, set[float]] = {}
    for past, rounds in zip(policy.past, policy.told, strict=True):
        hit = past.accepted & (past.shown == past.target_idx[:, None])
        told.setdefault(past.round, set()).update(rounds[~hit.any(1)].tolist())
    assert told == {number: {x} for number, x in enumerate(left, start=1)}


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
    policy, rails = Ahead(), RailsOptions(**values)  # type: ignore[arg-type]
    toy.play(guarded(policy, toy.encoder, toy.dataset, rails))
    n_checked = 0
    for left, past in zip(policy.told, policy.past, strict=True):
        n_left = N_ROUNDS - past.round
        shown, accepted = past.shown[:, : past.round - 1], past.accepted[:, : past.round - 1]
        for row in range(len(shown)):
            answers = accepted[row].tolist()
            is_through = bool((shown[row] == past.target_idx[row]).logical_and(accepted[row]).any())
            if (
                is_through
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
    log = toy.play(toy.guarded("random", rails))
    is_a = np.isin(log.item_idx, list(of(("a",))))
    assert is_a.any()
    assert (log.item_idx[is_a] == np.broadcast_to(log.target_idx[:, None], is_a.shape)[is_a]).all()


def test_more_users_opt_out_at_a_larger_share(toy: Toy) -> None:
    drawn = [
        opted_out(RailsOptions(opt_out_share=s), toy.dataset, seed=1) for s in (0, 0.3, 0.6, 1)
    ]
    assert [drawn[0].sum(), drawn[-1].sum()] == [0, toy.dataset.n_users]
    assert all((few <= many).all() for few, many in itertools.pairwise(drawn))


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        (
            {"forbidden_categories": ("D", "A")},
            InvalidInputError,
            "target 'i03' is of the category 'A' in rails.forbidden_categories",
        ),
        (
            {"protected_categories": ("a",)},
            InvalidInputError,
            "target 'i03' is of the category 'a' in rails.protected_categories",
        ),
        (
            {"category_caps": {"b": 0, "A": 0}},
            InvalidInputError,
            "target 'i03' is of the category 'A' in rails.category_caps, with a cap of 0",
        ),
        ({"protected_categories": ("x",)}, UnknownIdError, "category 'x' does not exist in toy"),
        ({"category_caps": {"x": 1}}, UnknownIdError, "category 'x' does not exist in toy"),
        (
            {"guided_pairs": 1, "equal_groups": {"u00": "x"}},
            InvalidInputError,
            "rails.equal_groups must name the group of every user of toy, 12 have none, the first "
            "is 'u01'",
        ),
        ({"opt_out": ("w",)}, UnknownIdError, "rails.opt_out: user 'w' does not exist in toy"),
    ],
)
def test_rails_that_can_not_be_held_are_refused(
    toy: Toy, values: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        check_rails(RailsOptions(**values), toy.dataset, TARGETS)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"relevance_floor": 0}, "RailsOptions.relevance_floor: input should be greater than 0"),
        ({"plain_share": 1.1}, "RailsOptions.plain_share: input should be less than or equal to 1"),
        ({"pause_rounds": 2}, "pause_rounds needs pause_after, got 2 without it"),
        ({"category_caps": {"a": -1}}, "RailsOptions.category_caps.a: input should be greater"),
        ({"daily_cap": 2}, "daily_cap and rounds_per_day need each other, got 2 and None"),
        ({"equal_groups": "activity"}, "equal_groups needs guided_pairs, got None"),
        ({"guided_pairs": 2.5}, "guided_pairs must be a share up to 1 or a whole number, got 2.5"),
        ({"item_cap_total": 0}, "RailsOptions.item_cap_total: input should be greater than or"),
        ({"speed": 1}, "RailsOptions.speed: extra inputs are not permitted"),
    ],
)
def test_bad_rails_are_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        RailsOptions(**values)


def test_a_floor_on_acceptance_needs_a_prediction(toy: Toy) -> None:
    with pytest.raises(InvalidInputError, match="needs a policy that predicts acceptance, ipg"):
        toy.guarded("ipg", RailsOptions(acceptance_floor=0.2))
