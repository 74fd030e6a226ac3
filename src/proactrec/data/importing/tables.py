"""One way to read CSV, TSV, JSON Lines and Parquet of any size: batches of the wanted columns."""

import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import polars as pl

from proactrec.data.importing import files
from proactrec.data.importing.files import Lines, Source
from proactrec.data.importing.options import FileOptions
from proactrec.data.importing.problems import Problems
from proactrec.errors import DataError

LINE = "__line__"
"""Column of every batch: the line (of Parquet: the row) that a row comes from, from 1."""
BATCH_ROWS = 500_000
SLOW_BATCH_ROWS = 100_000
SAMPLE_ROWS = 10_000
SEPARATORS = (",", "\t", ";", "|")
JOINED_LINES = 20
"""Over how many lines a quoted value may reach where a file is read line by line."""


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


def open_table(source: Source, options: FileOptions, folder: Path) -> Table:
    """The table in a file; unpacked or recoded text goes into `folder`.

    Raises
    ------
    DataError
        If the file is empty, damaged, of another encoding, or has no usable header.
    """
    if source.kind == "parquet":
        return ParquetTable(source.path)
    plain = files.plain(source.path, options.encoding, folder)
    if source.kind == "jsonl":
        return JsonLinesTable(source.path, plain)
    return TextTable(source.path, plain, options)


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
        If no table has a row.
    """
    for table in tables:
        clear = [name for name in table.columns if name and table.columns.count(name) == 1]
        sample = table.sample(clear if columns is None else columns)
        if sample.height:
            return sample
    raise DataError(f"{tables[0].path} has no rows")


class ParquetTable:
    """A Parquet file; values keep their types."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path, self.n_rows, self.notes = path, None, list[str]()
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty")
        self.columns = self._read(
            lambda: pl.scan_parquet(path, glob=False).collect_schema().names()
        )

    n_rows: int | None

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        scan = pl.scan_parquet(self.path, glob=False).select(columns)
        table: pl.DataFrame = self._read(lambda: scan.head(SAMPLE_ROWS).collect())
        return table

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows."""
        scan = pl.scan_parquet(self.path, glob=False).select(columns)
        numbered = _numbered(scan, first=1)
        while (batch := self._read(lambda: next(numbered, None))) is not None:
            self.n_rows = (self.n_rows or 0) + batch.height
            yield batch

    def _read(self, action: Any) -> Any:
        try:
            return action()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            # Polars panics on some damaged files, which is no Exception.
            raise DataError(f"{self.path} is not a whole Parquet file: {_first_line(error)}") from (
                error
            )


class TextTable:
    """A table in a text file; all values are texts, exactly as written, and empty ones are null.

    The fast reader takes nearly every file. One that it refuses is read again line by line:
    lines that break the form are counted, and the others are kept.
    """

    unit = "line"

    def __init__(self, path: Path, plain: Path, options: FileOptions) -> None:
        self.path, self._plain, self._has_header = path, plain, options.has_header
        self.n_rows: int | None = None
        self.notes: list[str] = []
        self._header_line, header = _first_filled_line(path, plain)
        self._separator = options.separator or _separator(path, header)
        names = next(csv.reader([header], delimiter=self._separator))
        if not options.has_header:
            names = [f"column_{number}" for number in range(1, len(names) + 1)]
        elif _is_data(names):
            raise DataError(
                f"{path} seems to have no header, its first line is {header[:60]!r}: "
                "give --no-header"
            )
        self.columns = names
        self._looked: Lines | None = None

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        try:
            return self._scan().select(columns).head(SAMPLE_ROWS).collect()
        except pl.exceptions.PolarsError:
            first: pl.DataFrame | None = next(self._by_line(columns, Problems(), []), None)
            empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
            return empty if first is None else first.head(SAMPLE_ROWS).drop(LINE)

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows.

        Raises
        ------
        TornTableError
            If the fast reader gives up; what it gave so far does not count, and the next call
            reads line by line.
        """
        looked = self._looked or files.look(self._plain)
        is_torn = self._looked is not None or looked.n_quotes % 2 == 1
        self._looked, self.n_rows = looked, 0
        if is_torn:
            lines = self._by_line(columns, problems, self.notes)
        else:
            lines = self._fast(columns, looked)
        for batch in lines:
            self.n_rows += batch.height
            yield batch

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_csv(
            self._plain,
            separator=self._separator,
            has_header=self._has_header,
            skip_lines=self._header_line - 1,
            new_columns=None if self._has_header else self.columns,
            infer_schema=False,
            glob=False,
        )

    def _fast(self, columns: Sequence[str], looked: Lines) -> Iterator[pl.DataFrame]:
        first, n = self._header_line + self._has_header, 0
        try:
            for batch in _numbered(self._scan().select(columns), first):
                n += batch.height
                yield batch
        except pl.exceptions.PolarsError as error:
            raise TornTableError(_first_line(error)) from error
        inside = looked.n_lines - (first - 1) - n
        if looked.n_quotes and inside > 0:
            self.notes.append(
                f"{self.path}: {inside:,} lines are blank or lie inside quoted values that go over "
                "line ends"
            )

    def _by_line(
        self, columns: Sequence[str], problems: Problems, notes: list[str]
    ) -> Iterator[pl.DataFrame]:
        places = [self.columns.index(name) for name in columns]
        width = len(self.columns)
        rows: list[list[Any]] = []
        for number, fields in self._fields(problems):
            if len(fields) > width:
                reason = f"the line has more values than the header ({width})"
                problems.add(reason, f"{self.path}, line {number}", len(fields))
                continue
            fields += [""] * (width - len(fields))
            rows.append([number, *(fields[place] or None for place in places)])
            if len(rows) == SLOW_BATCH_ROWS:
                yield _of_rows(rows, columns)
                rows = []
        notes.append(f"{self.path} breaks the form of a table, so it was read line by line")
        if rows:
            yield _of_rows(rows, columns)

    def _fields(self, problems: Problems) -> Iterator[tuple[int, list[str]]]:
        """Number and values of every line that is not blank, a value's line ends joined."""
        with self._plain.open("rb") as file:
            lines = _Lines(file)
            for number, line in lines:
                if number < self._header_line + self._has_header or not line.strip():
                    continue
                where = f"{self.path}, line {number}"
                try:
                    fields = self._split(line)
                    if line.count(b'"') % 2 and self._opens(line):
                        fields = self._joined(lines, line) or fields
                        if fields[-1].endswith("\n"):  # what an unclosed quote leaves
                            problems.add("a quote is not closed", where, fields[-1].strip())
                            continue
                    yield number, fields
                except UnicodeDecodeError as error:
                    reason = "the line is not UTF-8 text (for other encodings give --encoding)"
                    problems.add(reason, where, line[error.start : error.start + 8])
                except (csv.Error, StopIteration) as error:
                    problems.add(f"the line cannot be read ({error})", where, line[:60])

    def _split(self, line: bytes) -> list[str]:
        text = line.decode().removesuffix("\n").removesuffix("\r")
        return next(csv.reader([text + "\n"], delimiter=self._separator))

    def _opens(self, line: bytes) -> bool:
        """Whether some value begins with a quote, so that it may go over line ends."""
        return line.startswith(b'"') or self._separator.encode() + b'"' in line

    def _joined(self, lines: "_Lines", line: bytes) -> list[str] | None:
        """Values of a line with those after it up to the closing quote, if that makes a row."""
        for n, following in enumerate(lines.ahead(JOINED_LINES), start=1):
            line += following
            if line.count(b'"') % 2 == 0:
                reader = csv.reader(
                    line.decode().splitlines(keepends=True), delimiter=self._separator
                )
                fields = next(reader)
                if len(fields) == len(self.columns):
                    lines.skip(n)
                    return fields
                return None
        return None


class _Lines:
    """Numbered lines of a file that can be looked at before they are taken."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ahead, self._number = file, deque[bytes](), 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while line := (self._ahead.popleft() if self._ahead else self._file.readline()):
            self._number += 1
            yield self._number, line

    def ahead(self, n: int) -> Iterator[bytes]:
        """The next `n` lines, not taken."""
        for place in range(n):
            if place == len(self._ahead):
                line = self._file.readline()
                if not line:
                    return
                self._ahead.append(line)
            yield self._ahead[place]

    def skip(self, n: int) -> None:
        """Take `n` lines that were looked at."""
        for _ in range(n):
            self._ahead.popleft()
        self._number += n


class JsonLinesTable:
    """One JSON object a line; numbers are texts exactly as written, inner names have dots."""

    unit = "line"

    def __init__(self, path: Path, plain: Path) -> None:
        self.path, self._plain = path, plain
        self.n_rows: int | None = None
        self.notes: list[str] = []
        _, first = _first_filled_line(path, plain)
        if first.lstrip().startswith("["):
            raise DataError(f"{path} begins as one JSON list; one object a line is needed")
        names: dict[str, None] = {}
        for number, (_, row) in enumerate(self._rows(Problems())):
            names.update(dict.fromkeys(row))
            if number == SAMPLE_ROWS // 10:
                break
        if not names:
            raise DataError(f"{path} has no line that is a JSON object, first line {first[:60]!r}")
        self.columns = list(names)

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        rows: list[list[Any]] = []
        for number, row in self._rows(Problems()):
            rows.append([number, *(row.get(name) for name in columns)])
            if len(rows) == SAMPLE_ROWS:
                break
        return _of_rows(rows, columns).drop(LINE)

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows."""
        rows: list[list[Any]] = []
        self.n_rows = 0
        for number, row in self._rows(problems):
            rows.append([number, *(row.get(name) for name in columns)])
            if len(rows) == SLOW_BATCH_ROWS:
                self.n_rows += len(rows)
                yield _of_rows(rows, columns)
                rows = []
        self.n_rows += len(rows)
        if rows:
            yield _of_rows(rows, columns)

    def _rows(self, problems: Problems) -> Iterator[tuple[int, dict[str, str | None]]]:
        read = json.JSONDecoder(parse_int=str, parse_float=str).decode
        with self._plain.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{self.path}, line {number}"
                try:
                    content = read(line.decode("utf-8-sig").strip())
                except (ValueError, RecursionError) as error:
                    problems.add(f"the line is no JSON ({_kind(error)})", where, line[:60])
                    continue
                if not isinstance(content, dict):
                    problems.add("the line is no JSON object", where, line[:60])
                    continue
                yield number, _flat(content)


class TornTableError(DataError):
    """The fast reader met a line that breaks the form; the slow one goes on from the start."""


def _numbered(scan: pl.LazyFrame, first: int) -> Iterator[pl.DataFrame]:
    for batch in scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        numbers = pl.int_range(first, first + batch.height, dtype=pl.Int64, eager=True)
        first += batch.height
        yield batch.with_columns(numbers.alias(LINE))


def _of_rows(rows: list[list[Any]], columns: Sequence[str]) -> pl.DataFrame:
    schema = {LINE: pl.Int64, **dict.fromkeys(columns, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _first_filled_line(path: Path, plain: Path) -> tuple[int, str]:
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


def _separator(path: Path, header: str) -> str:
    if path.with_suffix("").suffix == ".tsv" or path.suffix == ".tsv":
        return "\t"
    return max(SEPARATORS, key=header.count)


def _is_data(names: list[str]) -> bool:
    """Whether a header is a row of values: some number, or nothing that begins with a letter."""
    texts = [name.strip() for name in names]
    is_number = [text.replace(".", "", 1).replace("-", "", 1).isdigit() for text in texts]
    return sum(is_number) >= max(1, len(texts) / 2)


def _flat(content: dict[str, Any], before: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif value is None or isinstance(value, str):
            flat[before + name] = value or None
        else:
            flat[before + name] = json.dumps(value)
    return flat


def _kind(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
