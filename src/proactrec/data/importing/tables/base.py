"""What every kind of table can do, and what its readers have in common."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from proactrec.data.importing.problems import Problems
from proactrec.errors import DataError

LINE = "__line__"
"""Column of every batch: the line (of Parquet: the row) that a row comes from, from 1."""
BATCH_ROWS = 500_000
SLOW_BATCH_ROWS = 100_000
SAMPLE_ROWS = 10_000


class Table(Protocol):
    """A file with named columns."""

    path: Path
    unit: str  # what a row's number counts: line or row
    columns: list[str]
    n_rows: int | None  # known after `batches` has come to its end
    notes: list[str]  # what was odd, but cost no row

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        ...

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows: the columns, and `LINE`; rows that cannot be read are counted in `problems`."""
        ...


class TornTableError(DataError):
    """The fast reader met a line that breaks the form; the slow one goes on from the start."""


def check_columns(table: Table, columns: Sequence[str]) -> None:
    """Raise :class:`DataError` unless the table has each of the columns exactly once."""
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise DataError(f"{table.path} lacks the column(s) {absent}; there are {table.columns}")
    repeated = [name for name in columns if table.columns.count(name) > 1]
    if repeated:
        raise DataError(f"{table.path} has more than one column of the name(s) {repeated}")


def first_sample(tables: Sequence[Table], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The first rows of the first table that has any: all columns whose names are clear, or these.

    Raises
    ------
    DataError
        If no table has a row that can be read.
    """
    for table in tables:
        clear = [name for name in table.columns if name and table.columns.count(name) == 1]
        sample = table.sample(clear if columns is None else columns)
        if sample.height:
            return sample
    raise DataError(f"{tables[0].path} has no rows{_why_none(tables[0])}")


def _why_none(table: Table) -> str:
    """What is wrong with all rows of a table; nothing where there are none."""
    problems = Problems()
    try:
        list(table.batches(table.columns[:1], problems))
    except TornTableError:  # it reads line by line now
        list(table.batches(table.columns[:1], problems))
    return f" that can be read: {'; '.join(problems.sentences())}" if problems.n else ""


def numbered(scan: pl.LazyFrame, first: int) -> Iterator[pl.DataFrame]:
    """Batches of a scan, with `LINE` counted from `first`."""
    for batch in scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        numbers = pl.int_range(first, first + batch.height, dtype=pl.Int64, eager=True)
        first += batch.height
        yield batch.with_columns(numbers.alias(LINE))


def batched(rows: Iterable[list[Any]], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Batches of rows of number and texts."""
    left = iter(rows)
    while some := list(islice(left, SLOW_BATCH_ROWS)):
        yield of_rows(some, columns)


def of_rows(rows: list[list[Any]], columns: Sequence[str]) -> pl.DataFrame:
    """A batch of rows of number and texts."""
    schema = {LINE: pl.Int64, **dict.fromkeys(columns, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def first_filled_line(path: Path, plain: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank.

    Raises
    ------
    DataError
        If there is none, or the file is no UTF-8 text with line feeds.
    """
    with plain.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and b"\0" in line:
                raise DataError(f"{path} is not a text file: line 1 holds NUL bytes")
            if line.strip():
                try:
                    text = line.decode("utf-8-sig").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path} is not UTF-8 text: byte 0x{line[error.start]:02x} in line {number}"
                        "; give --encoding"
                    ) from error
                if "\r" in text:
                    raise DataError(f"{path} ends its lines with \\r alone; line feeds are needed")
                return number, text
    raise DataError(f"{path} holds nothing but blank lines")


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).strip().splitlines()[0]
