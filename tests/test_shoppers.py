"""Simulated shoppers do at a service what a rollout says: the same items, the same answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.data.load import load_dataset
from proactrec.data.sources.table import TableOptions
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.guide import Guide
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.saved import open_guide
from proactrec.policies.next_item import NextItem
from proactrec.serving.requests import Answer, Ask, Noted, Report
from proactrec.serving.schemas import Decision, DecisionRequest, EventReport, EventsTaken
from proactrec.serving.words import told
from proactrec.shoppers import Shoppers, Visit
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions
from proactrec.store.database import Database

from .guidance.fitted import FORESIGHT, fit
from .serving.hosting import TENANT, Shop

N_ROUNDS = 12
POLICIES = {
    "itmprec": {},
    "foresight": {**FORESIGHT, "learns": False, "worth": {"learns_leaving": False}},
}


class Direct:
    """A shop's host, visited without HTTP."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def decide_batch(
        self, asked: Sequence[DecisionRequest], *, request_key: str | None = None
    ) -> list[Decision]:
        found = self.shop.handle([Ask(one.user_id) for one in asked])
        assert all(isinstance(one, Answer) for one in found)
        return [told(one) for one in found]

    def report(self, events: Sequence[EventReport]) -> EventsTaken:
        found = self.shop.handle(
            [Report(e.user_id, e.event_id, e.kind, e.item_id, e.decision_id) for e in events]
        )
        assert found == [Noted(one.event) for one in found]
        return EventsTaken(accepted=len(found), repeated=0, refused=())


class Simulated(NamedTuple):
    """A guide that knows train histories only, and the users of its data."""

    folder: Path
    dataset: Dataset
    item_vectors: Any
    user_vectors: Any

    def world(self, target: int, **options: Any) -> World:
        vectors = self.user_vectors, self.item_vectors
        response = DistributionResponse(2.0, 0.2)
        options = WorldOptions(**options)
        return World(self.dataset, *vectors, np.array([target]), options, seed=3, response=response)


@pytest.fixture(scope="module")
def simulated(made_once: Callable[..., Path]) -> Callable[..., Simulated]:
    def of(policy: str, *, shows_again: bool) -> Simulated:
        def fill(folder: Path) -> None:
            saved = fit(folder, policy, policy_options=POLICIES[policy])
            data = load(folder)
            lengths = data.before("train").lengths
            known = KnownUsers(data.user_ids, data.before("train"), lengths)
            guide = replace(saved.guide, shows_again=shows_again)
            replace(saved, known=known, guide=guide).save(folder / "guide")

        folder = made_once(f"shoppers-{policy}-{shows_again}", fill)
        data, rng = load(folder), np.random.default_rng(1)
        parts = (rng.normal(size=(n, 6)) for n in (data.n_users, data.n_items + 1))
        user, item = (as_unit(part) for part in parts)
        return Simulated(folder / "guide", data, item, user)

    return of


def load(folder: Path) -> Dataset:
    files = TableOptions(events=folder / "events.csv", items=folder / "items.csv")
    return load_dataset("csv", filter="none", table=files)


def as_unit(vectors: Any) -> Any:
    return torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)


def visits(service: Direct, users: Simulated, world: World, who: Any) -> list[Visit]:
    shoppers = Shoppers(users.dataset, world, who, n_rounds=N_ROUNDS)
    return [shoppers.visit(service) for _ in range(N_ROUNDS)]


def expected(guide: Guide, users: Simulated, world: World, target: int, who: Any) -> GuidanceLog:
    again = "accepted" if guide.shows_again else "shown"
    options = RolloutOptions(n_rounds=N_ROUNDS, exclude=again, end="unknown")
    return rollout(guide, world, users.dataset, np.array([target]), options, user_idx=who).log


def check_same(found: list[Visit], log: GuidanceLog, target: int, *, shows_again: bool) -> None:
    """The same items and answers, until the target is refused for good."""
    shown = np.stack([one.item_idx for one in found], 1)
    accepted = np.stack([one.accepted for one in found], 1)
    interest = np.stack([one.interest for one in found], 1)
    is_asked = np.ones_like(accepted)
    if not shows_again:
        is_refused = (log.item_idx == target) & ~log.accepted
        is_asked[:, 1:] = is_refused.cumsum(1)[:, :-1] == 0
    np.testing.assert_array_equal(shown[is_asked], log.item_idx[is_asked])
    np.testing.assert_array_equal(accepted[is_asked], log.accepted[is_asked])
    np.testing.assert_allclose(interest[is_asked], log.interest[:, 1:][is_asked], rtol=1e-6)
    assert not shown[~is_asked].any()


def who_lacks(data: Dataset, target: int) -> Any:
    row, item = data.before("train").rows(np.arange(data.n_users))
    return np.setdiff1d(np.arange(data.n_users), row[item == target])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shows_again", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),  # what users are like is nothing that a database knows
    [
        *(("sqlite", options) for options in ({}, {"patience": 3}, {"leaving": 0.1})),
        ("postgresql", {"patience": 3}),
    ],
    indirect=["kind"],
)
def test_journeys_are_those_of_a_rollout(
    simulated: Callable[..., Simulated],
    database: Database,
    policy: str,
    shows_again: bool,
    options: dict[str, Any],
) -> None:
    users = simulated(policy, shows_again=shows_again)
    shop, target = Shop(database, users.folder), users.dataset.items.index["i04"]
    who, world = who_lacks(users.dataset, target), users.world(target, **options)
    shop.campaign()
    found = visits(Direct(shop), users, world, who)
    guide = replace(open_guide(users.folder).guide, rails=None)
    log = expected(guide, users, world, target, who)
    check_same(found, log, target, shows_again=shows_again)
    assert (log.item_idx[:, -1] == 0).any()
    assert ((log.item_idx == target) & log.accepted).any()


class Later:
    """A service that leads to what came after the world was made, from the second visit on."""

    n_visits = 0

    def decide_batch(
        self, asked: Sequence[DecisionRequest], *, request_key: str | None = None
    ) -> list[Decision]:
        self.n_visits += 1
        there = "i04" if self.n_visits == 1 else "came later"
        one = Decision(
            decision_id="1-a",
            item_id=there,
            title=None,
            guided=True,
            campaign_id="c",
            arm="guided",
            target_id=there,
            reason="",
            not_guided_because=None,
            label=None,
            probability=1.0,
            expires_at=None,
        )
        return [one for _ in asked]

    def report(self, events: Sequence[EventReport]) -> EventsTaken:
        return EventsTaken(accepted=len(events), repeated=0, refused=())


def test_a_target_that_came_later_moves_nobody(simulated: Callable[..., Simulated]) -> None:
    users = simulated("itmprec", shows_again=True)
    target = users.dataset.items.index["i04"]
    service, who = Later(), who_lacks(users.dataset, target)
    shoppers = Shoppers(users.dataset, users.world(target), who, n_rounds=N_ROUNDS)
    first, second = shoppers.visit(service), shoppers.visit(service)
    assert set(first.item_idx) == set(first.target_idx) == set(second.target_idx) == {target}
    assert not second.item_idx.any()
    np.testing.assert_array_equal(first.interest, second.interest)


def test_who_is_held_out_sees_what_the_recommender_says(
    simulated: Callable[..., Simulated], database: Database
) -> None:
    users = simulated("itmprec", shows_again=True)
    shop, target = Shop(database, users.folder), users.dataset.items.index["i04"]
    who, world = who_lacks(users.dataset, target), users.world(target)
    shop.campaign(hold_out=0.5)
    found = visits(Direct(shop), users, world, who)
    is_out = found[0].is_held_out
    assert 3 <= is_out.sum() <= len(who) - 3
    guide = replace(open_guide(users.folder).guide, rails=None)
    plain = replace(guide, policy=guide.recommender)
    for one, rows in ((guide, ~is_out), (plain, is_out)):
        log = expected(one, users, world, target, who[rows])
        own = [Visit(*(column[rows] for column in visit)) for visit in found]
        check_same(own, log, target, shows_again=True)
    assert isinstance(plain.policy, NextItem)
    assert not np.stack([one.guided for one in found])[:, is_out].any()
    is_taken = np.stack([(v.item_idx == target) & v.accepted for v in found], 1)
    counts = dict(shop.rows("SELECT accepted_in, COUNT(*) FROM journeys GROUP BY accepted_in"))
    for number in range(1, N_ROUNDS + 1):
        assert is_taken[:, number - 1].sum() == counts.get(number, 0)


def test_who_has_a_target_is_led_to_another_from_where_they_stand(
    simulated: Callable[..., Simulated], database: Database
) -> None:
    users = simulated("itmprec", shows_again=True)
    shop, target = Shop(database, users.folder), users.dataset.items.index["i04"]
    shop.campaign(goal={"category": "War"})
    world = users.world(target, after_success="continue")
    found = visits(Direct(shop), users, world, np.arange(users.dataset.n_users))
    targets = np.stack([one.target_idx for one in found], 1)
    accepted = np.stack([one.accepted & (one.item_idx == one.target_idx) for one in found], 1)
    moved = targets[:, 1:] != targets[:, :-1]
    assert moved.sum() > 3
    is_done = np.stack([one.has_left for one in found], 1)  # who has them all
    np.testing.assert_array_equal(moved, accepted[:, :-1] & ~is_done[:, 1:])
    events = shop.rows(f"SELECT kind, COUNT(*) FROM events WHERE tenant = '{TENANT}' GROUP BY 1")
    counts = dict(events)
    n_shown = sum((one.item_idx > 0).sum() for one in found)
    assert counts["impression"] == n_shown == counts["accept"] + counts["skip"]
