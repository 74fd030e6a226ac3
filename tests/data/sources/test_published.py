"""The published data sets, as they lie in the data folder: counts of the published tables."""

from pathlib import Path

import polars as pl
import pytest

from proactrec.data.filters import filter_interactions
from proactrec.data.interactions import keep_one
from proactrec.data.load import load_dataset
from proactrec.data.sources import lastfm
from proactrec.errors import DataError


@pytest.mark.parametrize(
    ("name", "filter", "counts"),
    [
        ("ml-100k", "paper", (943, 1_348, 98_704)),
        ("ml-100k", "k-core", (943, 1_349, 99_287)),
        ("ml-100k", "none", (943, 1_682, 100_000)),
        ("lastfm", "paper", (945, 2_782, 34_756)),
        # Artists without a name are left out first.
        ("lastfm", "k-core", (1_090, 3_646, 52_551)),
    ],
)
def test_counts_are_those_of_the_published_table(
    name: str, filter: str, counts: tuple[int, int, int], data_dir: Path
) -> None:
    dataset = load_dataset(name, data_dir=data_dir, filter=filter)
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == counts


def test_plain_core_of_all_tagged_artists_is_the_one_of_other_papers(data_dir: Path) -> None:
    tagged = lastfm._first_tags(data_dir / "lastfm").drop("tag_id")
    kept = filter_interactions(keep_one(tagged, "lastfm"), "k-core").table
    counts = (kept["user_id"].n_unique(), kept["item_id"].n_unique(), kept.height)
    assert counts == (1_090, 3_646, 52_551)


def test_target_categories_have_the_published_sizes(data_dir: Path) -> None:
    films = load_dataset("ml-100k", data_dir=data_dir, filter="paper")
    artists = load_dataset("lastfm", data_dir=data_dir, filter="paper")
    assert len(films.items.of_category("Sci-Fi")) == 96
    assert len(artists.items.of_category("hard rock")) == 229


def test_film_titles_are_read_as_latin_1(data_dir: Path) -> None:
    films = load_dataset("ml-100k", data_dir=data_dir)
    assert "Misérables, Les (1995)" in films.titles
    assert films.titles[0] == "Toy Story (1995)"
    assert films.categories[0] == ("Animation", "Children's", "Comedy")


def test_truncated_ratings_are_refused(tmp_path: Path, data_dir: Path) -> None:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    for name in ("u.item", "u.genre"):
        (folder / name).write_bytes((data_dir / "ml-100k" / name).read_bytes())
    (folder / "u.data").write_bytes((data_dir / "ml-100k" / "u.data").read_bytes()[:-11])
    with pytest.raises(DataError, match=r"timestamp must not be missing in .*u\.data; 1 of 100000"):
        load_dataset("ml-100k", data_dir=tmp_path)


def test_small_lastfm_is_read_by_hand(tmp_path: Path) -> None:
    (tmp_path / "artists.dat").write_text('id\tname\turl\n1\tA "x\tu\n2\tB\tu\n', newline="")
    (tmp_path / "tags.dat").write_text("tagID\ttagValue\r\n7\trock\r\n8\tpop\r\n", newline="")
    rows = ["1\t1\t7\t-5", "1\t1\t8\t-5", "1\t2\t8\t9", "2\t1\t8\t9", "2\t3\t7\t9"]
    head = "userID\tartistID\ttagID\ttimestamp"
    path = tmp_path / "user_taggedartists-timestamps.dat"
    path.write_text("\r\n".join([head, *rows, ""]), newline="")
    events, catalogue = lastfm.load(tmp_path)
    # Only the first tag of a pair counts.
    assert events.table.rows() == [("1", "1", -5), ("1", "2", 9), ("2", "1", 9), ("2", "3", 9)]
    assert catalogue.table.rows() == [
        ("1", 'A "x', ["rock", "pop"], ["rock", "pop"]),
        ("2", "B", ["pop"], ["pop"]),
        ("3", "", ["rock"], ["rock"]),
    ]
    assert catalogue.table.schema["categories"] == pl.List(pl.String)
