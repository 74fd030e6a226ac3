"""Exploration: what is drawn, how often, and that all else is the policy's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.ledger import MemoryLedger
from proactrec.guidance.rails import RailsOptions
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import Candidates, Explains, Learner, Policy, Promises, View
from proactrec.policies.exploring import exploring, probabilities
from proactrec.policies.exploring_options import ExploringOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.registry import policy_type
from proactrec.rng import keys_of
from proactrec.testing.policies import PolicyContract, assert_near, decide, narrowed, seen
from proactrec.testing.toys import N_ROUNDS, Toy, histories_of, toy

POLICIES: dict[str, dict[str, Any]] = {
    "next-item": {},
    "ipg": {},
    "itmprec": {},
    "target-now": {},
    "foresight": {"n_models": 1, "view_dim": 4},
}
WIDE = ExploringOptions(loss=1e6, share=0.9, most=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "models"


def inner_of(name: str, world: Toy, folder: Path) -> Policy:
    return policy_type(name).build(world.ingredients(folder, **POLICIES[name]))


def explorer(policy: Policy, world: Toy, options: ExploringOptions = WIDE, seed: int = 3) -> Policy:
    return exploring(policy, options, seed=seed, item_key=world.items.key)


def many(n_users: int) -> Journeys:
    """Users who have the same, on the way to the same target."""
    known = np.full(n_users, -1)
    history = histories_of([[1, 2]] * n_users)
    keys = keys_of(f"user {number}" for number in range(n_users))
    users = Users(keys, known, history, np.zeros(n_users, bool))
    target = torch.full((n_users,), 14)
    return Journeys.begun(users, torch.arange(n_users), target, N_ROUNDS)


class TestExploring(PolicyContract):
    @pytest.fixture(autouse=True, params=POLICIES)
    def _case(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self.name, self.folder = request.param, folder

    def make(self, toy: Toy) -> Policy:
        return explorer(inner_of(self.name, toy, self.folder), toy)

    def test_what_it_weighs_is_what_it_shows(self) -> None:
        """Or one of those that weigh most."""
        world = toy()
        policy = self.make(world)
        view = narrowed(policy, world.journeys())
        found, best = decide(policy, view), decide(inner_of(self.name, world, self.folder), view)
        assert found.among is not None
        assert isinstance(policy, Explains)
        value = policy.weigh(view)
        for row, among in enumerate(found.among.tolist()):
            n_open = min(WIDE.most, int((value[row] > -torch.inf).sum()))
            kept = [item for item in among if item]
            assert int(found.item_idx[row]) in (kept or [0])
            assert kept[:1] == [int(best.item_idx[row])] * bool(kept)
            assert [*kept, *[0] * (WIDE.most - len(kept))] == among
            is_endless = bool(value[row].max() == torch.inf)  # nothing is near it
            assert len(kept) == (1 if is_endless else n_open)
            weights = value[row, kept].tolist()
            assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    "options", [ExploringOptions(loss=1e6, share=0), ExploringOptions(loss=0, share=1)]
)
def test_without_a_share_or_a_loss_it_is_the_policy_itself(
    name: str, options: ExploringOptions, folder: Path
) -> None:
    world = toy()
    inner = inner_of(name, world, folder)
    view = narrowed(inner, world.journeys())
    found, expected = decide(explorer(inner, world, options), view), decide(inner, view)
    for one, other in zip(found[:3], expected[:3], strict=True):
        assert one is other is None or torch.equal(one, other)


def test_items_come_as_often_as_their_probabilities_say(folder: Path) -> None:
    world, n_users = toy(), 4000
    policy = explorer(
        inner_of("itmprec", world, folder), world, WIDE.model_copy(update={"most": 3})
    )
    found = decide(policy, seen(policy, many(n_users)))
    assert found.among is not None
    chances = probabilities(found.among, WIDE.share)
    torch.testing.assert_close(chances.sum(1), torch.ones(n_users).double())
    assert chances[0].tolist() == pytest.approx([0.1 + 0.3, 0.3, 0.3])
    shares = (found.item_idx[:, None] == found.among).double().mean(0)
    assert shares.tolist() == pytest.approx(chances[0].tolist(), abs=0.025)  # over 3 deviations


def test_luck_is_new_in_every_round_and_with_every_seed(folder: Path) -> None:
    world = toy()
    inner, begun = inner_of("itmprec", world, folder), many(400)
    later = begun._replace(round=begun.round + 1)
    first = explorer(inner, world)
    shown = [decide(first, seen(first, journeys)).item_idx for journeys in (begun, later)]
    other = explorer(inner, world, seed=4)
    shown.append(decide(other, seen(other, begun)).item_idx)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert 0.5 < float((shown[one] != shown[two]).double().mean()) < 0.95  # 3/4 by chance


def test_only_what_is_within_the_loss_is_drawn(folder: Path) -> None:
    world = toy()
    inner, journeys = inner_of("ipg", world, folder), world.journeys()
    view = seen(inner, journeys)
    assert isinstance(inner, Explains)
    value = inner.weigh(view)
    gap = value.topk(3, 1).values
    loss = float((gap[:, 0] - gap[:, 1])[gap[:, 1] > -torch.inf].median())
    found = decide(explorer(inner, world, ExploringOptions(loss=loss, share=1)), view)
    assert found.among is not None
    is_near = (value >= value.max(1, keepdim=True).values - loss) & (value > -torch.inf)
    assert torch.equal((found.among > 0).sum(1), is_near.sum(1))
    assert len({1, *is_near.sum(1).tolist()}) > 2
    given_up = value.max(1).values - value.gather(1, found.item_idx[:, None])[:, 0]
    assert (given_up[found.item_idx > 0] <= loss).all()


def test_features_and_score_are_those_of_what_is_shown(folder: Path) -> None:
    world = toy()
    inner = inner_of("foresight", world, folder)
    view = narrowed(inner, world.journeys())
    found, best = decide(explorer(inner, world), view), decide(inner, view)
    n_other = 0
    assert found.features is not None
    assert isinstance(inner, Explains)
    value = inner.weigh(view)
    for row in found.item_idx.nonzero()[:, 0].tolist():
        only = Candidates(torch.zeros(1, 1), found.item_idx[row].reshape(1, 1))
        own = decide(inner, view.of([row])._replace(candidates=only))  # type: ignore[arg-type]
        assert own.features is not None
        n_views = len(inner.views.shares)
        assert_near(found.features[row, :n_views], own.features[0, :n_views])
        # what is told of laws are differences of like logits
        torch.testing.assert_close(found.features[row], own.features[0], atol=5e-5, rtol=1e-4)
        assert_near(found.score[row], value[row, found.item_idx[row]])
        n_other += int(found.item_idx[row] != best.item_idx[row])
    assert n_other > 5


def test_it_is_of_the_kind_of_the_policy(folder: Path) -> None:
    world = toy()
    for name in POLICIES:
        inner = inner_of(name, world, folder)
        policy = explorer(inner, world)
        assert isinstance(policy, type(inner))
        assert type(inner) is policy_type(name), "the one that was handed in stays as it was"
        for kind in (Learner, Promises, Explains):
            assert isinstance(policy, kind) == isinstance(inner, kind)
        shared = Guide(policy, world.items, recommender=NextItem(world.encoder)).has_one_place
        assert shared == (name in ("next-item", "ipg", "itmprec", "target-now"))


def test_a_policy_that_says_nothing_of_its_weights_is_refused() -> None:
    class Mute(Policy):
        name = "mute"

        def decide(self, view: View) -> Any:
            raise NotImplementedError

    with pytest.raises(InvalidInputError, match=r"exploring needs .* mute does not"):
        explorer(Mute(), toy())


class TestInAGuide:
    """What the guide says of it, in blocks and within rails."""

    def guide(self, name: str, folder: Path, **rails: Any) -> tuple[Guide, Journeys]:
        world = toy()
        policy = explorer(inner_of(name, world, folder), world)
        within = Rails(RailsOptions(**rails), world.items)
        return Guide(policy, world.items, within, NextItem(world.encoder)), world.journeys()

    def among(self, guide: Guide, journeys: Journeys, **how: Any) -> tuple[Tensor, Tensor, Tensor]:
        ruled = guide.decide(journeys, **how)
        assert ruled.among is not None
        return ruled.item_idx, ruled.guided, ruled.among

    @pytest.mark.parametrize("name", ["foresight", "ipg"])
    def test_a_plain_round_had_but_one_item(self, name: str, folder: Path) -> None:
        guide, journeys = self.guide(name, folder, plain_share=0.5, stop_after=3, opt_out_share=0.2)
        journeys = journeys._replace(is_over=journeys.number % 5 == 0)
        item_idx, guided, among = self.among(guide, journeys)
        n_among = (among > 0).sum(1)
        plain = ~guided
        assert torch.equal(n_among[plain], (item_idx[plain] > 0).long())
        assert torch.equal(among[plain, 0], item_idx[plain])
        assert (n_among[guided] > 1).any()
        assert ((among == item_idx[:, None]).any(1) | (item_idx == 0)).all()

    def test_blocks_do_not_matter(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        guide, journeys = self.guide("itmprec", folder, plain_share=0.3)
        whole = self.among(guide, journeys)
        monkeypatch.setattr("proactrec.guidance.guide.MAX_BLOCK", 4)
        for one, other in zip(self.among(guide, journeys), whole, strict=True):
            assert torch.equal(one, other)

    def test_only_what_is_offered_may_be_drawn(self, folder: Path) -> None:
        guide, journeys = self.guide("ipg", folder, plain_share=0.3)
        offered = torch.arange(1, 8).expand(len(journeys.user), -1)
        item_idx, _, among = self.among(guide, journeys, offered=offered)
        assert int(among.max()) <= 7
        assert int(item_idx.max()) <= 7
        assert ((among > 0).sum(1) > 1).any()

    def test_who_loses_a_scarce_item_is_drawn_anew(self, folder: Path) -> None:
        options = RailsOptions(item_cap_per_round=1)
        guide, journeys = self.guide("ipg", folder, item_cap_per_round=1)
        journeys = journeys._replace(round=torch.ones_like(journeys.round))
        ledger = MemoryLedger(options, len(guide.items), journeys.user_rows)
        ruled = guide.decide(journeys, ledger)
        items = ruled.item_idx[ruled.guided]
        assert len(items) == len(items.unique()) > 3
        assert (ruled.n_again > 0).any()
        assert ruled.among is not None
        is_among = (ruled.among == ruled.item_idx[:, None]).any(1)
        assert is_among[ruled.item_idx > 0].all()
