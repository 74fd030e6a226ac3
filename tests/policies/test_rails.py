"""Guard rails: whole rollouts of many policies under random rails, judged by a slow checker."""

import math
import os
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation import rollout as rollout_module
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.oracles import OracleGreedy, guarded
from proactrec.evaluation.protocols import COMMON, OFFICIAL, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.graphau import InterestVectors
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
from proactrec.policies.guarded import Guarded
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.rails import RailsOptions, check_rails, opted_out
from proactrec.policies.reference import Nearest, Random
from proactrec.simulator.environment import World

N_USERS, N_ITEMS, N_ROUNDS, READ = 12, 26, 8, 5
TARGETS = np.array([3, 9])
KINDS = ("a", "b", "c", "d")
CATEGORIES = [[KINDS[i % 3]] + ["d"] * (i % 4 == 0) for i in range(1, N_ITEMS + 1)]
N_EXAMPLES = int(os.environ.get("PROACTREC_RAILS_EXAMPLES", "120"))
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
        self, policy: Policy, protocol: Protocol = COMMON, seed: int = 0, targets: Any = TARGETS
    ) -> GuidanceLog:
        world = World(self.dataset, *self.vectors, targets, protocol.world, seed=seed)
        options = protocol.rollout.model_copy(update={"n_rounds": N_ROUNDS, "n_traced": 0})
        return rollout(policy, world, self.dataset, targets, options, n_workers=1).log


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


def journey(log: GuidanceLog, pair: int, score: np.ndarray, toy: Toy, rails: Any) -> list[Seen]:
    """Rounds of a pair; what may be shown as the rails that hold for every round say."""
    owned = set(toy.dataset.before("train").of(int(log.user_idx[pair])).tolist())
    forbidden, shown, seen = of(rails.forbidden_categories), list[int](), []
    for number, item in enumerate(log.item_idx[pair].tolist()):
        gone = owned | forbidden | set(shown)
        may = [
            i
            for i in range(1, N_ITEMS + 1)
            if i not in gone and not is_over(i, shown, int(log.target_idx[pair]), rails)
        ]
        place = sum(score[number, i] > score[number, item] + NEAR for i in may) if item else 0
        seen.append(Seen(item, bool(log.accepted[pair, number]), may, place))
        shown += [item] * (item > 0)
    return seen


def is_over(item: int, shown: list[int], target: int, rails: RailsOptions) -> bool:
    """Whether an item would go beyond a cap, or take the target's place under it."""
    for category, cap in rails.category_caps.items():
        if category in CATEGORIES[item - 1]:
            keeps = category in CATEGORIES[target - 1] and target not in (item, *shown)
            if sum(category in CATEGORIES[i - 1] for i in shown) + keeps >= cap:
                return True
    return False


def violations(log: GuidanceLog, toy: Toy, rails: RailsOptions, seed: int = 0) -> set[str]:
    """Names of the rails that were broken."""
    score, found = relevance(log, toy), set[str]()
    is_out = opted_out(rails, toy.dataset, seed=seed)
    for pair in range(len(log.user_idx)):
        if is_out[log.user_idx[pair]]:
            free = RailsOptions(forbidden_categories=rails.forbidden_categories)
            seen = journey(log, pair, score[pair], toy, free)
            if any(not one.looks_plain or one.item not in one.may for one in seen if one.item):
                found.add("opt_out")
            continue
        seen = journey(log, pair, score[pair], toy, rails)
        found |= broken_in_rounds(seen, rails) | broken_over_rounds(seen, rails)
        reached = bool(log.reached[pair])
        if rails.stop_after is None and not reached and any(s.may and not s.item for s in seen):
            found.add("left out in the cold")
    return found


def broken_in_rounds(seen: list[Seen], rails: RailsOptions) -> set[str]:
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
    pause_after = draw(st.none() | count)
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
        "opt_out": draw(st.lists(st.sampled_from(["u01", "u07"]), unique=True).map(tuple)),
        "opt_out_share": draw(st.just(0.0) | share),
    }
    kept = draw(st.sets(st.sampled_from(sorted(given_rails)), min_size=1))
    kept |= {"pause_after"} if "pause_rounds" in kept else set()
    return RailsOptions(**{name: value for name, value in given_rails.items() if name in kept})


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rails=rails_options(), name=st.sampled_from(POLICIES), seed=st.integers(0, 3))
def test_no_policy_ever_breaks_a_rail(toy: Toy, rails: RailsOptions, name: str, seed: int) -> None:
    log = toy.play(toy.guarded(name, rails, seed), seed=seed)
    assert violations(log, toy, rails, seed) == set()


ONE_RAIL: dict[str, dict[str, Any]] = {
    "relevance_floor": {"relevance_floor": 0.2},
    "forbidden_categories": {"forbidden_categories": ("b",)},
    "protected_categories": {"protected_categories": ("b",)},
    "category_caps": {"category_caps": {"a": 1, "d": 0}},
    "plain_share": {"plain_share": 0.5},
    "guided_budget": {"guided_budget": 2},
    "pause_after": {"pause_after": 2, "pause_rounds": 2},
    "stop_after": {"stop_after": 2},
    "opt_out": {"opt_out": ("u02",)},
}


@pytest.mark.parametrize("name", ["itmprec", "random", "foresight", "planned once"])
@pytest.mark.parametrize("rail", ONE_RAIL)
def test_every_rail_bites(toy: Toy, rail: str, name: str) -> None:
    """Without it the checker finds the violation, and that one only; with it, none."""
    rails = RailsOptions(**ONE_RAIL[rail])
    assert violations(toy.play(toy.policy(name)), toy, rails) == {rail}
    assert violations(toy.play(toy.guarded(name, rails)), toy, rails) == set()


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


def test_everybody_plain_is_next_item(toy: Toy) -> None:
    plain = toy.play(toy.policy("next-item"))
    for values in ({"plain_share": 1.0}, {"guided_budget": 0}, {"opt_out_share": 1.0}):
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
    """Notes how many rounds it is told are left."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    def decide(self, observation: Observation) -> Decision:
        self.told.append(observation.rounds_left)
        return super().decide(observation)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"stop_after": 9}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"guided_budget": 3}, [2, 1, 0, 0, 0, 0, 0, 0]),
        ({"plain_share": 0.5}, [4, 3, 3, 2, 2, 1, 1, 0]),
        ({"plain_share": 0.5, "guided_budget": 3}, [2, 2, 1, 1, 0, 0, 0, 0]),
    ],
)
def test_who_looks_ahead_is_told_how_many_guided_rounds_are_left(
    toy: Toy, values: dict[str, Any], left: list[int]
) -> None:
    policy = Ahead()
    toy.play(guarded(policy, toy.encoder, toy.dataset, RailsOptions(**values)))
    assert policy.told == left


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
    assert all((few <= many).all() for few, many in pairwise(drawn))


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
        ({"protected_categories": ("x",)}, UnknownIdError, "category 'x' does not exist in toy"),
        ({"category_caps": {"x": 1}}, UnknownIdError, "category 'x' does not exist in toy"),
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
        ({"speed": 1}, "RailsOptions.speed: extra inputs are not permitted"),
    ],
)
def test_bad_rails_are_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        RailsOptions(**values)


def test_a_floor_on_acceptance_needs_a_prediction(toy: Toy) -> None:
    with pytest.raises(InvalidInputError, match="needs a policy that predicts acceptance, ipg"):
        toy.guarded("ipg", RailsOptions(acceptance_floor=0.2))
