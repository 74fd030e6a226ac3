"""Explanations: a run seen again as it was, causes that are causes, and nothing hidden in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.oracles import OracleGreedy
from proactrec.evaluation.protocols import COMMON, PROTOCOLS, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.course import Rails
from proactrec.guidance.explained import Explanation
from proactrec.guidance.explanations import Explainer
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.recorded import train_users
from proactrec.guidance.replay import Replay
from proactrec.guidance.wording import told, told_to_customer
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, Decision, Explains, Policy, View, next_planned
from proactrec.policies.foresight import Foresight
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.plans import Waiting
from proactrec.policies.reference import Popular, TargetNow
from proactrec.simulator.world import World
from proactrec.testing import toys
from proactrec.testing.toys import Toy, dataset_of

TARGETS, N_ROUNDS = np.array([3, 9]), 6
SPANNING = RailsOptions(
    item_cap_per_round=2,
    item_cap_total=4,
    daily_cap=1,
    rounds_per_day=2,
    guided_pairs=0.7,
    category_caps={"all": 5},
)
RAILS = RailsOptions(plain_share=0.4, relevance_floor=0.5, opt_out=("2",))


class Refusing(Policy):
    """A path drawn anew after every refusal."""

    name: ClassVar[str] = "refusing"
    renewed_by = "refusal"

    def place(self, journeys: Journeys) -> Tensor:
        newest = ((journeys.refused > 0) * torch.arange(1, N_ROUNDS + 1)).max(1).values
        key = 2 * (journeys.user + newest + 1) + 1
        order = (torch.arange(1, 15)[None] * key[:, None]) % 29
        return (order.argsort(dim=1, stable=True) + 1).float()

    def decide(self, view: View) -> Decision:
        return next_planned(view)


class Pointing(Policy):
    """Item `wanted[h]` gains 1 for every item h of the history: causes can be read off."""

    name: ClassVar[str] = "pointing"

    def __init__(self, wanted: dict[int, int], n_rows: int, base: dict[int, float]) -> None:
        self.links = torch.zeros(n_rows, n_rows)
        self.links[list(wanted), list(wanted.values())] = 1
        self.base = torch.zeros(n_rows)
        self.base[list(base)] = torch.tensor(list(base.values()))

    def place(self, journeys: Journeys) -> Tensor:
        return F.one_hot(journeys.sequence(8, "left"), len(self.links)).sum(1).float()

    def weigh(self, view: View) -> Tensor:
        return view.places @ self.links + self.base + view.candidates.penalty

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        return {"points": self.weigh(view).gather(1, item_idx[:, None])[:, 0]}

    def decide(self, view: View) -> Decision:
        return view.candidates.best(self.weigh(view))


@pytest.fixture(scope="module")
def toy() -> Toy:
    return toys.toy()


def policies(toy: Toy) -> dict[str, Policy]:
    counts, known = toy.dataset.items.train_counts, toy.dataset.before("train")
    return {
        "itmprec": ITMPRec(toy.encoder, toy.intents),
        "ipg": IPG(toy.encoder),
        "next-item": NextItem(toy.encoder),
        "target-now": TargetNow(toy.encoder),
        "foresight": Foresight(InterestVectors(*toy[1:3]), counts, known),
        "popular": Popular(toy.dataset.items),
        "refusing": Refusing(),
    }


NAMES = ("itmprec", "ipg", "next-item", "target-now", "foresight", "popular", "refusing")
SILENT = ("popular", "refusing")
"""Those that give no reasons."""


def within(toy: Toy, policy: Policy, rails: RailsOptions) -> Guide:
    items = toy.dataset.items
    return Guide(policy, items, Rails(rails, items, seed=3), NextItem(toy.encoder))


def played(
    toy: Toy, guide: Guide | Policy, protocol: Protocol = COMMON, targets: Any = TARGETS
) -> tuple[Replay, GuidanceLog]:
    guide = Guide(guide, toy.dataset.items) if isinstance(guide, Policy) else guide
    guide = replace(guide, shows_again=protocol.rollout.exclude == "accepted")
    world = World(toy.dataset, toy.user_vectors, toy.item_vectors, targets, protocol.world, seed=1)
    options = protocol.rollout.model_copy(update={"n_rounds": N_ROUNDS, "n_traced": 0})
    log = rollout(guide, world, toy.dataset, targets, options, n_workers=1).log
    return Replay(guide, toy.dataset, log, options.padding), log


def explained(toy: Toy, guide: Guide | Policy, protocol: Protocol = COMMON) -> Explainer:
    return Explainer(played(toy, guide, protocol)[0], toy.item_vectors)


def views(replay: Replay, log: GuidanceLog) -> Iterator[tuple[Policy, View]]:
    """Who decided in every round, and by what."""
    rows = np.arange(len(log.user_idx))
    for number in range(1, N_ROUNDS + 1):
        guide, journeys = replay.guide_at(number), replay.journeys(rows, number)
        yield guide.policy, guide.view(journeys, guide.places(journeys))


def all_told(explainer: Explainer) -> str:
    return json.dumps([told(path) for user in "124" for path in explainer.journeys_of(user)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("is_guarded", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_seen_again_as_it_was(
    name: str, is_guarded: bool, protocol: str, toy: Toy
) -> None:
    policy = policies(toy)[name]
    guide = within(toy, policy, RAILS) if is_guarded else policy
    assert_seen_again(*played(toy, guide, PROTOCOLS[protocol]))


def assert_seen_again(replay: Replay, log: GuidanceLog) -> None:
    rows = np.arange(len(log.user_idx))
    for number in range(N_ROUNDS):
        is_shown = log.is_shown[:, number]
        decided = replay.decide(rows, number + 1).item_idx.numpy()
        np.testing.assert_array_equal(decided[is_shown], log.item_idx[is_shown, number])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SILENT])
def test_what_weighs_most_is_what_is_shown(name: str, toy: Toy) -> None:
    for policy, seen in views(*played(toy, policies(toy)[name])):
        assert isinstance(policy, Explains)
        decision, weights = policy.decide(seen), policy.weigh(seen)
        is_some = decision.item_idx > 0
        assert is_some.any()
        best = weights.argmax(1)
        assert torch.equal(best[is_some], decision.item_idx[is_some])
        for figure, value in policy.reasons(seen, best).items():
            assert value.shape == (len(best),)
            some = value[is_some]
            may_lack = some.isnan() & (figure in Waiting._fields)
            assert (torch.isfinite(some) | may_lack).all()


def test_parts_of_the_score_multiply_to_it(toy: Toy) -> None:
    policy = policies(toy)["itmprec"]
    _, seen = next(views(*played(toy, policy)))
    decision = policy.decide(seen)
    parts = policy.reasons(seen, decision.item_idx)  # type: ignore[attr-defined]
    product = (parts["relevance"] + parts["intent"]) * parts["progress"]
    leads = parts["progress"] > 0
    assert leads.any()
    torch.testing.assert_close(product[leads], decision.score[leads])
    taken = torch.ones_like(leads)
    accepted = seen.journeys.after(decision.item_idx, taken, taken)
    after = F.cosine_similarity(policy.place(accepted), toy.encoder.item_vectors[seen.target_idx])
    torch.testing.assert_close(parts["similarity_after"], after)


@pytest.mark.parametrize("protocol", ["common", "official"])
@pytest.mark.parametrize("name", ["itmprec", "foresight"])
def test_with_nothing_left_out_the_policy_sees_the_same(name: str, protocol: str, toy: Toy) -> None:
    explainer = explained(toy, policies(toy)[name], PROTOCOLS[protocol])
    log, n_seen = explainer.log, 0
    for number, (_, seen) in enumerate(views(explainer.replay, log), start=1):
        for row in np.flatnonzero(log.item_idx[:, number - 1]):
            again = explainer.moment(int(row), number).without([()])
            torch.testing.assert_close(again.places[0], seen.places[row], atol=1e-5, rtol=0)
            n_seen += 1
    assert n_seen > 30


def chain(toy: Toy, wanted: dict[int, int], base: dict[int, float]) -> Explanation:
    """The first explanation of a user with items 1 to 4 before guidance, whom target 14 is for."""
    policy = Pointing(wanted, 15, base)
    histories = [[1, 2, 3, 4, 7, 8], list(range(1, 15))]
    small = toy._replace(dataset=dataset_of(histories), user_vectors=toy.user_vectors[:2])
    replay, _ = played(small, policy, targets=np.array([14]))
    (path,) = Explainer(replay, toy.item_vectors, n_causes=3).journeys_of("0", number=1)
    return path.explanations[0]


@pytest.mark.parametrize(
    ("wanted", "base", "shown", "causes", "instead"),
    [
        # One item speaks for it, and its rival is near.
        ({2: 10}, {11: 0.5}, 10, [2], 11),
        # Two speak for it: leaving out one is not enough.
        ({2: 10, 3: 10}, {11: 0.5}, 10, [3, 2], 11),
        # Four do, but only three are named: it stays.
        ({1: 10, 2: 10, 3: 10, 4: 10}, {11: 0.5}, 10, [4, 3, 2], None),
        # It leads without any history.
        ({2: 11}, {10: 5.0}, 10, [], None),
        # What speaks for a rival is no cause.
        ({2: 10, 3: 11}, {10: 0.25, 12: 0.5}, 10, [2], 11),
    ],
)
def test_causes_are_what_the_choice_builds_on(
    wanted: dict[int, int],
    base: dict[int, float],
    shown: int,
    causes: list[int],
    instead: int | None,
    toy: Toy,
) -> None:
    found = chain(toy, wanted, base)
    assert found.knows_policy
    assert found.item.item_id == str(shown)
    assert [cause.item.item_id for cause in found.causes] == [str(i) for i in causes]
    assert (found.instead and found.instead.item_id) == (None if instead is None else str(instead))
    assert all(cause.accepted_in is None for cause in found.causes)


def test_causes_accepted_on_the_way_are_said_to_be(toy: Toy) -> None:
    explainer = explained(toy, policies(toy)["foresight"])
    causes = [
        (path, one.round, cause)
        for user in "0123456789"
        for path in explainer.journeys_of(user)
        for one in path.explanations
        for cause in one.causes
    ]
    later = [(path, number, cause) for path, number, cause in causes if cause.accepted_in]
    assert later
    for path, number, cause in later:
        shown = {one.round: one for one in path.explanations}[cause.accepted_in]
        assert shown.round < number
        assert shown.accepted
        assert shown.item == cause.item


@pytest.mark.parametrize("is_guarded", [False, True])
@pytest.mark.parametrize("name", ["itmprec", "foresight", "popular"])
def test_nothing_of_the_simulator_enters(name: str, is_guarded: bool, toy: Toy) -> None:
    policy = policies(toy)[name]
    replay, log = played(toy, within(toy, policy, RAILS) if is_guarded else policy)
    rng = np.random.default_rng(0)
    scrambled = replace(
        log,
        accept_prob=rng.random(log.accept_prob.shape),
        interest=rng.random(log.interest.shape),
        rank=rng.integers(0, 9, log.rank.shape),
        is_counted=~log.is_counted,
    )
    again = Replay(replay.guide, toy.dataset, scrambled, COMMON.rollout.padding)
    first, second = (Explainer(of, toy.item_vectors) for of in (replay, again))
    assert all_told(first) == all_told(second)


def test_a_policy_without_reasons_gets_the_nearest_items_and_no_more(toy: Toy) -> None:
    explainer = explained(toy, policies(toy)["popular"])
    (path, *_) = explainer.journeys_of("3")
    one, unit = path.explanations[0], F.normalize(toy.item_vectors, dim=1).double()
    history = toy.dataset.before("train").of(toy.dataset.user_ids.index("3")).tolist()
    item = toy.dataset.item_ids.index(one.item.item_id) + 1
    nearest = sorted(history, key=lambda i: -float(unit[i] @ unit[item]))[:5]
    assert [cause.item.item_id for cause in one.causes] == [
        toy.dataset.item_ids[i - 1] for i in nearest
    ]
    target = toy.dataset.item_ids.index(path.target.item_id) + 1
    total = unit[history].sum(0)
    assert one.figures == pytest.approx(
        {
            "similarity_now": float(F.normalize(total, dim=0) @ unit[target]),
            "similarity_after": float(F.normalize(total + unit[item], dim=0) @ unit[target]),
            "item_to_target": float(unit[item] @ unit[target]),
        },
        abs=1e-5,
    )
    assert not one.knows_policy
    assert not one.is_promoted
    words = " ".join(told(path)["explanations"][0]["words"])
    assert "gives no reasons" in words
    assert "Not promoted" in words
    assert "builds on" not in words


def test_an_account_that_does_not_lead_to_what_was_shown_is_not_believed(toy: Toy) -> None:
    class Wrong(NextItem):
        def weigh(self, view: View) -> Tensor:
            return -super().weigh(view)

    explainer = explained(toy, Wrong(toy.encoder))
    assert not any(one.knows_policy for one in explainer.journeys_of("3")[0].explanations)


def test_oracles_tell_nothing_of_minds(toy: Toy) -> None:
    explainer = explained(toy, OracleGreedy())
    assert not any(one.knows_policy for one in explainer.journeys_of("3")[0].explanations)


def test_plain_rounds_say_which_rail_made_them_so(toy: Toy) -> None:
    rails = RailsOptions(opt_out=("2",), plain_share=0.5, guided_budget=2)
    explainer = explained(toy, within(toy, policies(toy)["itmprec"], rails))
    for path in explainer.journeys_of("2"):
        assert {one.rail for one in path.explanations} == {"opted_out"}
    rails_seen = set()
    for path in explainer.journeys_of("4"):
        content = told(path)
        for one in content["explanations"]:
            rails_seen.add(one["rail"])
            assert one["is_promoted"] == (one["rail"] is None)
            assert one["knows_policy"]
            assert one["words"][0].startswith("Not promoted" if one["rail"] else "Promoted")
            assert ("progress" in one["figures"]) == (one["rail"] is None)
    assert rails_seen == {None, "plain_share", "budget_spent"}


@pytest.mark.parametrize("name", NAMES)
def test_rounds_under_rails_that_span_users_are_explained(name: str, toy: Toy) -> None:
    """By whoever chose: the log tells who that was, and what others had taken."""
    explainer = explained(toy, within(toy, policies(toy)[name], SPANNING))
    replay, log, rails = explainer.replay, explainer.log, set()
    assert_seen_again(replay, log)
    for row, at in np.argwhere(log.item_idx).tolist():
        moment = explainer.moment(row, at + 1)
        assert (moment.rail is None) == log.guided[row, at]
        assert moment.is_explained == (moment.rail is not None or name not in SILENT)
        rails.add(moment.rail)
    assert {None, "not_chosen", "daily_cap"} <= rails
    words = all_told(explainer)
    assert "guidance is limited in number, and others were chosen for it" in words
    assert "the guided rounds of your day are used up" in words


@pytest.mark.parametrize("exclude", ["shown", "accepted"])
@pytest.mark.parametrize("name", NAMES)
def test_slates_are_seen_again_as_they_were(name: str, exclude: str, toy: Toy) -> None:
    policy, world = policies(toy)[name], COMMON.world.model_copy(update={"n_slots": 3})
    again = COMMON.rollout.model_copy(update={"exclude": exclude})
    protocol = COMMON.model_copy(update={"world": world, "rollout": again})
    replay, log = played(toy, policy, protocol)
    assert (log.slate[:, :, 0] != log.item_idx).any()  # somebody took what came later
    assert_seen_again(replay, log)


def test_words_name_only_what_the_policy_knows(toy: Toy) -> None:
    texts = {
        name: all_told(explained(toy, policies(toy)[name]))
        for name in ("itmprec", "foresight", "next-item")
    }
    assert "with a chance of" in texts["foresight"]
    assert "with a chance of" not in texts["itmprec"]
    assert "intent" in texts["itmprec"]
    assert "intent" not in texts["foresight"]
    assert "Promoted" not in texts["next-item"].replace("Not promoted", "")
    assert "similarity" not in texts["next-item"]
    assert not any(re.search(r"\bnan\b|NaN|\binf\b|Infinity", text) for text in texts.values())


def test_what_if_is_what_the_policy_shows_without_the_item(toy: Toy) -> None:
    policy = policies(toy)["itmprec"]
    explainer = explained(toy, policy)
    history = toy.dataset.before("train").of(toy.dataset.user_ids.index("3"))
    newest = toy.dataset.item_ids[history[-1] - 1]
    (one,) = explainer.journeys_of("3", target_id="9", number=1, left_out=newest)[0].explanations
    seq = torch.zeros(1, 5, dtype=torch.int64)
    seq[0, 5 - min(5, len(history) - 1) :] = torch.from_numpy(history[:-1][-5:])
    penalty = torch.zeros(1, toy.dataset.n_items + 1)
    penalty[0, [0, *history]] = -torch.inf
    user = torch.tensor([toy.dataset.user_ids.index("3")])
    begun = Journeys.begun(train_users(toy.dataset), user, torch.tensor([9]), N_ROUNDS)
    seen = View(begun, toy.encoder.encode(seq), Candidates(penalty), begun.rounds_left)
    expected = toy.dataset.item_ids[int(policy.decide(seen).item_idx) - 1]
    assert one.what_if is not None
    assert one.what_if.item_id == expected


def test_one_round_is_part_of_the_path(toy: Toy) -> None:
    explainer = explained(toy, policies(toy)["foresight"])
    whole = explainer.journeys_of("4")
    for number in range(1, N_ROUNDS + 1):
        parts = explainer.journeys_of("4", number=number)
        for path, part in zip(whole, parts, strict=True):
            same = [asdict(one) for one in path.explanations if one.round == number]
            assert [asdict(one) for one in part.explanations] == same


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        ({"user_id": "x"}, UnknownIdError, "user 'x' does not exist in toy"),
        ({"target_id": "x"}, UnknownIdError, "target 'x' does not exist in toy"),
        ({"target_id": "4"}, InvalidInputError, "target must be one of this run's (3, 9), got '4'"),
        ({"number": 0}, InvalidInputError, "round must be in [1, 6], got 0"),
        ({"number": 7}, InvalidInputError, "round must be in [1, 6], got 7"),
        ({"left_out": "x"}, UnknownIdError, "item 'x' does not exist in toy"),
        (
            {"user_id": "10"},
            InvalidInputError,
            "user '10' was not guided in this run",  # has every target already
        ),
    ],
)
def test_bad_questions_get_one_sentence(
    asked: dict[str, Any], kind: type[Exception], sentence: str, toy: Toy
) -> None:
    explainer = explained(toy, policies(toy)["next-item"])
    with pytest.raises(kind, match=re.escape(sentence)):
        explainer.journeys_of(**{"user_id": "3", **asked})


def test_an_item_that_the_user_never_had_cannot_be_left_out(toy: Toy) -> None:
    explainer = explained(toy, policies(toy)["next-item"])
    user = toy.dataset.user_ids.index("3")
    rows = explainer.log.user_idx == user
    had = {*toy.dataset.before("train").of(user), *explainer.log.item_idx[rows].ravel()}
    never = next(i for i in range(1, 15) if i not in had)
    with pytest.raises(
        InvalidInputError, match=f"in the user's history or accepted, got '{never}'"
    ):
        explainer.journeys_of("3", left_out=str(never))


@pytest.mark.parametrize("name", ["itmprec", "foresight", "next-item"])
def test_a_customer_is_told_reasons_without_figures(name: str, toy: Toy) -> None:
    explainer = explained(toy, policies(toy)[name])
    for path in explainer.journeys_of("4"):
        full, plain = told(path), told_to_customer(path)
        assert set(plain["target"]) == {"title", "categories"}
        for one, other in zip(full["explanations"], plain["explanations"], strict=True):
            assert not {"figures", "causes", "rail"} & set(other)
            assert other["words"]
            assert other["words"] == [word for word in one["words"] if word in other["words"]]
            names = [
                item["title"] for item in (one["item"], full["target"], one["instead"]) if item
            ]
            names += [cause["item"]["title"] for cause in one["causes"]]
            said = " ".join(other["words"])
            for title in sorted(names, key=len, reverse=True):
                said = said.replace(f"“{title}”", "it")
            assert not re.search(r"\d", re.sub(r"taken in round \d+|[Cc]ategory \w+", "", said))
