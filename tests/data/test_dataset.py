"""Interactions, catalogue and data set: invalid ones cannot be built; indices, order and split."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.interactions import Interactions
from proactrec.errors import DataError, UnknownIdError

Event = tuple[str, str, int]


def events(rows: list[Event]) -> Interactions:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    return Interactions(pl.DataFrame(rows, schema=schema, orient="row"))


def items(ids: list[str], categories: list[list[str]] | None = None) -> Catalogue:
    table = {"item_id": ids, "title": [f"title {name}" for name in ids]}
    lists = pl.Series(categories or [[]] * len(ids), dtype=pl.List(pl.String))
    return Catalogue(pl.DataFrame({**table, "categories": lists}))


@pytest.fixture
def small() -> Dataset:
    """Users 2 and 10 over items 9, 10, 11; item 12 is touched by nobody."""
    rows = [("10", "11", 5), ("2", "9", 7), ("10", "9", 5), ("10", "10", 1), ("2", "10", 3)]
    catalogue = items(["9", "10", "11", "12"], [["A"], ["A", "B"], [], ["B"]])
    return Dataset.build("small", events(rows), catalogue)


def test_ids_that_are_numbers_are_ordered_as_numbers(small: Dataset) -> None:
    assert small.user_ids == ("2", "10")
    assert small.item_ids == ("9", "10", "11")
    assert small.titles == ("title 9", "title 10", "title 11")


def test_histories_are_in_time_order_and_ties_in_row_order(small: Dataset) -> None:
    assert small.histories.of(0).tolist() == [2, 1]
    assert small.histories.of(1).tolist() == [2, 3, 1]
    assert small.timestamps.tolist() == [3, 7, 1, 5, 5]


def test_last_two_items_are_held_out_from_users_with_three(small: Dataset) -> None:
    assert small.answers("validation").tolist() == [0, 3]
    assert small.answers("test").tolist() == [0, 1]
    assert small.before("train").lengths.tolist() == [2, 1]
    assert small.before("validation").lengths.tolist() == [2, 1]
    assert small.before("test").lengths.tolist() == [2, 2]


def test_rows_are_those_of_the_chosen_users_in_their_order(small: Dataset) -> None:
    row, item = small.histories.rows(np.array([1, 0, 1]))
    assert row.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert item.tolist() == [2, 3, 1, 2, 1, 2, 3, 1]


def test_padded_histories_keep_the_newest(small: Dataset) -> None:
    assert small.histories.padded(3).tolist() == [[0, 2, 1], [2, 3, 1]]
    assert small.histories.padded(2).tolist() == [[2, 1], [3, 1]]
    assert small.histories.padded(4, side="right").tolist() == [[2, 1, 0, 0], [2, 3, 1, 0]]


def test_who_has_nothing_is_padded_with_nothing_also_alone() -> None:
    nobody = Histories(np.zeros(3, np.int64), np.zeros(0, np.int64))
    assert nobody.padded(2).tolist() == [[0, 0], [0, 0]]
    assert nobody.padded(2, side="right", user_idx=np.array([1])).tolist() == [[0, 0]]


def test_categories_are_found_whatever_their_case(small: Dataset) -> None:
    assert small.items.category_names == ("A", "B")
    assert small.items.of_category("a").tolist() == [1, 2]
    with pytest.raises(UnknownIdError, match=re.escape("category 'C' does not exist in small")):
        small.items.of_category("C")


def test_item_that_the_catalogue_lacks_is_refused() -> None:
    message = "1 of 2 interactions name 1 items that the catalogue lacks, first ['y']"
    with pytest.raises(DataError, match=re.escape(message)):
        Dataset.build("x", events([("a", "x", 1), ("a", "y", 2)]), items(["x"]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": ["a"]}, "interactions lack the column(s) ['item_id', 'timestamp']"),
        (
            {"user_id": [1], "item_id": ["x"], "timestamp": [1]},
            "interactions must have columns of the types {'user_id': 'String'}, "
            "got {'user_id': 'Int64'}",
        ),
        (
            {"user_id": ["a", None], "item_id": ["x", "y"], "timestamp": [1, 2]},
            "interactions have missing values: {'user_id': 1} (column: rows) of 2",
        ),
        (
            {"user_id": ["a", "a"], "item_id": ["x", "x"], "timestamp": [1, 2]},
            "interactions repeat a (user, item) pair in 1 of 2 rows",
        ),
    ],
)
def test_invalid_interactions_cannot_be_built(table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        Interactions(pl.DataFrame(table))


def test_empty_interactions_cannot_be_built() -> None:
    with pytest.raises(DataError, match="interactions are empty: no row is left"):
        events([])


def test_repeated_catalogue_id_is_refused() -> None:
    message = "catalogue ids must be unique; 1 occur more than once, first ['x']"
    with pytest.raises(DataError, match=re.escape(message)):
        items(["x", "y", "x"])


logs = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz"), st.integers(0, 3)),
    unique_by=lambda row: row[:2],
    min_size=1,
)


@given(rows=logs)
@settings(deadline=None, max_examples=30)
def test_train_and_answers_join_to_the_whole_history(rows: list[Event]) -> None:
    dataset = Dataset.build("x", events(rows), items(list("uvwxyz")))
    train = dataset.before("train")
    for user in range(dataset.n_users):
        held_out = [int(dataset.answers(split)[user]) for split in ("validation", "test")]
        joined = [*train.of(user).tolist(), *(item for item in held_out if item)]
        assert joined == dataset.histories.of(user).tolist()


@given(rows=logs, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_split_does_not_depend_on_how_users_are_interleaved(rows: list[Event], seed: int) -> None:
    # Rows of one user stay in their order, which settles ties.
    order = np.random.default_rng(seed).permutation(4)
    moved = sorted(rows, key=lambda row: order["abcd".index(row[0])])
    first, second = (
        Dataset.build("x", events(log), items(list("uvwxyz"))) for log in (rows, moved)
    )
    assert first.fingerprint == second.fingerprint
    assert first.answers("test").tolist() == second.answers("test").tolist()


@given(rows=logs)
@settings(deadline=None, max_examples=30)
def test_relabelled_ids_give_the_same_histories(rows: list[Event]) -> None:
    renamed = [(f"user {user}", f"item {item}", time) for user, item, time in rows]
    first = Dataset.build("x", events(rows), items(list("uvwxyz")))
    second = Dataset.build("x", events(renamed), items([f"item {name}" for name in "uvwxyz"]))
    assert second.histories.item_idx.tolist() == first.histories.item_idx.tolist()
    assert second.histories.offsets.tolist() == first.histories.offsets.tolist()
    assert second.item_ids == tuple(f"item {name}" for name in first.item_ids)
