"""Which items are promoted."""

import re

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.graphau import InterestVectors
from proactrec.targets import (
    TargetOptions,
    _shuffled_everything,
    fixed_targets,
    given_targets,
    prematch,
    prematch_scores,
    select_targets,
    share_seen,
)

USERS = torch.tensor([[1.0, 0], [0, 1], [1, 1]])  # sum (2, 2)
ITEMS = torch.tensor([[9.0, 9], [1, 0], [0, 2], [1, 1], [-1, 0], [0, 1], [3, -1]])
SCORES = [2, 4, 4, -2, 2, 4]  # of items 1 … 6


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Items 1 … 6; the even ones are films. Train histories: (1, 2), (2), (2, 6)."""
    histories = [[1, 2, 3, 4], [2, 5, 6], [2, 6]]
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    lists = pl.Series([["Film"] if i % 2 == 0 else ["Book"] for i in range(1, 7)])
    ids = [str(i) for i in range(1, 7)]
    catalogue = Catalogue(pl.DataFrame({"item_id": ids, "title": ids, "categories": lists}))
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, catalogue)


def test_prematch_score_is_the_sum_of_all_users_products() -> None:
    candidates = np.array([6, 1, 4])
    assert prematch_scores(USERS, ITEMS, candidates).tolist() == [4, 2, -2]


def test_best_candidates_come_first_and_ties_go_by_index() -> None:
    chosen = prematch(USERS, ITEMS, np.array([6, 5, 4, 3, 2, 1]), 5)
    assert chosen.item_idx.tolist() == [2, 3, 6, 1, 5]
    assert chosen.score.tolist() == [4, 4, 4, 2, 2]


def test_targets_are_the_best_of_the_category(dataset: Dataset) -> None:
    options = TargetOptions(n_targets=2)
    chosen = select_targets(dataset, "film", USERS, ITEMS, options)
    assert chosen.item_idx.tolist() == [2, 6]


def test_small_category_gives_fewer_targets(dataset: Dataset) -> None:
    chosen = select_targets(dataset, "Book", USERS, ITEMS, TargetOptions(n_targets=6))
    assert chosen.item_idx.tolist() == [3, 1, 5]


@pytest.mark.parametrize("official", [False, True])
def test_random_targets_come_from_the_right_pool(dataset: Dataset, official: bool) -> None:
    for mode, pool in [("random_category", {2, 4, 6}), ("random_all", set(range(1, 7)))]:
        options = TargetOptions(mode=mode, n_targets=6, official_shuffle=official)
        chosen = select_targets(dataset, "Film", USERS, ITEMS, options)
        assert sorted(chosen.item_idx.tolist()) == sorted(pool)
        assert np.isnan(chosen.score).all()


def test_random_targets_follow_the_seed_unless_official(dataset: Dataset) -> None:
    def drawn(seed: int, official: bool) -> tuple[int, ...]:
        options = TargetOptions(mode="random_all", n_targets=6, official_shuffle=official)
        chosen = select_targets(dataset, "Film", USERS, ITEMS, options, seed=seed)
        return tuple(chosen.item_idx.tolist())

    assert drawn(0, official=False) == drawn(0, official=False)
    assert len({drawn(seed, official=False) for seed in range(5)}) > 1
    assert len({drawn(seed, official=True) for seed in range(5)}) == 1


def test_pool_is_cut_at_random_before_scoring(dataset: Dataset) -> None:
    options = TargetOptions(n_targets=2, pool=2)
    seen = {
        tuple(select_targets(dataset, "Film", USERS, ITEMS, options, seed=seed).item_idx.tolist())
        for seed in range(20)
    }
    # Best first within whatever pair of the three films was drawn.
    assert seen == {(2, 6), (2, 4), (6, 4)}
    whole = TargetOptions(n_targets=2, pool=3)
    assert select_targets(dataset, "Film", USERS, ITEMS, whole).item_idx.tolist() == [2, 6]


@pytest.mark.parametrize(
    ("n_items", "first"),
    [
        (2_782, [2286, 414, 512, 1508, 1583]),
        (1_348, [714, 801, 840, 876, 217]),
        (2_017, [127, 1380, 521, 1790, 1201]),
        (20_527, [5226, 697, 18787, 1992, 10226]),
    ],
)
def test_official_shuffle_begins_as_recorded(n_items: int, first: list[int]) -> None:
    """0-based places of the authors' list 0 … n_items + 1 (itmprec.md, check 5)."""
    options = TargetOptions(mode="random_all", official_shuffle=True)
    chosen = _shuffled_everything(n_items, options, seed=0)
    assert (chosen[:5] - 1).tolist() == first
    assert sorted(chosen.tolist()) == list(range(1, n_items + 1))


def test_given_targets_keep_their_order_and_lose_repeats(dataset: Dataset) -> None:
    chosen = given_targets(dataset, ["5", "2", "5", "1"])
    assert chosen.item_idx.tolist() == [5, 2, 1]
    assert np.isnan(chosen.score).all()


def test_bad_targets_are_refused(dataset: Dataset) -> None:
    wanted = "2 of 3 targets are not items of toy, first ['x', '7']"
    with pytest.raises(UnknownIdError, match=re.escape(wanted)):
        given_targets(dataset, ["x", "1", "7"])
    with pytest.raises(InvalidInputError, match=re.escape("at least one item, got none")):
        given_targets(dataset, [])
    wanted = "n_targets must be at most the number of items (6), got 7"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        select_targets(dataset, "Film", USERS, ITEMS, TargetOptions(n_targets=7))
    wanted = "category 'Song' does not exist in toy; there are Book, Film"
    with pytest.raises(UnknownIdError, match=re.escape(wanted)):
        select_targets(dataset, "Song", USERS, ITEMS, TargetOptions(n_targets=2))
    wanted = "TargetOptions.n_targets must be at least 1, got 0"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        TargetOptions(n_targets=0)


def test_share_seen_counts_train_histories_only(dataset: Dataset) -> None:
    # Item 2 is held out from nobody, item 4 from its one reader, item 6 from one of two.
    assert share_seen(dataset, np.array([2, 4, 6])).tolist() == [3 / 3, 0, 1 / 3]


def test_fixed_targets_are_the_best_that_a_user_does_not_have(dataset: Dataset) -> None:
    """Of items 2, 3 and 5 with pre-match scores 4, 4 and 2; all users have item 2 … or 3."""
    owned, items, users = dataset.before("train"), np.array([3, 2, 5]), np.arange(3)
    have = [set(owned.of(user).tolist()) & {2, 3, 5} for user in users]
    vectors = InterestVectors(USERS, ITEMS)
    for way, scores in (
        ("prematched", np.array([[4, 4, 2]] * 3)),
        ("nearest", (USERS @ ITEMS[items].T).numpy()),
    ):
        wanted = []
        for user in users:
            left = [at for at, item in enumerate(items) if item not in have[user]]
            wanted.append(int(items[max(left, key=lambda at: scores[user, at])]) if left else 0)
        found = fixed_targets(way, vectors, users, items, owned)  # type: ignore[arg-type]
        assert found.tolist() == wanted
    assert fixed_targets("nearest", vectors, users, np.array([2]), owned)[1] == 0
