"""What becomes of watched categories: by hand, and in a rollout beside the targets' own figures."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.data.items import Items
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.category_metrics import Watched, share_of_accepted, users_with_one
from proactrec.evaluation.metrics import evaluate
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.results import CategoryFigures
from proactrec.policies.ipg import IPG
from proactrec.testing.toys import TARGETS, Toy, dataset_of
from proactrec.types import FloatArray

CATEGORIES = [["Home > Knives"], ["Home > Pans"], ["Garden"]]
"""Of items 1, 2, 3, and so on."""
KNIVES = [1, 4, 7, 10, 13]
HOME = sorted([*KNIVES, 2, 5, 8, 11, 14])


@pytest.fixture(scope="module")
def shop(toy: Toy) -> Toy:
    """The toy world with a tree of categories."""
    known = toy.dataset.histories
    rows = [known.of(user).tolist() for user in range(toy.dataset.n_users)]
    return toy._replace(dataset=dataset_of(rows, [CATEGORIES[n % 3] for n in range(14)]))


def played(shop: Toy, watched: FloatArray | None = None) -> GuidanceLog:
    guided = rollout(
        IPG(shop.encoder),
        shop.world(),
        shop.dataset,
        TARGETS,
        RolloutOptions(n_rounds=5),
        watched=watched,
    )
    return guided.log


def test_users_who_accept_of_a_category_and_its_share_by_hand() -> None:
    log = SimpleNamespace(
        user_idx=np.array([0, 1, 2]),
        target_idx=np.array([9, 9, 9]),
        item_idx=np.array([[1, 3, 2], [3, 1, 3], [3, 3, 0]]),
        accepted=np.array([[1, 0, 1], [1, 0, 1], [0, 0, 0]], bool),
    )
    is_in = np.zeros(10, bool)
    is_in[[1, 2]] = True
    options = MetricOptions(rounds=(1, 3))
    one, share = (of(log, options, is_in) for of in (users_with_one, share_of_accepted))
    assert one.numerator.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert one.denominator.tolist() == [[1, 1]] * 3
    assert share.numerator.tolist() == [[1, 2], [0, 0], [0, 0]]
    assert share.denominator.tolist() == [[1, 2], [1, 2], [0, 0]]


def test_interest_in_a_category_is_the_weighted_mean_of_that_in_its_items(shop: Toy) -> None:
    first = int(TARGETS[0])
    is_first = np.zeros(15)
    is_first[first] = 1
    options = MetricOptions(watch=("knives", "Home"), item_weights={"1": 3.0, "4": 0.0})
    watched = Watched.of(shop.items, options)
    assert watched.names == ("Home > Knives", "Home")
    assert [row.nonzero()[0].tolist() for row in watched.is_in] == [KNIVES, HOME]
    log = played(shop, np.vstack([watched.weights, is_first]))
    # Of one item alone it is the interest in it, after every round.
    rows = log.target_idx == first
    assert rows.any()
    np.testing.assert_allclose(log.watched[rows, :, 2], log.interest[rows], atol=1e-6)
    weight = torch.tensor([3.0, 0, 1, 1, 1]).double()
    knives = (weight[:, None] * shop.item_vectors.double()[KNIVES]).sum(0) / 6
    before = shop.user_vectors.double()[log.user_idx] @ knives
    np.testing.assert_allclose(log.watched[:, 0, 0], before, atol=1e-6)


def test_watching_changes_nothing_else(shop: Toy, tmp_path: Path) -> None:
    plain = played(shop)
    log = played(shop, Watched.of(shop.items, MetricOptions(watch=("Home",))).weights)
    for name in ("item_idx", "accepted", "interest", "rank"):
        np.testing.assert_array_equal(getattr(log, name), getattr(plain, name))
    log.save(tmp_path / "log.parquet")
    again = GuidanceLog.load(tmp_path / "log.parquet")
    np.testing.assert_allclose(again.watched, log.watched, atol=1e-6)
    assert plain.watched.shape == (*plain.interest.shape, 0)
    assert not [one for one in plain.to_table().columns if one.startswith("watched")]
    assert log.of(log.user_idx == 1).watched.shape[1:] == (6, 1)


def test_figures_of_watched_categories_stand_beside_the_others(shop: Toy) -> None:
    options = MetricOptions(rounds=(2, 5), watch=("Home", "garden"))
    log = played(shop, Watched.of(shop.items, options).weights)
    found = evaluate(log, shop.dataset, options)
    assert {n: v for n, v in found.items() if n != "categories"} == evaluate(
        log, shop.dataset, options.model_copy(update={"watch": ()})
    )
    home = CategoryFigures(**found["categories"]["Home"])
    assert home.n_items == len(HOME)
    known, users = shop.dataset.before("train"), np.unique(log.user_idx)
    had = np.concatenate([known.of(user) for user in users])
    assert home.share_before.mean == pytest.approx(np.isin(had, HOME).mean())
    hit = log.accepted & np.isin(log.item_idx, HOME)
    assert home.metrics["users_with_one"][5].mean == pytest.approx(hit.any(1).mean())
    shares = [found["categories"][n]["metrics"]["share_of_accepted"]["5"]["mean"] for n in
              ("Home", "Garden")]  # fmt: skip
    assert sum(shares) == pytest.approx(1)
    gain = (log.watched[:, 2, 0] - log.watched[:, 0, 0]).mean()
    assert home.metrics["ioi"][2].mean == pytest.approx(gain)
    # A log that did not note the interest still tells the rest.
    rest = evaluate(played(shop), shop.dataset, options)["categories"]["Home"]
    assert "interest_before" not in rest
    assert list(rest["metrics"]) == ["users_with_one", "share_of_accepted"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"watch": ("Shed",)}, UnknownIdError, "category 'Shed' does not exist in toy"),
        (
            {"watch": ("Garden",), "item_weights": {"99": 1.0}},
            UnknownIdError,
            "1 of 1 items with weights are not in toy, first '99'",
        ),
        (
            {"watch": ("Garden",), "item_weights": dict.fromkeys(["3", "6", "9", "12"], 0.0)},
            InvalidInputError,
            "item_weights must be above 0 for an item of 'Garden', got 0 for all",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(
    shop: Toy, options: Any, error: type[Exception], message: str
) -> None:
    items: Items = shop.items
    with pytest.raises(error, match=re.escape(message)):
        Watched.of(items, MetricOptions(**options))
