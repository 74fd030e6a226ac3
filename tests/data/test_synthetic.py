"""The demo world: its shape, and that there is something to learn in it, but not everything."""

import numpy as np
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.filters import filter_interactions
from proactrec.data.interactions import Interactions
from proactrec.data.synthetic import demo_world
from proactrec.types import FloatArray

World = tuple[Interactions, Catalogue]


@pytest.fixture(scope="module")
def world() -> World:
    return demo_world()


@pytest.fixture(scope="module")
def dataset(world: World) -> Dataset:
    return Dataset.build("demo", filter_interactions(world[0], "k-core", 5), world[1])


def ndcg_at_20(dataset: Dataset, scores: FloatArray) -> float:
    """Of the test answers, among all items that a user has not seen: (n_users, n_items + 1)."""
    seen = dataset.before("test")
    scores[:, 0] = -np.inf
    scores[seen.user_idx, seen.item_idx] = -np.inf
    answer = np.take_along_axis(scores, dataset.answers("test")[:, None], axis=1)
    rank = (scores > answer).sum(axis=1)
    return float(np.where(rank < 20, 1 / np.log2(rank + 2), 0).mean())


def test_size_is_as_announced(world: World) -> None:
    events, catalogue = world
    assert events.table["user_id"].n_unique() == 1_000
    assert catalogue.table.height == 1_500
    assert 57_000 < len(events) < 63_000
    assert events.table["timestamp"].is_sorted()


def test_same_seed_gives_the_same_world(world: World) -> None:
    again, other = demo_world(), demo_world(seed=1)
    assert again[0].table.equals(world[0].table)
    assert again[1].table.equals(world[1].table)
    assert not other[0].table.equals(world[0].table)


@pytest.mark.parametrize("seed", [0, 1])
def test_core_keeps_nearly_everything(seed: int) -> None:
    events, catalogue = demo_world(seed)
    dataset = Dataset.build("demo", filter_interactions(events, "k-core", 5), catalogue)
    assert dataset.n_users == 1_000
    assert dataset.n_items > 0.95 * 1_500
    assert dataset.n_interactions > 0.99 * len(events)
    assert len(dataset.items.category_names) == 12
    assert min(len(dataset.items.of_category(name)) for name in dataset.items.category_names) >= 60


def test_items_have_one_to_three_distinct_categories(world: World) -> None:
    for names in world[1].table["categories"].to_list():
        assert 1 <= len(names) == len(set(names)) <= 3


def test_titles_are_distinct_without_their_year(world: World) -> None:
    titles = world[1].table["title"].str.replace(r" \(\d{4}\)$", "")
    assert titles.n_unique() == 1_500


def test_popularity_has_a_long_tail(dataset: Dataset) -> None:
    counts = np.sort(np.bincount(dataset.histories.item_idx)[1:])[::-1]
    most = counts[: len(counts) // 10].sum() / counts.sum()
    assert 0.25 < most < 0.6


def test_sequences_say_more_than_popularity_but_not_everything(dataset: Dataset) -> None:
    known, n_rows = dataset.before("test"), dataset.n_items + 1
    popularity = np.bincount(known.item_idx, minlength=n_rows).astype(float)
    follows = np.zeros((n_rows, n_rows))
    is_last = np.isin(np.arange(len(known.item_idx)), known.offsets[1:] - 1)
    start = np.flatnonzero(~is_last)
    np.add.at(follows, (known.item_idx[start], known.item_idx[start + 1]), 1)
    last = known.item_idx[known.offsets[1:] - 1]
    baseline = ndcg_at_20(dataset, np.tile(popularity, (dataset.n_users, 1)))
    oracle = ndcg_at_20(dataset, follows[last] + 1e-6 * popularity)
    # Measured: popularity 0.032, counts of what follows the last item 0.174.
    assert 0.01 < baseline < 0.06
    assert 3 * baseline < oracle < 0.3
