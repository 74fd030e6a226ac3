"""Any bytes at all: a reader gives rows, or one sentence; and no row is lost without a word."""

import ast
import csv
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.data.sources import SOURCES, recbole, table
from proactrec.data.sources.files import read_delimited, read_parquet
from proactrec.data.sources.movielens import read_double_colon
from proactrec.data.sources.records import parse_literal, read_columns
from proactrec.data.sources.table import TableOptions
from proactrec.errors import DataError, DataWarning, ProactrecError

from .conftest import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::proactrec.errors.DataWarning")
quick = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = st.sampled_from(
    [bytes([code]) for code in b"\"'\\\n\r\x00|,\t{}[]-\xff\x1a"]
    + [b"::", b"\xef\xbb\xbf", b"nan", b"inf", b"1e999", b"9" * 30, b"\xf0\x9f", b"None", b""]
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Good bytes with some pieces put in, cut out or taken twice."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        middle = draw(st.one_of(PIECES, st.binary(max_size=6), st.just(content[start:end] * 2)))
        content = content[:start] + middle + content[end:]
    return content


def one_sentence(read: Callable[[], object]) -> None:
    """Rows, or an error of our own in one line."""
    said = ""
    try:
        read()
    except ProactrecError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1_000


@pytest.mark.parametrize("name", LAYOUTS)
@quick
@given(data=st.data())
def test_damaged_publication_is_read_or_refused_in_one_sentence(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    files = dict(LAYOUTS[name])
    file = data.draw(st.sampled_from(sorted(files)))
    files[file] = data.draw(damaged(files[file]))
    for path, content in files.items():
        (tmp_path / path).write_bytes(content)
    one_sentence(lambda: SOURCES[name].load(tmp_path, "earliest"))


OWN = {
    "csv": b'user_id,item_id,timestamp\nu,a,1\nv,"b, ""c""",2020-01-01\nv,a,3.5\n',
    "tsv": b"user_id\titem_id\ttimestamp\nu\ta\t1\nv\tb\t2\n",
    "jsonl": b'{"user_id": "u", "item_id": 1, "timestamp": 1}\n{"user_id": "v", "item_id": [2]}\n',
    "inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ta\t1\t1\n",
}


@pytest.mark.parametrize("kind", OWN)
@quick
@given(data=st.data())
def test_damaged_own_file_is_read_or_refused_in_one_sentence(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / f"events.{kind}"
    path.write_bytes(data.draw(st.one_of(damaged(OWN[kind]), st.binary(max_size=200))))
    read = recbole.load if kind == "inter" else table.load
    one_sentence(lambda: read(path if kind == "inter" else TableOptions(events=path)))  # type: ignore[operator]


@quick
@given(data=st.data())
def test_damaged_parquet_is_read_or_refused_in_one_sentence(
    data: st.DataObject, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": [1, 2]}).write_parquet(
        whole
    )
    path = tmp_path / "events.parquet"
    path.write_bytes(data.draw(damaged(whole.getvalue())))
    one_sentence(lambda: read_parquet(path))


CELLS = st.text(st.sampled_from("ab ,\"\n'é;|\\"), max_size=4)


@quick
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_every_row_of_a_quoted_table_comes_back(
    rows: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b", "c"), *rows])
    path = tmp_path / "x.csv"
    path.write_text(text.getvalue(), newline="")
    found = read_delimited(path, ",", quote='"')
    assert found.rows() == rows


@quick
@given(text=st.text(st.sampled_from('ab,"\n'), max_size=60))
def test_table_that_is_read_has_the_rows_that_it_shows(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"a,b,c\n{text}\nx,y,z\n", newline="")
    try:
        found = read_delimited(path, ",", quote='"')
    except DataError:
        return
    shown = list(csv.reader(io.StringIO(path.read_text().rstrip("\n"), newline="")))[1:]
    assert found.height == len(shown)


@quick
@given(rows=st.lists(st.text(st.sampled_from("ab:|\x0b\x85\u2028 "), max_size=9), min_size=1))
def test_every_line_with_double_colons_is_a_row_or_refused(rows: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.dat"
    path.write_text("\n".join(f"1::{row}::2" for row in rows) + "\n", newline="")
    found = read_double_colon(path, ["a", "b", "c"], free="b")
    assert found.height == len(rows)
    assert found["b"].fill_null("").to_list() == rows


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@quick
@given(value=VALUES, prefix=st.sampled_from(["", "u"]))
def test_literals_mean_what_python_means(value: object, prefix: str) -> None:
    text = repr(value).replace("'", f"{prefix}'", 1) if isinstance(value, str) else repr(value)
    try:
        wanted = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return
    assert repr(parse_literal(text)) == repr(wanted)


@quick
@given(text=st.text(st.sampled_from("u'\"\\{}[]():,1TrueFalsNon b#\x00+-_"), max_size=30))
def test_text_that_is_no_literal_is_not_read_as_one(text: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            wanted = ast.literal_eval(text.strip())
    except Exception:
        return
    assert repr(parse_literal(text.strip())) == repr(wanted)


@quick
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1))
def test_every_record_is_a_row_or_the_file_is_refused(
    rows: list[dict[str, object]], tmp_path: Path
) -> None:
    for parse, write in ((json.loads, json.dumps), (parse_literal, repr)):
        path = tmp_path / "x.jsonl"
        path.write_text("".join(f"{write(row)}\n\n" for row in rows))  # type: ignore[operator]
        try:
            found = read_columns(path, ["a"], parse, optional=["b", "c"])
        except DataError:
            continue
        assert found.height == len(rows)


@quick
@given(times=st.lists(st.integers(0, 5), min_size=1, max_size=12), seed=st.randoms())
def test_rows_and_counted_repeats_add_up(times: list[int], seed: object, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"u{time % 2},i{time},{time}" for time in times]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows, ""]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        events, _ = table.load(TableOptions(events=path))
    counted = sum(int(str(one.message).split(" pair in ")[1].split()[0]) for one in caught)
    assert len(events) + counted == len(times)
