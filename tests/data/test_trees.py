"""Categories that lie in others: an item of a knife drawer is an item of the home."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactrec.data.items import Items
from proactrec.data.trees import MOST_LEVELS, joined, levels, lowest, shared, with_ancestors, within
from proactrec.errors import InvalidInputError, UnknownIdError

KNIVES, PANS, SPOONS = "Home > Kitchen > Knives", "Home > Kitchen > Pans", "Garden > Tools > Spoons"
CARRIED = (
    (KNIVES, PANS),  # of two categories of the kitchen, and once of the kitchen
    (KNIVES,),
    ("Home > Sale",),
    ("Garden > Sale",),
    ("Gifts", SPOONS),
    (),
)
SHOP = Items("shop", tuple("abcdef"), tuple("ABCDEF"), CARRIED, np.zeros(7, np.int64))


def test_an_item_is_once_in_all_that_its_categories_lie_in() -> None:
    assert SHOP.of_category("Home").tolist() == [1, 2, 3]
    assert SHOP.of_category("Home > Kitchen").tolist() == [1, 2]
    assert SHOP.of_category(PANS).tolist() == [1]
    assert SHOP.category_sizes["Home > Kitchen"] == 2
    assert SHOP.carry(["Garden", "Gifts"]).nonzero()[0].tolist() == [4, 5]
    assert SHOP.categories == CARRIED


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("knives", KNIVES),
        ("Kitchen", "Home > Kitchen"),
        ("kitchen>KNIVES", KNIVES),
        ("Home>Kitchen  >Pans", PANS),
        ("Gifts", "Gifts"),
    ],
)
def test_an_end_of_a_path_names_it_where_it_is_at_one_place(name: str, meant: str) -> None:
    assert SHOP.category(name) == meant
    assert SHOP.places_of(name) == (meant,)


def test_a_name_at_two_places_needs_its_whole_path() -> None:
    message = (
        "category 'sale' must be named by its whole path, as it is at 2 places of shop: "
        "'Garden > Sale', 'Home > Sale'"
    )
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        SHOP.of_category("sale")
    assert SHOP.places_of("sale") == ("Garden > Sale", "Home > Sale")
    assert SHOP.of_category("Garden > Sale").tolist() == [4]


def test_a_whole_path_is_no_end_of_another() -> None:
    both = Items("x", ("a", "b"), ("", ""), (("Sale",), ("Home > Sale",)), np.zeros(3, np.int64))
    assert both.of_category("Sale").tolist() == [1]


@pytest.mark.parametrize("name", ["Forks", "Home > Knives", "Kitchen > Home", "", ">"])
def test_what_is_nowhere_is_unknown(name: str) -> None:
    assert SHOP.places_of(name) == ()
    with pytest.raises(UnknownIdError, match="does not exist in shop; there are Home, "):
        SHOP.category(name)


def test_parents_beside_what_lies_in_them_are_said_once() -> None:
    assert lowest(["Home", KNIVES, "Gifts", "Home > Kitchen"]) == (KNIVES, "Gifts")
    assert joined(["Home ", "", " Kitchen"]) == "Home > Kitchen"


def test_items_share_the_lowest_categories_that_both_are_in() -> None:
    assert shared([KNIVES, "Gifts"], [PANS, "Home > Sale"]) == ("Home > Kitchen",)
    assert shared([KNIVES, "Gifts"], ["Gifts", KNIVES]) == (KNIVES, "Gifts")
    assert shared([KNIVES], [SPOONS]) == ()


def test_some_items_are_in_a_category_if_one_is() -> None:
    assert SHOP.are_in([6, 4], ["garden"])
    assert not SHOP.are_in([6, 4], ["Home", "Gifts"])


def test_levels_beyond_all_measure_stay_in_one_name() -> None:
    deep = " > ".join(map(str, range(10_000)))
    assert len(within(deep)) == len(levels(deep)) == MOST_LEVELS
    assert within(deep)[-1] == deep


FLAT = st.lists(st.text(st.characters(blacklist_characters=">")), max_size=4).map(tuple)


@given(FLAT)
def test_flat_categories_stay_as_they_are(names: tuple[str, ...]) -> None:
    assert with_ancestors(names) == lowest(names) == names


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(" > ".join)))
def test_a_category_has_the_items_of_all_that_lie_in_it(paths: list[str]) -> None:
    one_each = tuple((path,) for path in paths)
    nothing = np.zeros(len(paths) + 1, np.int64)
    items = Items("x", tuple(map(str, range(len(paths)))), (), one_each, nothing)
    for name in items.category_names:
        own = [row for row, path in enumerate(paths, 1) if f"{path} > ".startswith(f"{name} > ")]
        assert items.of_category(name).tolist() == own
        assert items.category_sizes[name] == len(own)
