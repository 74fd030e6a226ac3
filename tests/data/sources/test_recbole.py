"""RecBole's atomic files."""

import re
from pathlib import Path

import pytest

from proactrec.data.sources.recbole import load
from proactrec.errors import DataError, InvalidInputError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("header", "categories"),
    [
        ("item_id:token\tmovie_title:token_seq\tclass:token_seq", ["Action", "Sci-Fi"]),
        ("item_id:token\tname:token\tgenre:token_seq", ["Action", "Sci-Fi"]),
        # A category that is no sequence is not one of the columns that hold categories.
        ("item_id:token\ttitle:token\tgenre:token", []),
    ],
)
def test_folder_with_events_and_items_is_read(
    header: str, categories: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "ml.inter", INTER + "1\t07\t5\t10.0\n1\t8\t5\t9.0\n")
    write(tmp_path / "ml.item", f'{header}\n07\tToy "Story\tAction Sci-Fi\n8\tB\t\n')
    events, catalogue = load(tmp_path)
    assert events.table.rows() == [("1", "07", 10, 5.0), ("1", "8", 9, 5.0)]
    assert catalogue.table.rows() == [("07", 'Toy "Story', categories), ("8", "B", [])]


def test_events_alone_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "ml.inter", INTER + "1\t7\t5\t10\n")
    _, catalogue = load(path)
    assert catalogue.table.rows() == [("7", "7", [])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id\titem_id:token\n1\t2\n", "must have headers of the form name:type with a type"),
        ("user_id:token\titem_id:int\n1\t2\n", "got 'item_id:int'"),
        ("user_id:token\titem_id:token\n1\t2\n", "lacks the column(s) ['timestamp']"),
        (INTER, "has a header but no rows"),
        (INTER + "1\t2\t3\tlater\n", "first row 1 with 'later'"),
    ],
)
def test_bad_events_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "ml.inter", text)
    with pytest.raises(DataError, match=re.escape(message)):
        load(path)


def test_folder_must_hold_one_inter_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("exactly one .inter file, got []")):
        load(tmp_path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("no.inter does not exist")):
        load(tmp_path / "no.inter")
