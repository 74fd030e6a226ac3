"""What tells that categories lie in others, and that they do not."""

import polars as pl
import pytest

from proactrec.data.importing.guess import guess_items, guess_separator
from proactrec.data.importing.items import category_names
from proactrec.data.importing.nesting import are_nested, guess_levels, level_columns
from proactrec.data.importing.options import ItemColumns

TREE = [f"{area}{{0}}{area} part {n // 2}{{0}}{area} thing {n}" for area in "ABC" for n in range(8)]
GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "War")
PAIRS = [f"{one}{{0}}{other}" for one in GENRES for other in GENRES if one < other]
SOUL = [f"{one}{{0}}{one} Soul" for one in map(str, range(30))]  # each with one of its own


@pytest.mark.parametrize(
    ("values", "separator", "expected"),
    [
        (TREE, " > ", ">"),
        (TREE, ">", ">"),
        (TREE, " » ", "»"),
        (TREE, "/", "/"),
        (TREE, " | ", "|"),
        (TREE[:10], "/", None),  # too few to tell
        (PAIRS, "/", None),  # what follows a name follows others as well
        (PAIRS, "|", None),
        (SOUL, "/", None),
        ([*TREE, *map(str, range(99))], "/", None),  # in few names only
        ([*TREE, *map(str, range(99))], " > ", ">"),
        (["> 18", "AC/DC", "x"], "", None),
        ([], "", None),
    ],
)
def test_what_stands_between_levels(
    values: list[str], separator: str, expected: str | None
) -> None:
    assert guess_levels(value.format(separator) for value in values) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["title", "category_1", "category_2", "category_3"], "category_1 category_2 category_3"),
        (["Level 2", "Level 1"], "Level 1,Level 2"),
        (["cat_l1", "cat_l2"], "cat_l1 cat_l2"),
        (["subCategory", "gender", "masterCategory"], "masterCategory subCategory"),
        (["main_category", "category", "sub_category"], "main_category category sub_category"),
        (["Hauptkategorie", "Unterkategorie"], "Hauptkategorie Unterkategorie"),
        (["category"], ""),
        (["category1", "category3"], ""),
        (["size1", "size2"], ""),
    ],
)
def test_columns_that_are_called_as_levels(columns: list[str], expected: str) -> None:
    assert list(level_columns(columns)) == expected.split("," if "," in expected else None)


def test_columns_are_levels_where_each_lies_in_the_one_before() -> None:
    names = ["id", "category_1", "category_2"]
    rows = [("a", "Home", "Knives"), ("b", "Home", "Pans"), ("c", "Garden", None)]
    sample = pl.DataFrame(rows, names, orient="row")
    found, guesses = guess_items(sample, ItemColumns(), "id", {"a"})
    assert (found.levels, found.categories) == (("category_1", "category_2"), ())
    assert [guess.column for guess in guesses if guess.meaning == "levels"] == names[1:]
    crossed = pl.DataFrame([*rows, ("d", "Garden", "Pans")], names, orient="row")
    found, _ = guess_items(crossed, ItemColumns(), "id", {"a"})
    assert (found.levels, found.categories) == ((), ("category_1",))
    found, _ = guess_items(sample, ItemColumns(levels=()), "id", {"a"})
    assert (found.levels, found.categories) == ((), ("category_1",))


def test_a_comma_in_a_name_separates_nothing() -> None:
    named = ["Home > Pots, Pans & Lids > Pans", "Home > Cameras, Optics"]
    assert guess_separator(named, ">") is None
    assert guess_separator(["Home, Home > Kitchen", "Garden, Garden > Sale"], ">") == ","
    assert guess_separator(["Home > Kitchen | Sale"], ">") == "|"
    assert guess_separator(["A|B"], "|") is None


@pytest.mark.parametrize(
    ("value", "separators", "expected"),
    [
        ("Home>Kitchen|Sale", ("|", ">"), ["Home > Kitchen", "Sale"]),
        ("['Clothing >> Shoes']", (None, ">"), ["Clothing > Shoes"]),
        ("Home > Kitchen", (None, ""), ["Home / Kitchen"]),
        ("Home > Kitchen", (None, None), ["Home > Kitchen"]),
        ("/Home/Kitchen/", (None, "/"), ["Home > Kitchen"]),
    ],
)
def test_names_as_paths(
    value: str, separators: tuple[str | None, str | None], expected: list[str]
) -> None:
    assert category_names(value, *separators) == expected


def test_nothing_is_no_tree() -> None:
    assert not are_nested([])
    assert not are_nested([["Home"], ["Garden", None]])
