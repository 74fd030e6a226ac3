"""Boredom: what is alike, how much less it is accepted, and that oracles know it."""

import re

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError
from proactrec.simulator.boredom import carried_categories, share_alike
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World, WorldOptions

CATEGORIES = [["War"], ["War", "Love"], ["Love"], [], ["Sea"], ["Sea"], ["War"]]


def build(categories: list[list[str]]) -> Dataset:
    ids = [str(item) for item in range(1, len(categories) + 1)]
    lists = pl.Series(categories, dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": ids, "title": ids}).with_columns(categories=lists)
    histories = [[1, 2, 5, 6], [3, 4, 7, 1], [5, 6, 2, 3], [4, 1, 2, 7]]
    rows = [(f"u{u}", str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    return Dataset.build("toy", Interactions(events), Catalogue(items))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build(CATEGORIES)


def world_of(dataset: Dataset, **options: float) -> World:
    rng = torch.Generator().manual_seed(3)
    users = F.normalize(torch.randn(dataset.n_users, 4, generator=rng), dim=1)
    items = F.normalize(torch.randn(dataset.n_items + 1, 4, generator=rng), dim=1)
    return World(dataset, users, items, np.array([5]), WorldOptions(**options))


def test_share_counts_recent_items_with_any_common_category(dataset: Dataset) -> None:
    carried = carried_categories(dataset)
    recent = torch.tensor([[0, 1, 2, 5], [0, 0, 0, 4], [0, 0, 0, 0]])
    found = share_alike(carried, recent)
    # Padding, then items 1 ... 7, beside War, War + Love and Sea; beside nothing; beside nobody.
    first = [0, 2 / 3, 2 / 3, 1 / 3, 0, 1 / 3, 1 / 3, 2 / 3]
    expected = torch.tensor([first, [0.0] * 8, [0.0] * 8])
    torch.testing.assert_close(found, expected)
    for item in range(8):
        one = share_alike(carried, recent, torch.full((3,), item))
        assert torch.equal(one, found[:, item])


def test_who_is_bored_accepts_less_by_the_share_of_the_like(dataset: Dataset) -> None:
    usual, bored = world_of(dataset), world_of(dataset, boredom=3.0)
    shown, logits = torch.tensor([2, 3, 6, 4]), []
    for world in (usual, bored):
        environment = Environment(world)
        environment.reset(np.arange(4), np.full(4, 5), n_rounds=2)
        logits.append(torch.logit(environment.step(shown).accept_prob))
    # Train histories: 1, 2 | 3, 4 | 5, 6 | 4, 1.
    lost = torch.tensor([1.0, 1 / 2, 1.0, 0.0], dtype=torch.float64) * 3.0
    torch.testing.assert_close(logits[0] - logits[1], lost, atol=1e-6, rtol=0)


def test_oracles_know_how_bored_users_are_now_and_would_be(dataset: Dataset) -> None:
    """The outlook, before and after accepted items, is what the environment then does."""
    world = world_of(dataset, boredom=2.0)
    world.response = world.response._replace(offset=-50.0)  # type: ignore[attr-defined]
    environment = Environment(world)
    environment.reset(np.arange(4), np.full(4, 7), n_rounds=9)
    first = torch.tensor([3, 1, 7, 2])
    imagined = environment.minds().accepting(first)
    assert environment.step(first).accepted.all()
    world.response = world.response._replace(offset=0.1)  # type: ignore[attr-defined]
    for minds in (imagined, environment.minds(), environment.minds().of(torch.arange(4))):
        outlook = minds.outlook().accept_prob.double()
        for item in range(1, 8):
            again = Environment(world)
            again.reset(np.arange(4), np.full(4, 7), n_rounds=9)
            vars(again).update(_users=environment.user_vectors, _recent=environment._recent)
            prob = again.step(torch.full((4,), item)).accept_prob
            torch.testing.assert_close(outlook[:, item], prob, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"boredom": 2.0}])
def test_an_outlook_on_some_items_is_that_on_all_in_their_columns(
    dataset: Dataset, options: dict[str, float]
) -> None:
    environment = Environment(world_of(dataset, **options))
    environment.reset(np.arange(4), np.full(4, 7), n_rounds=9)
    minds = environment.minds().accepting(torch.tensor([3, 1, 7, 2]))
    everything = minds.outlook()
    among = torch.tensor([[1, 7, 3], [2, 2, 0], [7, 6, 5], [4, 1, 2]])
    some = minds.outlook(among)
    for name in ("accept_prob", "interest"):
        expected = getattr(everything, name).gather(1, among)
        torch.testing.assert_close(getattr(some, name), expected)
    torch.testing.assert_close(some.now, everything.now)
    torch.testing.assert_close(some.expected_gain, everything.expected_gain.gather(1, among))


def test_boredom_needs_categories_and_the_calibrated_click_model(dataset: Dataset) -> None:
    with pytest.raises(InvalidInputError, match="boredom needs categories, toy has none"):
        world_of(build([[]] * 7), boredom=1.0)
    with pytest.raises(InvalidInputError, match=re.escape("WorldOptions.boredom")):
        WorldOptions(boredom=-1.0)

    class Other:
        """A click model that knows no boredom."""

    users, items = torch.eye(4), torch.eye(8)[:, :4]
    with pytest.raises(InvalidInputError, match="boredom needs the click model `distribution`"):
        World(
            dataset,
            users,
            items,
            np.array([5]),
            WorldOptions(boredom=1.0),
            response=Other(),  # type: ignore[arg-type]
        )
