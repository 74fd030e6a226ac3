"""What becomes a category: the column, the spelling, the largest."""

import re
from typing import Any

import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.categories import CategoryOptions, choose_categories
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.data.load import load_dataset
from proactrec.errors import DataError

TAGS = {
    "a": ["Sci-Fi", "fun", "C++"],
    "b": ["sci fi", "SciFi", "fun"],
    "c": ["Sci-Fi", "C#"],
    "d": [],
    "untouched": ["fun", "rare"],
}
LISTS = pl.Series(list(TAGS.values()), dtype=pl.List(pl.String))
CATALOGUE = Catalogue(
    pl.DataFrame(
        {
            "item_id": list(TAGS),
            "title": list(TAGS),
            "categories": pl.Series([["G"]] * 5, dtype=pl.List(pl.String)),
            "tags": LISTS,
        }
    )
)
EVENTS = Interactions(
    pl.DataFrame({"user_id": ["u"] * 4, "item_id": list("abcd"), "timestamp": [1, 2, 3, 4]})
)


def chosen(**options: Any) -> dict[str, list[str]]:
    catalogue = choose_categories(CATALOGUE, EVENTS, CategoryOptions(**options))
    return dict(catalogue.table.select("item_id", "categories").iter_rows())


def test_any_list_column_can_be_the_category() -> None:
    # A name that only untouched items carry is none.
    assert chosen(source="tags") == {**TAGS, "untouched": ["fun"]}
    assert chosen()["d"] == ["G"]


def test_spellings_are_merged_into_the_most_carried_one() -> None:
    found = chosen(source="tags", merge_spellings=True)
    assert found["a"] == ["Sci-Fi", "fun", "C++"]
    assert found["b"] == ["Sci-Fi", "fun"]
    assert found["c"] == ["Sci-Fi", "C#"]


def test_largest_are_kept_by_items_that_somebody_touched() -> None:
    # Two touched items carry fun and Sci-Fi each; the item nobody touched is not counted.
    assert chosen(source="tags", top=2)["a"] == ["Sci-Fi", "fun"]
    assert chosen(source="tags", top=1)["b"] == []
    assert chosen(source="tags", min_items=2) == {
        "a": ["Sci-Fi", "fun"],
        "b": ["fun"],
        "c": ["Sci-Fi"],
        "d": [],
        "untouched": ["fun"],
    }
    assert chosen(source="tags", merge_spellings=True, top=1)["b"] == ["Sci-Fi"]


def test_names_without_letters_are_not_merged() -> None:
    lists = pl.Series([["!!", "??"]], dtype=pl.List(pl.String))
    catalogue = Catalogue(pl.DataFrame({"item_id": ["a"], "title": ["a"], "categories": lists}))
    found = choose_categories(catalogue, EVENTS, CategoryOptions(merge_spellings=True))
    assert found.table["categories"].to_list() == [["!!", "??"]]


def test_column_that_there_is_not_is_refused() -> None:
    message = "category source 'colour' does not exist; there are categories, tags"
    with pytest.raises(DataError, match=re.escape(message)):
        chosen(source="colour")


def test_items_left_without_a_category_are_kept() -> None:
    plain = load_dataset("demo")
    fewer = load_dataset("demo", categories=CategoryOptions(top=2))
    assert len(fewer.items.category_names) == 2
    assert fewer.item_ids == plain.item_ids
    assert sum(not names for names in fewer.categories) > 0


PATHS = {
    "a": ["Home > Kitchen > Knives"],
    "b": ["home > kitchen > Pans", "Gifts"],
    "c": ["Home > Kitchen > Pans"],
    "d": ["Home > Garden"],
}


def of_tree(**options: Any) -> dict[str, list[str]]:
    lists = pl.Series(list(PATHS.values()), dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": list(PATHS), "title": list(PATHS), "categories": lists})
    catalogue = choose_categories(Catalogue(items), EVENTS, CategoryOptions(**options))
    built = Dataset.build("shop", EVENTS, catalogue)
    return {one: list(names) for one, names in zip(built.item_ids, built.categories, strict=True)}


def test_items_of_what_is_not_kept_go_up_the_tree() -> None:
    kept = of_tree(merge_spellings=True, min_items=2)
    pans, kitchen = "Home > Kitchen > Pans", "Home > Kitchen"
    assert kept == {"a": [kitchen], "b": [pans], "c": [pans], "d": ["Home"]}
    assert of_tree(merge_spellings=True, top=1) == {one: ["Home"] for one in "abcd"}


def test_a_tree_can_be_cut() -> None:
    assert of_tree(depth=2)["a"] == ["Home > Kitchen"]
    assert of_tree(depth=1) == {"a": ["Home"], "b": ["home", "Gifts"], "c": ["Home"], "d": ["Home"]}


def test_paths_are_spelled_level_by_level() -> None:
    found = of_tree(merge_spellings=True)
    assert found["b"] == ["Home > Kitchen > Pans", "Gifts"]
    assert {one: names for one, names in found.items() if one != "b"} == {
        one: names for one, names in PATHS.items() if one != "b"
    }
