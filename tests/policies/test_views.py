"""Views: what they hold near, against NumPy, and a planner that learns which one users go by."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.base import Evidence
from proactrec.policies.belief import AcceptanceModel
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.views import Views, categories, companions
from proactrec.simulator.hidden import hidden_vectors
from proactrec.simulator.world import World, WorldOptions

N_USERS, N_ITEMS = 60, 40
Build = Callable[[list[list[str]], int], Dataset]


@pytest.fixture(scope="module")
def dataset(parity_dataset: Build) -> Dataset:
    """Categories by the quarter of the item's number, and one that all items have."""
    return parity_dataset([["all", f"quarter {item // 10}"] for item in range(N_ITEMS)], 8)


def test_companions_are_the_information_that_numpy_finds(dataset: Dataset) -> None:
    train = dataset.before("train")
    touched = np.zeros((N_USERS, N_ITEMS + 1))
    touched[train.user_idx, train.item_idx] = 1
    together = touched.T @ touched
    np.fill_diagonal(together, 0)
    total = together.sum(1)
    by_accident = total**0.75 / (total**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(together / (total[:, None] * by_accident[None, :]))
    left, strength, _ = np.linalg.svd(np.where(together > 0, np.maximum(information, 0), 0))
    items = (left * np.sqrt(strength))[1:]
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    users, found = companions(dataset, N_ITEMS + 1)
    np.testing.assert_allclose(found[1:] @ found[1:].T, items @ items.T, atol=2e-3)
    np.testing.assert_allclose(users.norm(dim=1), 1, atol=1e-5)
    parity = torch.arange(N_ITEMS) % 2
    alike = found[1:] @ found[1:].T
    assert alike[parity[:, None] == parity].mean() > alike[parity[:, None] != parity].mean() + 0.2


def test_companions_know_nothing_of_held_out_items(dataset: Dataset) -> None:
    known = np.zeros((N_USERS, N_ITEMS + 1), dtype=bool)
    train = dataset.before("train")
    known[train.user_idx, train.item_idx] = True
    users, items = companions(dataset, 8)
    mean = torch.from_numpy(known).float() @ items
    torch.testing.assert_close(users, F.normalize(mean, dim=1), atol=1e-5, rtol=0)


def test_categories_hold_near_what_shares_them_and_what_all_share_counts_nothing(
    dataset: Dataset,
) -> None:
    view = categories(dataset, 8)
    assert view is not None
    alike = view.item_vectors[1:] @ view.item_vectors[1:].T
    quarter = torch.arange(N_ITEMS) // 10
    same = quarter[:, None] == quarter
    torch.testing.assert_close(alike[same], torch.ones(4 * 100), atol=1e-4, rtol=0)
    assert alike[~same].max() < 0
    assert not view.item_vectors[0].any()


def test_a_catalogue_that_tells_nothing_gives_no_view(parity_dataset: Build) -> None:
    assert categories(parity_dataset([[]] * N_ITEMS, 8), 8) is None
    alike = categories(parity_dataset([["all"]] * N_ITEMS, 8), 8)
    assert alike is not None
    main = InterestVectors(torch.eye(N_USERS, 64), torch.eye(N_ITEMS + 1, 64))
    assert len(Views.beside(main, [alike]).shares) == 1


def test_views_weighted_by_shares_are_one_view(dataset: Dataset) -> None:
    rng = torch.Generator().manual_seed(3)
    main = InterestVectors(
        *(F.normalize(torch.randn(n, 5, generator=rng), dim=1) for n in (N_USERS, N_ITEMS + 1))
    )
    other = companions(dataset, 8)
    views, shares = Views.beside(main, [other], 0.3), torch.tensor([0.7, 0.3])
    torch.testing.assert_close(views.shares, shares)
    users = views.weighted(views.user_vectors, shares)
    items = views.weighted(views.item_vectors, shares)
    by_view = [main.user_vectors @ main.item_vectors.T, other.user_vectors @ other.item_vectors.T]
    torch.testing.assert_close(users @ items.T, 0.7 * by_view[0] + 0.3 * by_view[1])
    products = views.user_vectors[:40] * views.item_vectors[1:]
    expected = torch.stack([part[:40, 1:].diag() for part in by_view], 1)
    torch.testing.assert_close(views.sums(products), expected)
    doubled = views.user_vectors * torch.tensor([2.0, 5.0])[views.of_column]
    torch.testing.assert_close(views.units(doubled), views.user_vectors)


def test_views_that_leave_nothing_to_the_main_one_are_refused(dataset: Dataset) -> None:
    with pytest.raises(InvalidInputError, match="must hold every view once, got companions, comp"):
        ForesightOptions(other_views=("companions", "companions", "companions"), view_share=0.45)
    main, other = InterestVectors(torch.eye(N_USERS), torch.eye(N_USERS)), companions(dataset, 8)
    with pytest.raises(InvalidInputError, match="share of 2 other views must leave some to the"):
        Views.beside(main, [other, other], 0.5)


def played(policy: Foresight, dataset: Dataset, world: World) -> GuidanceLog:
    targets, options = np.array([5, 30]), RolloutOptions(n_rounds=12)
    return rollout(policy, world, dataset, targets, options, n_workers=1).log


def gain(log: GuidanceLog) -> float:
    return float((log.interest[:, -1] - log.interest[:, 0]).mean())


class Witness(Foresight):
    """Notes what it knows."""

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        self.known = super().learned(knowledge, evidence)
        return self.known


def test_it_learns_which_view_users_go_by_and_gains_by_it(dataset: Dataset) -> None:
    """Users go by categories; the main view is noise."""
    rng = torch.Generator().manual_seed(3)
    users, items = (
        F.normalize(torch.randn(n, 5, generator=rng), dim=1) for n in (N_USERS, N_ITEMS + 1)
    )
    items[0] = 0
    main, view = InterestVectors(users, items), categories(dataset, 8)
    assert view is not None
    hidden = hidden_vectors("content", dataset)
    world = World(dataset, *hidden, np.array([5, 30]), WorldOptions(world="steep"), seed=4)
    informed = Witness(Views.beside(main, [view]), dataset)
    log = played(informed, dataset, world)
    assert informed.known.shares[1] > 0.5
    assert gain(log) > gain(played(Foresight(main, dataset), dataset, world)) + 0.05
