"""The catalogue: indices, keys and categories of items, by inside index."""

import numpy as np
import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.items import Items
from proactrec.errors import UnknownIdError
from proactrec.rng import keys_of
from proactrec.testing.toys import dataset_of

ITEMS = Items(
    name="shop",
    item_ids=("a", "b", "c", "d"),
    titles=("Ant", "Bee", "Cat", "Dog"),
    categories=(("Small", "Wild"), ("Small",), ("Home",), ("Home", "Loud", "Small")),
    train_counts=np.array([0, 3, 0, 1, 2]),
)


def test_items_count_from_one() -> None:
    assert len(ITEMS) == 4
    assert ITEMS.index == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert ITEMS.key.tolist() == [0, *keys_of(["a", "b", "c", "d"])]


def test_a_key_goes_with_the_id_to_another_catalogue() -> None:
    later = Items("shop", ("0", "b", "a"), ("", "", ""), ((), (), ()), np.zeros(4, np.int64))
    assert later.key[[3, 2]].tolist() == ITEMS.key[[1, 2]].tolist()


def test_cold_is_what_nobody_had_when_models_were_fitted() -> None:
    assert ITEMS.is_cold.tolist() == [False, True, False, False]


def test_categories_by_size_then_by_name() -> None:
    assert list(ITEMS.category_sizes.items()) == [
        ("Small", 3),
        ("Home", 2),
        ("Loud", 1),
        ("Wild", 1),
    ]
    assert ITEMS.category_names == ("Small", "Home", "Loud", "Wild")


@pytest.mark.parametrize(("name", "expected"), [("Small", [1, 2, 4]), ("hOME", [3, 4])])
def test_items_of_a_category_whatever_the_case(name: str, expected: list[int]) -> None:
    assert ITEMS.of_category(name).tolist() == expected


def test_a_name_in_two_cases_is_one_category_whose_items_nobody_can_change() -> None:
    twice = Items("x", ("a", "b"), ("A", "B"), (("Jazz", "jazz"), ("JAZZ",)), np.zeros(3, np.int64))
    twice.of_category("Jazz")[:] = 0
    assert twice.of_category("jazz").tolist() == [1, 2]


def test_what_is_no_item_is_called_by_its_id() -> None:
    called = [ITEMS.title_of(one) for one in (*ITEMS.item_ids, "none", "")]
    assert called == [*ITEMS.titles, "none", ""]


def test_an_unknown_category_names_those_that_exist() -> None:
    with pytest.raises(UnknownIdError, match="category 'Big' does not exist in shop; there are Sm"):
        ITEMS.of_category("Big")
    bare = Items("bare", ("a",), ("A",), ((),), np.zeros(2, np.int64))
    with pytest.raises(UnknownIdError, match="does not exist in bare; there are none"):
        bare.of_category("Big")


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), []), (("wild",), [1]), (("Loud", "Home"), [3, 4]), (("Small", "Home"), [1, 2, 3, 4])],
)
def test_what_carries_any_of_some_categories(names: tuple[str, ...], expected: list[int]) -> None:
    carried = ITEMS.carry(names)
    assert carried.shape == (5,)
    assert carried.nonzero()[0].tolist() == expected


def test_known_items_are_called_and_sorted_as_the_shop_says_them_now() -> None:
    bare = Items("bare", ("a", "b"), ("A", "B"), (("x",), ("y",)), np.array([0, 3, 4]))
    rows = {
        "item_id": ["c", "b", "a"],
        "title": ["C", "New B", ""],
        "categories": [["x"], ["y", "adult"], []],
    }
    schema = {"item_id": pl.String, "title": pl.String, "categories": pl.List(pl.String)}
    found = bare.extended(Catalogue(pl.DataFrame(rows, schema)))
    assert found.item_ids == ("a", "b", "c")
    assert found.titles == ("A", "New B", "C")
    assert found.categories == (("x",), ("y", "adult"), ("x",))
    assert found.train_counts.tolist() == [0, 3, 4, 0]
    assert found.carry(["adult"]).tolist() == [False, False, True, False]


def test_a_data_set_has_the_items_of_its_catalogue_with_train_counts() -> None:
    data = dataset_of([[1, 2, 3, 4], [2, 1, 4]], [["x"], ["x"], ["y"], []])
    items = data.items
    assert (items.name, items.item_ids, items.titles) == ("toy", data.item_ids, data.titles)
    assert items.categories == (("x",), ("x",), ("y",), ())
    assert items.train_counts.tolist() == [0, 1, 2, 0, 0]  # the last two of a user are held out
    assert data.items is items
