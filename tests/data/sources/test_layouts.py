"""Every published set in its publisher's layout: what becomes of events, titles and categories."""

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.load import load_dataset
from proactrec.data.sources import SOURCES
from proactrec.errors import DataError, DataWarning, InvalidInputError

from .conftest import LAYOUTS, Place, lines

pytestmark = pytest.mark.filterwarnings("ignore::proactrec.errors.DataWarning")


def read(name: str, place: Place) -> tuple[Interactions, Catalogue]:
    return SOURCES[name].load(place(name), "earliest")


def rows(interactions: Interactions) -> list[tuple[object, ...]]:
    return interactions.table.select("user_id", "item_id", "timestamp", "rating").rows()


def categories(catalogue: Catalogue, column: str = "categories") -> dict[str, list[str]]:
    return dict(catalogue.table.select("item_id", column).iter_rows())


def titles(catalogue: Catalogue) -> dict[str, str]:
    return dict(catalogue.table.select("item_id", "title").iter_rows())


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_also_packed(name: str, place: Place, tmp_path: Path) -> None:
    events, catalogue = read(name, place)
    assert events.table["timestamp"].dtype == pl.Int64
    assert len(events) >= 2
    assert not SOURCES[name].missing(place(name))
    for path in place(name).iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    folder = tmp_path / (SOURCES[name].folder or name)
    assert not SOURCES[name].missing(folder)
    again, items = SOURCES[name].load(folder, "earliest")
    assert again.table.equals(events.table)
    assert items.table.equals(catalogue.table)


def test_movielens_1m(place: Place) -> None:
    events, catalogue = read("ml-1m", place)
    assert rows(events)[0] == ("1", "1", 978300760, 5.0)
    assert titles(catalogue)["2"] == "Misérables"
    assert categories(catalogue) == {"1": ["Animation", "Comedy"], "2": ["Drama"], "3": ["B"]}


def test_movielens_10m_titles_and_tags_may_hold_the_separator(place: Place) -> None:
    events, catalogue = read("ml-10m", place)
    assert rows(events)[1] == ("1", "2", 838983525, 0.5)
    assert titles(catalogue)["2"] == "Mission:: Impossible"
    assert categories(catalogue)["3"] == []
    assert categories(catalogue, "tags") == {"1": ["excellent!", "a::b"], "2": [], "3": []}


def test_movielens_in_csv(place: Place) -> None:
    events, catalogue = read("ml-32m", place)
    assert rows(events)[1] == ("1", "2", 964981247, 0.5)
    assert titles(catalogue)["2"] == 'American President, The "1995"'
    assert categories(catalogue) == {"1": ["Animation", "Comedy"], "2": ["Drama"], "3": []}
    assert categories(catalogue, "tags")["1"] == ['fun, "old"', "pixar"]


def test_movielens_without_tags_has_no_such_column(place: Place) -> None:
    folder = place("ml-32m")
    (folder / "tags.csv").unlink()
    assert "tags" not in SOURCES["ml-32m"].load(folder, "earliest")[1].table.columns


def test_movietweetings_keeps_zeros_and_films_without_genre(place: Place) -> None:
    events, catalogue = read("movietweetings", place)
    assert rows(events)[:2] == [("1", "0054890", 1381945744, 9.0), ("1", "110912", 1375657563, 0.0)]
    assert categories(catalogue) == {"0054890": ["Drama", "War"], "110912": []}


def test_steam_reviews_of_version_2(place: Place) -> None:
    events, catalogue = read("steam", place)
    assert events.table.rows()[0] == ("Chaos Syren", "70", 1513468800)
    assert titles(catalogue)["80"] == 'Don\'t \\ "Starve"'
    assert categories(catalogue) == {
        "70": ["Action", "Animation & Modeling"],
        "80": ["RPG"],
        "90": [],
    }
    assert categories(catalogue, "developer")["70"] == ["Valve"]


def test_steam_reviews_of_version_1(place: Place) -> None:
    message = "1 of 3 reviews say no year; they are of 2016, and 0 of them without a day"
    with pytest.warns(DataWarning, match=message):
        events, _ = read("steam-australia", place)
    assert rows(events) == [
        ("76561197970982479", "70", 1320451200, 1.0),
        ("76561197970982479", "80", 1468540800, 0.0),
        ("js41637", "90", 1398988800, 1.0),
    ]


def test_steam_reviews_of_version_1_as_a_table(place: Place) -> None:
    folder = place("steam-australia")
    (folder / "australian_user_reviews.json").unlink()
    table = lines("user_id,posted,item_id,recommend", "1,2011-11-05,70,True", "1,,80,False")
    (folder / "au_user_reviews.csv").write_bytes(table)
    events, _ = SOURCES["steam-australia"].load(folder, "earliest")
    assert rows(events) == [("1", "70", 1320451200, 1.0), ("1", "80", 1483142400, 0.0)]


def test_games_without_id_doubled_and_missing_are_counted(place: Place) -> None:
    games = lines(
        "{'id': '70', 'app_name': 'A'}", "{'id': '70', 'app_name': 'B'}", "{'app_name': 'C'}"
    )
    folder = place("steam", **{"steam_games.json": games})
    with pytest.warns(DataWarning) as caught:
        _, catalogue = SOURCES["steam"].load(folder, "earliest")
    said = [str(warning.message).removeprefix(f"{folder}/steam_games.json") for warning in caught]
    assert said == [
        ": 1 of 3 items have no id and are left out",
        ": 1 of 3 items repeat an id; the first of each counts",
        " lacks 2 of 3 items that occur in events; they have no title and no category",
    ]
    assert titles(catalogue) == {"70": "A", "80": "", "90": ""}


def test_steam_200k_takes_purchases_hours_and_genres_by_name(place: Place) -> None:
    with pytest.warns(DataWarning, match="has no times: the order of its rows stands for them"):
        events, catalogue = read("steam-200k", place)
    assert rows(events) == [
        ("151603712", "The Elder Scrolls V, Skyrim", 0, 273.0),
        ("151603712", "Half Life", 1, None),
        ("7", "Half Life", 2, None),
    ]
    assert categories(catalogue) == {
        "The Elder Scrolls V, Skyrim": [],
        "Half Life": ["Action", "Animation & Modeling"],
    }


def test_steam_200k_in_the_files_of_caserec(tmp_path: Path) -> None:
    content = {
        "steam200k_purchase.dat": lines("User_ID\tGame_ID\tPurchase", "1\t1\t1.0", "2\t1\t1.0"),
        "steam200k_play.dat": lines("User_ID\tGame_ID\tHours", "1\t1\t273.0"),
        "steam200k_item_info.dat": lines("Game_ID\tGame Name", "1\tSpore"),
    }
    for name, text in content.items():
        (tmp_path / name).write_bytes(text)
    events, catalogue = SOURCES["steam-200k"].load(tmp_path, "earliest")
    assert rows(events) == [("1", "1", 0, 273.0), ("2", "1", 1, None)]
    assert catalogue.table.select("item_id", "title", "categories").rows() == [("1", "Spore", [])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_douban_in_both_encodings(encoding: str, place: Place) -> None:
    files = LAYOUTS["douban-movie"]
    folder = place(
        "douban-movie", **{name: text.decode().encode(encoding) for name, text in files.items()}
    )
    events, catalogue = SOURCES["douban-movie"].load(folder, "earliest")
    assert rows(events) == [
        ("3", "10", 1200441600000000, 4.0),
        ("3", "11", 1200528000000000, None),
        ("4", "10", 1272758400000000, 5.0),
    ]
    assert titles(catalogue) == {"10": "肖申克的救赎", "11": "霸王别姬"}
    assert categories(catalogue) == {"10": ["剧情", "犯罪"], "11": ["爱情", "同性"]}
    assert categories(catalogue, "labels") == {"10": ["爱情", "喜剧", "经典"], "11": []}


def test_douban_in_neither_encoding_is_refused(place: Place) -> None:
    folder = place("douban-movie", **{"moviereviews_cleaned.txt": b'"user_id"\xff\xff\n"1"\n'})
    with pytest.raises(DataError, match="byte 0xff in line 1, column 10, and no gb18030"):
        SOURCES["douban-movie"].load(folder, "earliest")


def test_amazon_2018(place: Place) -> None:
    events, catalogue = read("amazon-2018", place)
    assert rows(events)[0] == ("A3CIUOJXQ5VDQ2", "B0000530HU", 1472688000, 5.0)
    assert titles(catalogue) == {"B0000530HU": "Old Spice & Co", "B1": ""}
    assert categories(catalogue) == {"B0000530HU": ["Beauty & Care > Shaving"], "B1": []}
    assert categories(catalogue, "levels")["B0000530HU"] == ["Beauty & Care", "Shaving"]
    assert categories(catalogue, "brand") == {"B0000530HU": ["Old Spice"], "B1": []}


def test_amazon_2023(place: Place) -> None:
    events, catalogue = read("amazon-2023", place)
    assert rows(events)[0] == ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8EO", 1588687728923, 5.0)
    assert categories(catalogue) == {"B00YQ6X8EO": ["Hair > Sprays"], "B2": []}
    assert categories(catalogue, "main_category")["B2"] == ["All Beauty"]


def test_amazon_folder_must_hold_one_category(place: Place) -> None:
    folder = place("amazon-2023")
    (folder / "Toys.jsonl").write_bytes(b"{}\n")
    with pytest.raises(InvalidInputError, match=re.escape("must hold one file CATEGORY.jsonl and")):
        SOURCES["amazon-2023"].load(folder, "earliest")


def test_later_row_counts_if_that_is_the_rule(place: Place) -> None:
    twice = lines("1::1::5::100", "1::1::3::200", "2::3::4::1")
    folder = place("ml-1m", **{"ratings.dat": twice})
    for rule, wanted in (("earliest", 5.0), ("latest", 3.0)):
        with pytest.warns(DataWarning, match=f"the {rule} of each is kept"):
            events, _ = SOURCES["ml-1m"].load(folder, rule)
        assert rows(events)[0][3] == wanted
    with pytest.raises(DataError, match="in 1 of 3 rows, and repeats are refused"):
        SOURCES["ml-1m"].load(folder, "refuse")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("movietweetings", (21_081, 12_611, 141_695)),
        ("steam-australia", (25_467, 3_682, 58_242)),
        ("steam-200k", (12_393, 5_155, 128_804)),
    ],
)
def test_files_at_hand_have_the_counts_of_their_description(
    name: str, counts: tuple[int, int, int], data_dir: Path, tmp_path: Path
) -> None:
    folder = data_dir / (SOURCES[name].folder or name)
    if SOURCES[name].missing(folder):
        pytest.skip(f"{name} is not in {data_dir}")
    if name == "steam-200k":  # without the games' genres, which take seconds to read
        for path in folder.glob("steam200k_*"):
            (tmp_path / path.name).symlink_to(path)
        folder = tmp_path
    table = SOURCES[name].load(folder, "earliest")[0].table
    assert (table["user_id"].n_unique(), table["item_id"].n_unique(), table.height) == counts


@pytest.mark.parametrize(
    ("name", "file", "header", "row"),
    [
        (
            "douban-movie",
            "moviereviews_cleaned.txt",
            '"user_id"\t"movie_id"\t"rating"\t"comment"\t"time"\t"labels"\n',
            '"{user}"\t"{item}"\t"4"\t"好"\t"2010-01-{day:02}"\t"x"\n',
        ),
        (
            "steam",
            "steam_reviews.json",
            "",
            "{{u'username': u'n{user}', u'product_id': u'{item}', u'date': u'2015-01-{day:02}'}}\n",
        ),
    ],
)
def test_layout_of_a_set_that_is_not_at_hand_goes_through_the_filters(
    name: str, file: str, header: str, row: str, place: Place
) -> None:
    text = header + "".join(
        row.format(user=user, item=item, day=item + 1)
        for user in range(8)
        for item in range(7)
        if item < 6 or user == 0
    )
    root = place(name, **{file: text.encode()}).parent
    dataset = load_dataset(name, data_dir=root)
    # Item 6 has one review; the catalogue of the sample names none of the others.
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (8, 6, 48)
    assert dataset.answers("test").tolist() == [6] * 8
    assert dataset.removed[0].interactions == 1
