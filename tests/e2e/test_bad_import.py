"""Logs that are not as they should be: one sentence, or a warning with a count; no row vanishes."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from .conftest import Command, Outcome

pytestmark = pytest.mark.filterwarnings("always::proactrec.errors.DataWarning")

HEADER = "user,item,time\n"
LINES = [f"u{n % 9},i{n % 7},2024-01-{1 + n % 28:02}T10:00:00Z" for n in range(200)]
ROWS = "".join(f"{line}\n" for line in LINES)


def write(folder: Path, content: str | bytes, name: str = "e.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder: Path, **columns: object) -> Path:
    path = folder / "e.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


def whole_parquet(folder: Path) -> bytes:
    return parquet(folder, user=["a"] * 99, item=["b"] * 99, time=list(range(99))).read_bytes()


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing file": (lambda f: f / "none.csv", "none.csv does not exist"),
    "pattern without files": (lambda f: f / "*.csv", "*.csv holds no file that ends in .csv"),
    "empty folder": (lambda f: f, "holds no file that ends in .csv"),
    "unknown type": (lambda f: write(f, ROWS, "e.xlsx"), "e.xlsx must end in .csv"),
    "empty file": (lambda f: write(f, ""), "e.csv is empty"),
    "blank lines only": (lambda f: write(f, "\n\n \n"), "holds nothing but blank lines"),
    "header only": (lambda f: write(f, HEADER), "e.csv has no rows"),
    "no header": (lambda f: write(f, "1,2,3\n4,5,6\n"), "seems to have no header"),
    "column twice": (
        lambda f: write(f, "user,item,item,time\nu,a,b,1\n"),
        "no column can be told to hold the items",
    ),
    "columns that say nothing": (
        lambda f: write(f, "a,b,c\nx,y,z\n"),
        "no column can be told to hold the users: give --user COLUMN; there are ['a', 'b', 'c']",
    ),
    "old Mac line ends": (
        lambda f: write(f, (HEADER + ROWS).replace("\n", "\r")),
        "ends its lines with \\r alone",
    ),
    "utf-16": (
        lambda f: write(f, (HEADER + ROWS).encode("utf-16")),
        "is utf-16 text: give --encoding utf-16",
    ),
    "header in another encoding": (
        lambda f: write(f, ("üser,item,time\n" + ROWS).encode("latin-1")),
        "is not UTF-8 text: byte 0xfc in line 1; give --encoding",
    ),
    "binary": (lambda f: write(f, bytes(range(256)) * 40), "line 1 holds NUL bytes"),
    "truncated gzip": (
        lambda f: write(f, gzip.compress((HEADER + ROWS).encode())[:-50], "e.csv.gz"),
        "e.csv.gz is not a whole gzip file",
    ),
    "gzip that is none": (
        lambda f: write(f, HEADER + ROWS, "e.csv.gz"),
        "e.csv.gz is not a whole gzip file",
    ),
    "empty gzip": (lambda f: write(f, gzip.compress(b""), "e.csv.gz"), "e.csv.gz is empty"),
    "parquet that is none": (
        lambda f: write(f, HEADER + ROWS, "e.parquet"),
        "e.parquet is not a whole Parquet file",
    ),
    "truncated parquet": (
        lambda f: write(f, whole_parquet(f)[:-60], "cut.parquet"),
        "cut.parquet is not a whole Parquet file",
    ),
    "damaged parquet": (
        lambda f: write(f, whole_parquet(f)[:80].replace(b"\x15", b"\xff") + whole_parquet(f)[80:]),
        "e.csv",
    ),
    "ids in lists": (
        lambda f: parquet(f, user=[["a"], ["b"]], item=["x", "y"], time=[1_700_000_000] * 2),
        "user must hold ids in",
    ),
    "ids as rounded floats": (
        lambda f: parquet(f, user=[1.5e17, 2e17], item=["x", "y"], time=[1_700_000_000] * 2),
        "beyond 2^53 they were rounded",
    ),
    "times that are spans": (
        lambda f: parquet(f, user=["a", "b"], item=["x", "y"], time=[timedelta(1)] * 2),
        "time holds times without a date",
    ),
    "times of no known form": (
        lambda f: write(f, HEADER + "u,i,03/01/2024\nu,j,04/01/2024\n"),
        "time holds no times that are understood, first '03/01/2024': give --time-format",
    ),
    "half the times are missing": (
        lambda f: write(f, HEADER + ROWS + "".join(f"u{n},i,\n" for n in range(50))),
        "50 of 250 rows of",
    ),
    "every user is missing": (
        lambda f: write(f, HEADER + "".join(f"NULL,i{n},2024-01-01\n" for n in range(9))),
        "9 rows left out: user holds no user (first:",
    ),
    "times before 1980": (
        lambda f: write(f, HEADER + "".join(f"u{n},i,0001-01-01\n" for n in range(9))),
        "time is outside the years 1980 to 2100",
    ),
    "json list": (
        lambda f: write(f, json.dumps([{"user": 1}]), "e.json"),
        "begins as one JSON list; one object a line is needed",
    ),
    "no json": (lambda f: write(f, "hello\nworld\n", "e.jsonl"), "has no line that is a JSON"),
    "a file that lacks a column": (
        lambda f: write(write(f, HEADER + ROWS).parent, "user,item\nu,i\n", "f.csv").parent,
        "f.csv lacks the column(s) ['time']",
    ),
}

GUESSED = ("column twice", "columns that say nothing", "times of no known form")
"""Kinds for which no column is named."""

COUNTED: dict[str, tuple[str | bytes, str, int]] = {
    "missing user": (",i1,2024-01-01", "1 row left out: user holds no user", 1),
    "blank item": ("u1,  ,2024-01-01", "1 row left out: item holds no item", 1),
    "id that says it is none": ("u1,NaN,2024-01-01", "item holds no item (first", 1),
    "missing time": ("u1,i1,", "time holds no time", 1),
    "too few values": ("u1,i1", "time holds no time", 1),
    "unreadable time": ("u1,i1,yesterday", "time cannot be read as a time", 1),
    "impossible day": ("u1,i1,2024-02-30", "time cannot be read as a time", 1),
    "time of the year 1": ("u1,i1,0001-01-01", "outside the years 1980 to 2100", 1),
    "too many values": ("u1,i1,2024-01-01,x", "more values than the header (3)", 1),
    "unclosed quote": ('"u1,i1,2024-01-01', "a quote is not closed", 1),
    "other encoding in one line": (b"u\xeb,i1,2024-01-01", "the line is not UTF-8 text", 1),
    "NUL in an id": ("u\0,i1,2024-01-01", "user holds a line end or NUL", 1),
    "id over two lines": ('"u\n1",i1,2024-01-01', "user holds a line end or NUL", 1),
}


def run(here: Command, path: Path, out: Path, *more: str) -> Outcome:
    return here("data", "import", str(path), "--out", out, "--yes", *more)


@pytest.mark.parametrize("kind", BAD)
def test_unusable_logs_end_in_one_sentence(kind: str, here: Command, tmp_path: Path) -> None:
    folder, out = tmp_path / "logs", tmp_path / "out"
    folder.mkdir()
    make, fragment = BAD[kind]
    named = [] if kind in GUESSED else ["--user", "user", "--item", "item", "--time", "time"]
    outcome = run(here, make(folder), out, *named)
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert len(outcome.errors) == 1
    assert fragment in outcome.errors[0]
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]  # nothing unfinished is left


@pytest.mark.parametrize("kind", COUNTED)
def test_a_bad_line_is_counted_and_costs_no_other(kind: str, here: Command, tmp_path: Path) -> None:
    line, fragment, n_bad = COUNTED[kind]
    bad = line if isinstance(line, bytes) else line.encode()
    middle = "\n".join(LINES[:100]).encode() + b"\n" + bad + b"\n"
    rest = "\n".join(LINES[100:]).encode()
    path = write(tmp_path, HEADER.encode() + middle + rest)
    outcome = run(here, path, tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert fragment in outcome.stderr
    assert f"{path}, line 102" in outcome.stderr
    steps = dict(json.loads(outcome.stdout)["steps"])
    assert steps["rows read"] == 200 + n_bad
    assert steps["unusable rows"] == -n_bad
    assert sum(steps.values()) == 2 * steps["interactions written"]


def test_bad_json_lines_are_counted(here: Command, tmp_path: Path) -> None:
    good = [
        json.dumps({"user": {"id": n % 5}, "item": n % 7, "time": 1_700_000_000 + n})
        for n in range(100)
    ]
    bad = ["{", "[1]", "", '{"user": {"id": 1}, "item": null, "time": 1700000000}']
    path = write(tmp_path, "\n".join([*good[:50], *bad, *good[50:]]), "e.jsonl")
    outcome = run(here, path, tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "the line is no JSON (" in outcome.stderr
    assert "the line is no JSON object (first:" in outcome.stderr
    assert "item holds no item" in outcome.stderr
    assert dict(json.loads(outcome.stdout)["steps"])["unusable rows"] == -3


BAD_ITEMS = {
    "header only": ("item,title\n", "items.csv has no rows"),
    "empty": ("", "items.csv is empty"),
    "nothing like an id": ("title,genre\nA long title,Drama\n", "give --items-id COLUMN"),
    "all ids missing": ("item,title\n,A\nnull,B\n", "2 of 2 rows of"),
}


@pytest.mark.parametrize("kind", BAD_ITEMS)
def test_unusable_items_end_in_one_sentence(kind: str, here: Command, tmp_path: Path) -> None:
    content, fragment = BAD_ITEMS[kind]
    items = write(tmp_path, content, "items.csv")
    outcome = run(here, write(tmp_path, HEADER + ROWS), tmp_path / "out", "--items", str(items))
    assert outcome.code == 2
    assert fragment in outcome.errors[0]
    assert not (tmp_path / "out").exists()


def test_bad_items_are_counted(here: Command, tmp_path: Path) -> None:
    rows = ["i0,Zero,Drama", ",None,Drama", "i1,One,War,more", 'i2,5" disk,War', "i0,Nought,War"]
    items = write(tmp_path, "\n".join(["item,title,genre", *rows, "", ""]), "items.csv")
    more = ["--items", str(items), "--max-bad", "0.5", "--json"]
    outcome = run(here, write(tmp_path, HEADER + ROWS), tmp_path / "out", *more)
    assert outcome.code == 0, outcome.stderr
    for sentence in (
        "1 row left out: item holds no item (first:",
        "1 row left out: the line has more values than the header (3)",
        "1 further rows of items were joined with their first row",
        "1 items have rows with different titles; the first is kept",
        "5 items of the events are not in the item files, first 'i",
    ):
        assert sentence in outcome.stderr
    table = pl.read_parquet(tmp_path / "out" / "items.parquet")
    assert table.filter(item_id="i0").row(0)[1:3] == ("Zero", ["Drama", "War"])
    assert table.filter(item_id="i2")["title"].item() == '5" disk'


BAD_OPTIONS = {
    "unknown column": (["--user", "who"], "lacks the column(s) ['who']; there are ['user'"),
    "unknown zone": (["--time-zone", "Mars/Base"], "time zone 'Mars/Base' does not exist"),
    "unknown encoding": (["--encoding", "klingon"], "encoding 'klingon' does not exist"),
    "unknown unit": (["--time-unit", "weeks"], "--time-unit must be auto"),
    "weight without number": (["--weight", "view"], "--weight must have the form KIND=NUMBER"),
    "negative weight": (["--weight", "view=-1"], "at least 0, got 'view=-1'"),
    "weights without kinds": (["--weight", "buy=1"], "weights need a column of kinds of events"),
    "weights that drop all": (
        ["--weight", "buy=1", "--event-type", "item", "--item", "item"],
        "no event has a weight above 0",
    ),
    "weight that nobody reaches": (["--min-weight", "99"], "no user and item reach the weight 99"),
    "long separator": (["--separator", "::"], "at most 1 character"),
    "unknown handling of bots": (["--bots", "shoot"], "--bots must be flag or drop, got 'shoot'"),
    "share above one": (["--max-bad", "2"], "--max-bad must be at most 1, got 2"),
    "item file missing": (["--items", "/none.csv"], "/none.csv does not exist"),
}


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_bad_options_end_in_one_sentence(kind: str, here: Command, tmp_path: Path) -> None:
    arguments, fragment = BAD_OPTIONS[kind]
    outcome = run(here, write(tmp_path, HEADER + ROWS), tmp_path / "out", *arguments)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert fragment in outcome.errors[0]
    assert not (tmp_path / "out").exists()


def test_guesses_need_a_yes(here: Command, tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + ROWS)
    outcome = here("data", "import", path, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "need a yes: give --yes, or name them (--time, --user, --item)" in outcome.errors[0]
    named = ["--user", "user", "--item", "item", "--time", "time", "--event-type", ""]
    assert here("data", "import", path, "--out", tmp_path / "out", *named).code == 0


def test_out_is_never_overwritten_by_accident(here: Command, tmp_path: Path) -> None:
    path, out = write(tmp_path, HEADER + ROWS), tmp_path / "out"
    out.mkdir()
    other = write(out, "precious", "thesis.txt")
    assert "is not empty, and no earlier import" in run(here, path, out, "--overwrite").errors[0]
    assert other.read_text() == "precious"
    other.unlink()
    assert run(here, path, out).code == 0
    assert "holds an import already: give --overwrite" in run(here, path, out).errors[0]
    shorter = write(tmp_path, HEADER + "".join(f"{line}\n" for line in LINES[:15]), "f.csv")
    assert run(here, shorter, out, "--overwrite").code == 0
    assert pl.read_parquet(out / "events.parquet").height < 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.csv", "f.csv", "out"]


def test_an_import_opens_as_a_data_set(here: Command, tmp_path: Path) -> None:
    path, out = write(tmp_path, HEADER + ROWS), tmp_path / "out"
    assert run(here, path, out).code == 0
    outcome = here("data", "describe", "--dataset", out, "--filter", "none", "--json")
    numbers = json.loads(outcome.stdout)
    assert numbers["n_users"] == 9
    assert numbers["first_time"][:10] == datetime(2024, 1, 1, tzinfo=UTC).date().isoformat()
    assert "<h1>What was imported" in (out / "report.html").read_text()


@pytest.mark.parametrize("damage", ["events.parquet", "items.parquet", "import.yaml"])
def test_a_damaged_import_is_refused(damage: str, here: Command, tmp_path: Path) -> None:
    path, out = write(tmp_path, HEADER + ROWS), tmp_path / "out"
    run(here, path, out)
    (out / damage).write_bytes(b"\xff\xff")
    outcome = here("data", "describe", "--dataset", out)
    assert outcome.code == 2
    assert damage in outcome.errors[0]
