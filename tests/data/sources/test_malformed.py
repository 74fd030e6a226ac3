# ruff: noqa: E501
"""Malformed files of every layout: one sentence with file, line and column, or a counted warning.

Each goes through the real command: no traceback, and never silently fewer rows.
"""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from proactrec.cli.main import main
from proactrec.data.sources import SOURCES
from proactrec.errors import DataError

from .conftest import LAYOUTS, Place, lines

Change = Callable[[bytes], bytes]

OWN = {
    "csv": ("events.csv", lines("user_id,item_id,timestamp", "u,a,1", 'v,"b, c",2', "v,a,3")),
    "tsv": ("events.tsv", lines("user_id\titem_id\ttimestamp", "u\ta\t1", "v\tb\t2", "v\ta\t3")),
    "jsonl": (
        "events.jsonl",
        lines(
            '{"user_id": "u", "item_id": 1, "timestamp": 1}',
            '{"user_id": "v", "item_id": 2, "timestamp": 2.5}',
            "",
            '{"user_id": "v", "item_id": 1, "timestamp": 3}',
        ),
    ),
    "recbole": (
        "x.inter",
        lines("user_id:token\titem_id:token\ttimestamp:float", "u\ta\t1", "v\tb\t2", "v\ta\t3"),
    ),
}


class Case(NamedTuple):
    """A set, one of its files, what is done to it, and what must be said."""

    set: str
    file: str
    change: Change
    said: str


def swap(old: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


def to(content: bytes) -> Change:
    return lambda _: content


def cut(n: int) -> Change:
    return lambda content: content[:-n]


def added(row: bytes) -> Change:
    return lambda content: content + row


def own(name: str, change: Change, said: str) -> Case:
    return Case(name, OWN[name][0], change, said)


DEEP = b"[" * 100_000
REFUSED: dict[str, Case] = {
    # MovieLens 100K: tabs and bars, no header
    "100k: cut in the last row": Case(
        "ml-100k",
        "u.data",
        cut(11),
        "timestamp must not be missing in {}; 1 of 3 rows break this, "
        "first row 3 with None, line 3",
    ),
    "100k: text for a rating": Case(
        "ml-100k",
        "u.data",
        swap(b"\t3\t", b"\tgood\t"),
        "rating must be a number in {}; 1 of 3 rows break this, first row 2 with 'good', line 2",
    ),
    "100k: spaces for tabs": Case(
        "ml-100k", "u.data", lambda c: c.replace(b"\t", b" "), "{} must have 4 columns separated by"
    ),
    "100k: column too many": Case(
        "ml-100k", "u.data", added(b"3\t1\t5\t8\t9\n"), "line 4 has 5 columns, the first line has 4"
    ),
    "100k: blank line between": Case(
        "ml-100k",
        "u.data",
        swap(b"874965758\n", b"874965758\n\n"),
        "user_id must not be missing in {}; 1 of 4 rows break this, first row 2 with None, line 2",
    ),
    "100k: genre unknown to the films": Case(
        "ml-100k",
        "u.genre",
        added(b"War|2\n"),
        "genre must not be missing in {}; 1 of 4 rows break this, first row 3 with None, line 3",
    ),
    "100k: film without a flag": Case(
        "ml-100k",
        "u.item",
        swap(b"|x|1|0", b"|x|1"),
        "Drama must not be missing in {}; 1 of 2 rows break this, first row 2 with None, line 2",
    ),
    "100k: no genres": Case("ml-100k", "u.genre", to(b""), "{} is empty"),
    "100k: rating of no film": Case(
        "ml-100k", "u.data", added(b"9\t77\t1\t1\n"), "name 1 items that the catalogue lacks, first"
    ),
    "100k: film twice": Case(
        "ml-100k", "u.item", lambda c: c + c, "catalogue ids must be unique; 2 occur more than once"
    ),
    # MovieLens 1M and 10M, MovieTweetings: `::`
    "1m: single colons": Case(
        "ml-1m",
        "ratings.dat",
        lambda c: c.replace(b"::", b":"),
        "line must have the form user_id::item_id::rating::timestamp in {}; 3 of 3 rows break this, "
        "first row 1 with '1:1:5:978300760', line 1",
    ),
    "1m: one row with a comma": Case(
        "ml-1m",
        "ratings.dat",
        swap(b"1::2::3", b"1::2,3"),
        "first row 2 with '1::2,3::978302109', line 2",
    ),
    "1m: fifth column": Case(
        "ml-1m",
        "ratings.dat",
        added(b"1::3::4::5::6\n"),
        "timestamp must be an integer in {}; 1 of 4 rows break this, first row 4 with '5::6', line 4",
    ),
    "1m: no user": Case(
        "ml-1m",
        "ratings.dat",
        added(b"::3::4::5\n"),
        "user_id must not be missing in {}; 1 of 4 rows break this, first row 4 with None, line 4",
    ),
    "1m: film without title": Case(
        "ml-1m", "movies.dat", swap(b"::A::", b"::::"), "title must not be missing in {}"
    ),
    "1m: infinite rating": Case(
        "ml-1m", "ratings.dat", swap(b"::3::9", b"::inf::9"), "rating must be a number in {}"
    ),
    "10m: films in Latin-1": Case(
        "ml-10m",
        "movies.dat",
        lambda c: c.decode().encode("latin-1"),
        "{} is not utf-8 text: byte 0xe9 in line 3, column 7",
    ),
    "10m: tag without film": Case(
        "ml-10m", "tags.dat", swap(b"15::1::", b"15::"), "line must have the form user_id::item_id"
    ),
    "tweetings: time with a fraction": Case(
        "movietweetings",
        "ratings.dat",
        swap(b"1381945744", b"1381945744.5"),
        "timestamp must be an integer in {}; 1 of 3 rows break this, first row 1",
    ),
    "tweetings: film without genres column": Case(
        "movietweetings",
        "movies.dat",
        swap(b"(1994)::", b"(1994)"),
        "first row 2 with '110912::Pul",
    ),
    "tweetings: UTF-16": Case(
        "movietweetings",
        "movies.dat",
        lambda c: c.decode().encode("utf-16"),
        "{} is not utf-8 text: byte 0xff in line 1, column 1",
    ),
    # MovieLens 20M to 32M: CSV with quotes
    "32m: quote that is never closed": Case(
        "ml-32m",
        "movies.csv",
        swap(b"Drama\n", b'Drama\n4,"Open,Drama\n'),
        "{} is not a table separated by ',': line 4, column 2: a quote is opened and never closed",
    ),
    "32m: quote inside a title": Case(
        "ml-32m",
        "movies.csv",
        swap(b"2,", b'4,5" disc,Drama\n2,'),
        "line 3, column 2: a quote inside a value that does not start with one",
    ),
    "32m: text after a quote": Case(
        "ml-32m",
        "movies.csv",
        added(b'4,"A" B,Drama\n'),
        "line 5, column 2: text after a closing q",
    ),
    "32m: unquoted comma": Case(
        "ml-32m",
        "movies.csv",
        added(b"4,American President, The,Drama\n"),
        "line 5 has 4 columns, the first line has 3",
    ),
    "32m: other header": Case(
        "ml-32m", "ratings.csv", swap(b"movieId", b"film"), "{} lacks the column(s) ['movieId']"
    ),
    "32m: other header of tags": Case(
        "ml-32m", "tags.csv", swap(b"tag,", b"label,"), "{} lacks the column(s) ['tag']"
    ),
    "32m: semicolons": Case(
        "ml-32m",
        "ratings.csv",
        lambda c: c.replace(b",", b";"),
        "{} lacks the column(s) ['userId', ",
    ),
    "32m: header only": Case(
        "ml-32m", "ratings.csv", to(b"userId,movieId,rating,timestamp\n"), "a header but no rows"
    ),
    "32m: cut in a row": Case(
        "ml-32m",
        "ratings.csv",
        cut(12),
        "timestamp must not be missing in {}; 1 of 3 rows break "
        "this, first row 3 with None, line 4",
    ),
    "32m: tags without films": Case(
        "ml-32m", "tags.csv", swap(b"\n1,1,", b"\n1,,"), "movieId must not be missing in {}; 1 of 2"
    ),
    "32m: NUL bytes": Case(
        "ml-32m", "ratings.csv", swap(b"4.0", b"4\x000"), "rating must be a number in {}"
    ),
    # Last.fm
    "lastfm: time that is a date": Case(
        "lastfm",
        "user_taggedartists-timestamps.dat",
        swap(b"1238536800000", b"2009-04-01"),
        "timestamp must be an integer in {}; 1 of 3 rows break this, first row 1 with '2009-04-01', "
        "line 2",
    ),
    "lastfm: artist without name": Case(
        "lastfm",
        "artists.dat",
        added(b"53\t\tu\tp\n"),
        "name must not be missing in {}; 1 of 2 rows",
    ),
    "lastfm: tag number that is none": Case(
        "lastfm", "tags.dat", swap(b"13\t", b"x\t"), "tagID must be an integer in {}; 1 of 2 rows"
    ),
    "lastfm: columns of the other file": Case(
        "lastfm",
        "user_taggedartists-timestamps.dat",
        swap(b"timestamp", b"day\tmonth\tyear"),
        "{} lacks the column(s) ['timestamp']",
    ),
    # Steam: Python literals
    "steam: code instead of a literal": Case(
        "steam",
        "steam_reviews.json",
        added(b"__import__('os').system('touch evil')\n"),
        "{} is not a Python literal in line 4",
    ),
    "steam: cut in the last record": Case(
        "steam", "steam_reviews.json", cut(30), "{} is not a Python literal in line 3, column"
    ),
    "steam: review without a day": Case(
        "steam",
        "steam_reviews.json",
        swap(b"'date': '2014-08-02', ", b""),
        "date must not be missing in {}; 1 of 3 rows break this, first row 2 with None, line 2",
    ),
    "steam: thirteenth month": Case(
        "steam",
        "steam_reviews.json",
        swap(b"2014-08-02", b"2014-13-02"),
        "date must be a day as YYYY-MM-DD or 'Posted May 5, 2011.' in {}; 1 of 3 rows break this, "
        "first row 2 with '2014-13-02', line 2",
    ),
    "steam: a list for a name": Case(
        "steam",
        "steam_reviews.json",
        swap(b"'Chaos Syren'", b"{'a': 1}"),
        "username must be a text, a number or a list of them in {}, line 1, got",
    ),
    "steam: nested too deep": Case(
        "steam", "steam_games.json", added(DEEP + b"\n"), "{} is not a Python literal in line 4"
    ),
    "steam: a number for a game": Case(
        "steam",
        "steam_games.json",
        added(b"7\n"),
        "{} must hold one record a line, got int in line 4",
    ),
    "steam: a record for genres": Case(
        "steam",
        "steam_games.json",
        swap(b"['RPG']", b"{'RPG': 1}"),
        "genres must be a text, a numb",
    ),
    "steam: games in Latin-1": Case(
        "steam",
        "steam_games.json",
        added("{'id': '1', 'app_name': 'é'}\n".encode("latin-1")),
        "{} is not utf-8 text: byte 0xe9 in line 4, column 26",
    ),
    "steam: no game has an id": Case(
        "steam", "steam_games.json", lambda c: c.replace(b"'id'", b"'ID'"), "{} lacks the column(s)"
    ),
    "australia: reviews that are no list": Case(
        "steam-australia",
        "australian_user_reviews.json",
        swap(b"'reviews': []", b"'reviews': 3"),
        "reviews must be a list of records in {}, line 3",
    ),
    "australia: maybe for True": Case(
        "steam-australia",
        "australian_user_reviews.json",
        swap(b"False", b"'maybe'"),
        "recommend must be True or False in {}; 1 of 3 rows break this, first row 2 with 'maybe'",
    ),
    "australia: no user": Case(
        "steam-australia",
        "australian_user_reviews.json",
        swap(b"'js41637'", b"None"),
        "user_id must not be missing in {}; 1 of 3 rows break this, first row 3 with None",
    ),
    "200k: unknown behaviour": Case(
        "steam-200k",
        "steam-200k.csv",
        swap(b",play,", b",gift,"),
        "behaviour must be purchase or play in {}, got 'gift' in line 2",
    ),
    "200k: hours that are no number": Case(
        "steam-200k",
        "steam-200k.csv",
        swap(b"273.0", b"many"),
        "value must be a number in {}; 1 of 4",
    ),
    # Douban
    "douban: neither encoding": Case(
        "douban-movie",
        "movies_cleaned.txt",
        added(b'"1"\t"\xff"\t""\t""\t""\t"12"\n'),
        "{} is not utf-8 text: byte 0xff in line 4, column 6, and no gb18030 text either",
    ),
    "douban: quote that is never closed": Case(
        "douban-movie",
        "moviereviews_cleaned.txt",
        swap(b'"2010-05-02"', b'"2010-05-02'),
        "{} is not a table separated by '\\t': line 5, column 5: text after a closing quote",
    ),
    "douban: five stars in words": Case(
        "douban-movie",
        "moviereviews_cleaned.txt",
        swap(b'"5"', '"五"'.encode()),
        "rating must be a number in {}; 1 of 3 rows break this, first row 3 with '五'",
    ),
    "douban: no such day": Case(
        "douban-movie",
        "moviereviews_cleaned.txt",
        swap(b"2008-01-16", b"2008-02-31"),
        "time must be a number from 0 on or an ISO 8601 time in {}; 1 of 3 rows break this",
    ),
    # Amazon: JSON lines
    "2018: Python instead of JSON": Case(
        "amazon-2018",
        "All_Beauty_5.json",
        added(b"{'overall': 5.0}\n"),
        "{} is not JSON in line 3, column 2: Expecting property name",
    ),
    "2018: time in words": Case(
        "amazon-2018",
        "All_Beauty_5.json",
        swap(b"1472688001", b'"09 1, 2016"'),
        "unixReviewTime must be an integer in {}; 1 of 2 rows break this, first row 2",
    ),
    "2018: asin missing": Case(
        "amazon-2018", "All_Beauty_5.json", swap(b'"asin": "B1", ', b""), "asin must not be missing"
    ),
    "2023: stars that are not a number": Case(
        "amazon-2023",
        "All_Beauty.jsonl",
        swap(b"3.0", b"NaN"),
        "rating must be a number in {}; 1 of",
    ),
    "2023: half a character": Case(
        "amazon-2023",
        "All_Beauty.jsonl",
        swap(b'"user_id": "B"', b'"user_id": "\\ud83d"'),
        "user_id holds half a character (a lone surrogate) in {}, line 2",
    ),
    "2023: nested too deep": Case(
        "amazon-2023",
        "meta_All_Beauty.jsonl",
        added(DEEP + b"\n"),
        "{} is not JSON in line 3: it is nested too deep",
    ),
    "2023: two records in a line": Case(
        "amazon-2023",
        "meta_All_Beauty.jsonl",
        swap(b"}\n{", b"} {"),
        "{} is not JSON in line 1, col",
    ),
    # Own files
    "csv: byte order mark of UTF-16": own(
        "csv", lambda c: c.decode().encode("utf-16"), "{} is not utf-8 text: byte 0xff in line 1, c"
    ),
    "csv: wrong encoding far down": own(
        "csv",
        added("Zoë,a,4\n".encode("latin-1")),
        "{} is not utf-8 text: byte 0xeb in line 5, col",
    ),
    "csv: quote that is never closed": own(
        "csv", added(b'w,"a,4\nw,b,5\n'), "line 5, column 2: a quote is opened and never closed"
    ),
    "csv: control-Z at the end": own(
        "csv",
        added(b"\x1a"),
        "timestamp must be a number from 0 on or an ISO 8601 time in {}; 1 of 4 rows break this, first row 4 with None, line 5",
    ),
    "csv: time with a comma": own(
        "csv", added(b"w,a,1,5\n"), "line 5 has 4 columns, the first line has 3"
    ),
    "tsv: no time in one row": own(
        "tsv",
        swap(b"v\tb\t2", b"v\tb"),
        "timestamp must be a number from 0 on or an ISO 8601 time"
        " in {}; 1 of 3 rows break this, first row 2 with None, line 3",
    ),
    "jsonl: list for an id": own(
        "jsonl",
        swap(b'"v"', b'["v"]'),
        "user_id must hold ids in {}, got the type List",
    ),
    "jsonl: id after a blank line": own(
        "jsonl",
        lambda c: c.replace(b'"v"', b'""').replace(b'""', b'"v"', 1),
        "user_id must be an id in {}; 1 of 3 rows break this, first row 3 with '', line 4",
    ),
    "jsonl: one list": own("jsonl", lambda c: b"[" + c + b"]", "{} is not JSON in line 1, column"),
    "jsonl: empty": own("jsonl", to(b"\n\n"), "{} is empty"),
    "jsonl: field in no record": own(
        "jsonl", lambda c: c.replace(b"item_id", b"item"), "{} lacks the column(s) ['item_id']"
    ),
    "jsonl: number of 5,000 digits": own(
        "jsonl", swap(b'"item_id": 2', b'"item_id": ' + b"7" * 5_000), "{} is not JSON in line 2"
    ),
    "recbole: type that there is not": own(
        "recbole", swap(b"item_id:token", b"item_id:int"), "must have headers of the form name:type"
    ),
    "recbole: commas for tabs": own(
        "recbole", lambda c: c.replace(b"\t", b","), "{} lacks the column(s) ['user_id', 'item_id'"
    ),
}
WARNED: dict[str, Case] = {
    "ml-1m: pair twice": Case(
        "ml-1m",
        "ratings.dat",
        added(b"1::1::2::999999999\n"),
        "{} repeats a (user, item) pair in 1 of 4 rows; the earliest of each is kept",
    ),
    "steam: game that nobody described": Case(
        "steam",
        "steam_games.json",
        swap(b"'90'", b"'91'"),
        "{} lacks 1 of 3 items that occur in events; they have no title and no category",
    ),
    "steam: game without an id": Case(
        "steam",
        "steam_games.json",
        swap(b", 'id': '90'", b""),
        "{}: 1 of 3 items have no id and are left out",
    ),
    "amazon-2023: goods twice": Case(
        "amazon-2023",
        "meta_All_Beauty.jsonl",
        lambda c: c + c,
        "{}: 2 of 4 items repeat an id; the first of each counts",
    ),
    "australia: day without a year": Case(
        "steam-australia",
        "australian_user_reviews.json",
        swap(b"November 5, 2011.", b"May 5."),
        "{}: 2 of 3 reviews say no year; they are of 2016, and 0 of them without a day count as its",
    ),
}


def arguments(case: Case, place: Place, folder: Path) -> list[str]:
    """The files of the case, and how the command is told of them."""
    if case.set in OWN:
        path = folder / case.file
        path.write_bytes(case.change(OWN[case.set][1]))
        name = "csv" if case.set == "tsv" else case.set
        return ["--dataset", name, "--events", str(path)]
    changed = case.change(LAYOUTS[case.set].get(case.file, b""))
    root = place(case.set, **{case.file: changed}).parent
    return ["--dataset", case.set, "--data-dir", str(root)]


def said_of(case: Case, folder: Path) -> str:
    """The expected words, with the paths of the files in braces."""
    place = folder if case.set in OWN else folder / (SOURCES[case.set].folder or case.set)
    said = case.said.replace("{}", str(place / case.file))
    return re.sub(r"\{(.*?)\}", lambda name: str(place / name[1]), said)


@pytest.fixture
def describe(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[Case], tuple[int, str, str]]:
    """Describe the files of a case by the real command: exit code, output, errors."""

    def described(case: Case) -> tuple[int, str, str]:
        rest = arguments(case, place, tmp_path)
        command = ["proactrec", "data", "describe", *rest, "--filter", "none", "--json"]
        monkeypatch.setattr("sys.argv", command)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(str(ended.value.code)), *capsys.readouterr())

    return described


def test_there_are_sixty() -> None:
    assert len(REFUSED) + len(WARNED) >= 60


@pytest.mark.filterwarnings("always::proactrec.errors.DataWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_malformed_file_ends_in_one_sentence(
    kind: str, describe: Callable[[Case], tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = describe(REFUSED[kind])
    sentences = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert (code, out, len(sentences)) == (2, "", 1), err
    assert said_of(REFUSED[kind], tmp_path) in sentences[0]
    assert not (tmp_path / "evil").exists()


@pytest.mark.filterwarnings("always::proactrec.errors.DataWarning")
@pytest.mark.parametrize("kind", WARNED)
def test_usable_file_is_described_with_a_counted_warning(
    kind: str, describe: Callable[[Case], tuple[int, str, str]], tmp_path: Path
) -> None:
    # Small samples are too small to split, so a few more rows come with them.
    code, out, err = describe(WARNED[kind])
    assert said_of(WARNED[kind], tmp_path) in err
    assert "Traceback" not in err
    assert code == 0 or "needs at least 2 users" in err
    assert code != 0 or json.loads(out)["n_interactions"] > 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_packed_file_that_is_cut_off_is_refused(name: str, place: Place) -> None:
    folder, file = place(name), next(iter(LAYOUTS[name]))
    content = (folder / file).read_bytes()
    (folder / f"{file}.gz").write_bytes(gzip.compress(content)[:-9])
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"{file}\.gz is not a whole gzip file"):
        SOURCES[name].load(folder, "earliest")
