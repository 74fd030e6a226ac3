"""What is said of waiting with the target: the numbers that decide, in words that fit them."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from proactrec.evaluation.protocols import CAMPAIGN, Protocol
from proactrec.evaluation.rollout import rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.course import Rails
from proactrec.guidance.explained import Explanation, ItemName, ToldJourney
from proactrec.guidance.explanations import Explainer
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.replay import Replay
from proactrec.guidance.wording import in_words, told
from proactrec.journeys import OPEN_ENDED
from proactrec.policies.base import View
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.plans import Waiting
from proactrec.policies.stopping import Stop, best_stop
from proactrec.testing import toys
from proactrec.testing.toys import N_ROUNDS, TARGETS, Toy
from proactrec.worth import ONLY_INTEREST, Worth

FIGURES = Waiting._fields
LEAVING = 0.02
SOME_RAILS = RailsOptions(plain_share=0.3, relevance_floor=0.2)
NOW, LATER, NEVER = "shown now: waiting about", "” waits: in about ", "no round is left to wait"


@pytest.fixture(scope="module")
def toy() -> Toy:
    return toys.toy()


def planner(toy: Toy, worth: Worth | None = None, **options: Any) -> Foresight:
    worth = worth or Worth(leaving=LEAVING, learns_leaving=False)
    chosen = ForesightOptions(worth=worth, goes_on=True, **options)
    counts, known = toy.dataset.items.train_counts, toy.dataset.before("train")
    return Foresight(InterestVectors(*toy[1:3]), counts, known, chosen)


def campaign(end: str = "known", exclude: str = "shown") -> Protocol:
    """Users who leave, and go on being moved after the target."""
    world = CAMPAIGN.world.model_copy(update={"leaving": 0.1})
    changes = {"n_rounds": N_ROUNDS, "n_traced": 0, "end": end, "exclude": exclude}
    return CAMPAIGN.model_copy(
        update={"world": world, "rollout": CAMPAIGN.rollout.model_copy(update=changes)}
    )


def explained(
    toy: Toy, policy: Foresight, protocol: Protocol, rails: RailsOptions | None = None
) -> Explainer:
    guide = Guide(policy, toy.items)
    if rails is not None:
        within = Rails(rails, toy.items, seed=3)
        guide = replace(guide, rails=within, recommender=NextItem(toy.encoder))
    guide = protocol.rollout.told(guide)
    world = toy.world(protocol.world, seed=1)
    log = rollout(guide, world, toy.dataset, TARGETS, protocol.rollout, n_workers=1).log
    return Explainer(Replay(guide, toy.dataset, log), toy.item_vectors)


def users(log: GuidanceLog) -> list[str]:
    return [str(user) for user in np.unique(log.user_idx)]


def told_rounds(explainer: Explainer) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Journey and round, as JSON has them."""
    for user in users(explainer.log):
        for path in explainer.journeys_of(user):
            content = json.loads(json.dumps(told(path), allow_nan=False))
            yield from ((content, one) for one in content["explanations"])


def views(explainer: Explainer) -> Iterator[tuple[Foresight, View]]:
    rows = np.arange(len(explainer.log.user_idx))
    for number in range(1, N_ROUNDS + 1):
        guide, journeys = explainer.replay.guide_at(number), explainer.replay.journeys(rows, number)
        assert isinstance(guide.policy, Foresight)
        yield guide.policy, guide.view(journeys, guide.places(journeys))


def by_hand(policy: Foresight, seen: View, step: Tensor) -> tuple[Stop, Stop]:
    """Best stops after steps (n,) were accepted, and after they were refused: (n, 1) each."""
    sight = policy._users.sight(seen, policy._offsets)
    goal = policy._goal(seen, sight.now)
    acceptance = policy.options.worth.step / goal.price
    gains = sight.outlook(policy._slope).expected(acceptance) + seen.candidates.penalty
    plans = policy._plans(seen, sight, goal, gains)
    at = (plans.column == step[:, None]).int().argmax(1, keepdim=True)
    after, other, gain = (x.gather(1, at) for x in (plans.after, plans.other, plans.gain))
    how: dict[str, Any] = {
        "slope": policy._slope,
        "offset": policy._offsets[seen.target_idx][:, None] + policy._users.bias(seen),
        "stays": torch.tensor(1 - LEAVING),
        "n_rounds": seen.rounds_left[:, None].float(),
    }
    return best_stop(goal.interest + gain, after, **how), best_stop(goal.interest, other, **how)


@pytest.mark.parametrize("end", ["known", "unknown"])
@pytest.mark.parametrize("exclude", ["shown", "accepted"])
def test_figures_are_those_that_decide(toy: Toy, exclude: str, end: str) -> None:
    n_told = 0
    for policy, seen in views(explained(toy, planner(toy), campaign(end, exclude))):
        weights = policy.weigh(seen)
        steps = weights.scatter(1, seen.target_idx[:, None], -torch.inf)
        step = steps.argmax(1)
        found = policy.reasons(seen, step)
        known = ~found["wait_rounds"].isnan()
        assert not (known & (seen.rounds_left <= 0)).any()
        stops, p = by_hand(policy, seen, step), found["chance"]
        waits, chances = ([getattr(s, x)[:, 0] for s in stops] for x in ("wait", "chance"))
        rounds = 1 + p * waits[0] + (1 - p) * waits[1]
        expected = {
            "wait_rounds": rounds,
            "wait_chance": p * chances[0] + (1 - p) * chances[1],
            "wait_risk": 1 - (1 - LEAVING) ** rounds,
            "target_chance": policy.chances(seen).gather(1, seen.target_idx[:, None])[:, 0],
        }
        for name, value in expected.items():
            torch.testing.assert_close(found[name][known], value[known], atol=1e-5, rtol=1e-5)
        n_told += int(known.sum())
    assert n_told > 30


def test_one_round_before_the_last_the_wait_is_one_round(toy: Toy) -> None:
    """What the step shown now brings is all that waiting changes."""
    policy, seen = list(views(explained(toy, planner(toy), campaign())))[-2]
    assert (seen.rounds_left == 1).all()
    steps = policy.weigh(seen).scatter(1, seen.target_idx[:, None], -torch.inf)
    found = policy.reasons(seen, steps.argmax(1))
    known = ~found["wait_rounds"].isnan()
    assert known.any()
    logit, gain = torch.logit(found["target_chance"]), found["gain"]
    expected = found["chance"] * torch.sigmoid(logit + policy._slope * gain)
    expected += (1 - found["chance"]) * found["target_chance"]
    torch.testing.assert_close(found["wait_chance"][known], expected[known], atol=1e-5, rtol=0)
    assert (found["wait_rounds"][known] == 1).all()
    torch.testing.assert_close(found["wait_risk"][known], torch.full((known.sum(),), LEAVING))


@pytest.mark.parametrize(
    ("end", "exclude", "rails"),
    [
        ("known", "shown", None),
        ("known", "accepted", None),
        ("unknown", "accepted", None),
        ("known", "accepted", SOME_RAILS),
        ("unknown", "shown", SOME_RAILS),
    ],
)
def test_a_campaign_says_of_every_guided_round_what_is_waited_for(
    toy: Toy, end: str, exclude: str, rails: RailsOptions | None
) -> None:
    explainer = explained(toy, planner(toy), campaign(end, exclude), rails)
    seen: set[str] = set()
    for path, one in told_rounds(explainer):
        said = [text for text in one["words"] for part in (NOW, LATER, NEVER) if part in text]
        figures, before = one["figures"], path["explanations"][: one["round"] - 1]
        was_shown = [r for r in before if r["is_target"] and (exclude == "shown" or r["accepted"])]
        if was_shown or not one["is_promoted"]:  # the target is closed, or a rail chose
            assert not said
            continue
        if "wait_rounds" in figures:
            assert figures.keys() >= set(FIGURES)
            assert (NOW if one["is_target"] else LATER) in said[0]
            n = max(1, round(figures["wait_rounds"]))
            assert f"about {n} round{'s' * (n > 1)}" in said[0]
            for name in FIGURES[2:] + FIGURES[:1]:
                assert f"{100 * figures[name]:.0f} %" in said[0]
            seen.add(NOW if one["is_target"] else LATER)
        elif one["is_target"] and "target_chance" in figures:
            assert (NEVER in said[0], one["round"]) == (True, N_ROUNDS)
            seen.add(NEVER)
    assert NOW in seen
    assert LATER in seen or exclude == "accepted"  # what may be shown again seldom waits
    assert end == "known" or NEVER not in seen


def test_nobody_waits_for_a_last_round_that_nobody_knows(toy: Toy) -> None:
    explainer = explained(toy, planner(toy), campaign("unknown"))
    for _, seen in views(explainer):
        assert (seen.rounds_left == OPEN_ENDED).all()
    last = explainer.moment(int(np.flatnonzero(explainer.log.item_idx[:, -1])[0]), N_ROUNDS)
    assert int(last.view.rounds_left) == OPEN_ENDED


@pytest.mark.parametrize(
    "options", [{"worth": ONLY_INTEREST}, {"depth": 1}], ids=["only-interest", "depth 1"]
)
def test_where_no_wait_is_weighed_none_is_told(toy: Toy, options: dict[str, Any]) -> None:
    for _, one in told_rounds(explained(toy, planner(toy, **options), campaign())):
        assert not set(FIGURES) & one["figures"].keys()
        assert not any(part in text for text in one["words"] for part in (NOW, LATER, NEVER))


SHOWN = "It is shown now: "


@pytest.mark.parametrize(
    ("is_target", "figures", "sentence"),
    [
        (
            True,
            (0.41, 4.2, 0.52, 0.18),
            SHOWN + "waiting about 4 rounds would raise the chance that you take it from 41 % to "
            "52 %, and 18 % of users would have left by then.",
        ),
        (
            True,
            (0.41, 1.3, 0.4, 0.05),
            SHOWN + "waiting about 1 round would not raise the chance that you take it (41 % now, "
            "40 % then), and 5 % of users would have left by then.",
        ),
        (True, (0.41,), SHOWN + "no round is left to wait for."),
        (
            False,
            (0.41, 4.2, 0.52, 0.18),
            "“Nine” waits: in about 4 rounds the chance that you take it is expected to be 52 %, "
            "now it is 41 %; 18 % of users will have left by then.",
        ),
        (False, (0.41,), None),
        (True, (), None),
    ],
)
def test_sentences(is_target: bool, figures: tuple[float, ...], sentence: str | None) -> None:
    target, item = ItemName("9", "Nine", ()), ItemName("3", "Three", ())
    one = Explanation(
        round=1,
        item=target if is_target else item,
        accepted=False,
        is_target=is_target,
        is_promoted=True,
        rail=None,
        knows_policy=True,
        causes=(),
        instead=None,
        shared=(),
        figures=dict(zip(FIGURES, figures, strict=False)),
        what_if=None,
    )
    path = ToldJourney("u", target, N_ROUNDS, None, (one,))
    said = [text for text in in_words(path, one) if re.search("shown now|waits:", text)]
    assert said == ([] if sentence is None else [sentence])
    plain = replace(one, is_promoted=False, rail="plain_share")
    assert not any("wait" in text for text in in_words(path, plain))
