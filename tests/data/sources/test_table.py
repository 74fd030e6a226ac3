"""Own logs: what is read, what is repaired with a warning, what is refused in one sentence."""

import gzip
import re
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.data.sources.table import TableOptions, load
from proactrec.errors import DataError, DataWarning, InvalidInputError

HEAD = "user_id,item_id,timestamp\n"
DAY_1 = 315_532_800_000_000
"""The first moment of 1980 in microseconds."""


def write(folder: Path, text: str, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


def timestamps(path: Path) -> list[int]:
    events, _ = load(TableOptions(events=path))
    return events.table["timestamp"].to_list()


def test_events_alone_give_ids_for_titles_and_no_categories(tmp_path: Path) -> None:
    events, catalogue = load(TableOptions(events=write(tmp_path, HEAD + "u1,007,3\nu1,7,2\n")))
    assert events.table.rows() == [("u1", "007", 3), ("u1", "7", 2)]
    assert catalogue.table.rows() == [("007", "007", []), ("7", "7", [])]


def test_items_bring_titles_and_categories(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "u1,a,3\nu1,b,2\n")
    items = write(
        tmp_path,
        'item_id,title,categories\na,"One, two",x| y |x\nb,B,\n',
        "items.csv",
    )
    _, catalogue = load(TableOptions(events=path, items=items))
    assert catalogue.table.rows() == [("a", "One, two", ["x", "y"]), ("b", "B", [])]


def test_levels_of_categories_are_told_by_what_stands_between_them(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "u1,a,3\nu1,b,2\n")
    text = "item_id,title,categories\na,A,Home/Kitchen|Sale/\nb,B,Home > Garden\n"
    items = write(tmp_path, text, "items.csv")
    for separator, expected in (
        ("/", [["Home > Kitchen", "Sale"], ["Home > Garden"]]),
        (None, [["Home/Kitchen", "Sale/"], ["Home > Garden"]]),
    ):
        options = TableOptions(events=path, items=items, level_separator=separator)
        assert load(options)[1].table["categories"].to_list() == expected


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, "who\twhat\nu\tb\nu\ta\n", "log.tsv")
    items = write(tmp_path, "what\ttags\na\tx;y\nb\t\n", "items.tsv")
    events, catalogue = load(
        TableOptions(
            events=path,
            items=items,
            user_column="who",
            item_column="what",
            time_column=None,
            title_column=None,
            category_column="tags",
            category_separator=";",
        )
    )
    assert events.table.rows() == [("u", "b", 0), ("u", "a", 1)]
    assert catalogue.table.rows() == [("a", "a", ["x", "y"]), ("b", "b", [])]


def test_gzip_and_windows_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    text = "\ufeff" + HEAD + "u,a,1\nu,é,2\n\n\n"
    path.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    events, _ = load(TableOptions(events=path))
    assert events.table.rows() == [("u", "a", 1), ("u", "é", 2)]


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    path, items = tmp_path / "events.parquet", tmp_path / "items.parquet"
    when = pl.Series(["2020-01-01T00:00:00", "1980-01-01T00:00:01"]).str.to_datetime()
    pl.DataFrame({"user_id": [1, 2], "item_id": [5, 5], "timestamp": when}).write_parquet(path)
    table = {"item_id": [5], "title": ["Five"], "categories": [["x", "", "x"]]}
    pl.DataFrame(table).write_parquet(items)
    events, catalogue = load(TableOptions(events=path, items=items))
    assert events.table.rows() == [
        ("1", "5", 1_577_836_800_000_000),
        ("2", "5", 315_532_801_000_000),
    ]
    assert catalogue.table.rows() == [("5", "Five", ["x"])]


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        (["3", "1"], [3, 1]),
        (["1700000000123456789", "400000000000000000"], [1_700_000_000_123_456_789, 4 * 10**17]),
        (["1700000000", "3000000000"], [1_700_000_000, 3_000_000_000]),
        (["3.0", "1e3"], [3, 1000]),
        (["1.25", "1.5"], [1_250_000, 1_500_000]),
        (["1980-01-01", "1980-01-02T00:00:00Z"], [DAY_1, DAY_1 + 86_400_000_000]),
        (["1980-01-01T01:00:00+01:00", "1980-01-01 00:00:00.5"], [DAY_1, DAY_1 + 500_000]),
    ],
)
def test_times_are_read(times: list[str], wanted: list[int], tmp_path: Path) -> None:
    rows = "".join(f"u,{item},{time}\n" for item, time in enumerate(times))
    assert timestamps(write(tmp_path, HEAD + rows)) == wanted


def test_repeated_pair_keeps_the_earliest_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "u,a,5\nu,b,4\nu,a,3\nu,a,3\n")
    message = "events.csv repeats a (user, item) pair in 2 of 4 rows; the earliest of each is kept"
    with pytest.warns(DataWarning, match=re.escape(message)):
        events, _ = load(TableOptions(events=path))
    assert events.table.rows() == [("u", "b", 4), ("u", "a", 3)]


def test_missing_title_becomes_the_id_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "u,a,5\n")
    items = write(tmp_path, "item_id,title,categories\na,,x\nb,B,x\n", "items.csv")
    with pytest.warns(DataWarning, match=re.escape("items.csv has no title for 1 of 2 items")):
        _, catalogue = load(TableOptions(events=path, items=items))
    assert catalogue.table["title"].to_list() == ["a", "B"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "events.csv is empty"),
        ("\n\n", "events.csv is empty"),
        (HEAD, "events.csv has a header but no rows"),
        ("user_id;item_id;timestamp\nu;a;1\n", "lacks the column(s) ['user_id', 'item_id', 'times"),
        ("a,a\n1,2\n", "events.csv has more than one column of the name(s) ['a']"),
        (HEAD + "u,a,1\nu,b,1,9\n", "is not a table separated by ','"),
        (HEAD + "u,a\nu,b,1\n", "1 of 2 rows break this, first row 1 with None"),
        (HEAD + "u,a,1\n,b,1\n", "user_id must be an id in "),
        (HEAD + "u,a,1\n,b,1\n", "1 of 2 rows break this, first row 2 with None"),
        (HEAD + "u,NaN,1\nu, ,1\n", "2 of 2 rows break this, first row 1 with 'NaN'"),
        (HEAD + "u,a,1\nu,b,-2\nu,c,-3\n", "2 of 3 rows break this, first row 2 with '-2'"),
        (HEAD + "u,a,1\nu,b,noon\n", "1 of 2 rows break this, first row 2 with 'noon'"),
        (HEAD + "u,a,2020-01-01\nu,b,2020-13-01\n", "first row 2 with '2020-13-01'"),
        (HEAD + "u,a,1.5\nu,b,inf\n", "first row 2 with 'inf'"),
        (HEAD + "u,a,1\nu,b,\n", "timestamp must be a number from 0 on or an ISO 8601 time in"),
        (HEAD + "u,a,2020-01-01\nu,b,9999-12-31\n", "must be in the years 1980 to 2100 in"),
        (HEAD + "u,a,2020-01-01\nu,b,9999-12-31\n", "first row 2 with '9999-12-31', line 3"),
        (HEAD + "u,a,1970-01-01\nu,b,2020-01-01\n", "first row 1 with '1970-01-01'"),
        (HEAD + "u,a,1700000000\nu,b,0\nu,c,1700000001\n", "first row 2 with '0'"),
        (HEAD + "u,a,1700000000.5\nu,b,1\nu,c,1700000001\n", "first row 2 with '1'"),
        (HEAD + "u,a\0b,1\nu,b,1\n", "item_id must hold no line end and no NUL in"),
        (HEAD + '"u\nv",a,1\nu,b,1\n', "user_id must hold no line end and no NUL in"),
        (HEAD + '"u\rv",a,1\nu,b,1\n', "1 of 2 rows break this, first row 1 with 'u\\rv'"),
    ],
)
def test_bad_events_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(TableOptions(events=path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", "user_id\nä".encode("latin-1"), "e.csv is not utf-8 text: byte 0xe4 in line 2"),
        ("e.csv", b"\x00\xff\xfe", "e.csv is not utf-8 text: byte 0xff in line 1"),
        (
            "e.csv.gz",
            gzip.compress(b"user_id," * 99, mtime=0)[:-12],  # a time would be in the test's name
            "e.csv.gz is not a whole gzip file: ",
        ),
        ("e.csv.gz", b"user_id,item_id\n", "e.csv.gz is not a whole gzip file: "),
        ("e.parquet", b"PAR1 and no more", "e.parquet is not a Parquet file: "),
        ("e.parquet", b"", "e.parquet is empty"),
    ],
)
def test_damaged_file_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)):
        load(TableOptions(events=path))


def test_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.csv", "none.csv does not exist"),
        (tmp_path / "folder.csv", "folder.csv is a folder, a file is needed"),
        (
            tmp_path / "events.xls",
            "must end in .csv, .tsv, .jsonl, .csv.gz, .tsv.gz, .jsonl.gz or .parquet",
        ),
    ):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(InvalidInputError, match=re.escape(message)):
            load(TableOptions(events=path))


@pytest.mark.parametrize(
    ("column", "value"), [("user_id", ["a"]), ("timestamp", timedelta(1)), ("item_id", {"a": 1})]
)
def test_column_of_a_type_without_text_is_refused(
    column: str, value: object, tmp_path: Path
) -> None:
    path = tmp_path / "events.parquet"
    row = {"user_id": "a", "item_id": "x", "timestamp": 1, column: value}
    pl.DataFrame([row]).write_parquet(path)
    with pytest.raises(DataError, match=re.escape(f"{column} must hold ")):
        load(TableOptions(events=path))


def test_an_import_and_a_file_opened_directly_refuse_the_same(tmp_path: Path) -> None:
    rows = {
        "good": ("u", "a", "2020-01-01"),
        "NUL": ("u\0", "b", "2020-01-01"),
        "line end": ('"u\nv"', "c", "2020-01-01"),
        "no id": ("NaN", "d", "2020-01-01"),
        "year 9999": ("u", "e", "9999-01-01"),
        "year 1970": ("u", "f", "1970-01-02"),
        "no time": ("u", "g", "noon"),
    }
    for name, row in rows.items():
        text = HEAD + "v,x,2020-01-02\nv,y,2020-01-03\n" + ",".join(row) + "\n"
        path, refused = write(tmp_path, text), []
        for read in (
            lambda path=path: load(TableOptions(events=path)),
            lambda path=path: strict(path),
        ):
            try:
                read()
            except DataError:
                refused.append(name)
        assert refused in ([], [name] * 2), "refused by one reader only"
        assert bool(refused) == (name != "good")


def strict(path: Path) -> None:
    """An import that takes no bad row."""
    with Import(ImportOptions(events=(str(path),), max_bad_share=0), path.parent / "out") as job:
        job.run()
    shutil.rmtree(path.parent / "out")


def test_numbers_as_ids_are_digits_as_in_an_import(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    columns = {"user_id": [7.0, 8.5], "item_id": [b"\x01", b"\xff"], "timestamp": [1, 2]}
    pl.DataFrame(columns).write_parquet(path)
    events, _ = load(TableOptions(events=path))
    assert events.table.rows() == [("7", "01", 1), ("8.5", "ff", 2)]


def test_one_column_cannot_mean_two_things(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="different columns, got 'item_id' twice"):
        TableOptions(events=tmp_path / "e.csv", user_column="item_id")


def test_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("TableOptions.user")):
        TableOptions(events=tmp_path / "e.csv", user="who")
