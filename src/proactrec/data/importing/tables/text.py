"""Text files whose columns a separator divides."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl

from proactrec.data.importing import files
from proactrec.data.importing.files import Lines
from proactrec.data.importing.options import FileOptions
from proactrec.data.importing.problems import Problems
from proactrec.data.importing.tables.base import (
    LINE,
    SAMPLE_ROWS,
    TornTableError,
    batched,
    first_filled_line,
    first_line,
    numbered,
)
from proactrec.errors import DataError

SEPARATORS = (",", "\t", ";", "|")
JOINED_LINES = 20
"""Over how many lines a quoted value may reach where a file is read line by line."""


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
        self._header_line, header = first_filled_line(path, plain)
        if header.count('"') % 2:
            raise DataError(f"{path} opens a quote in its header that the line does not close")
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
            for batch in numbered(self._scan().select(columns), first):
                n += batch.height
                yield batch
        except pl.exceptions.PolarsError as error:
            raise TornTableError(first_line(error)) from error
        inside = looked.n_lines - (first - 1) - n
        if looked.n_quotes and inside > 0:
            self.notes.append(
                f"{self.path}: {inside:,} lines are blank or lie inside quoted values that go over "
                "line ends"
            )

    def _by_line(
        self, columns: Sequence[str], problems: Problems, notes: list[str]
    ) -> Iterator[pl.DataFrame]:
        yield from batched(self._whole(columns, problems), columns)
        notes.append(f"{self.path} breaks the form of a table, so it was read line by line")

    def _whole(self, columns: Sequence[str], problems: Problems) -> Iterator[list[Any]]:
        """Number and wanted values of every row that is no wider than the header."""
        places = [self.columns.index(name) for name in columns]
        width = len(self.columns)
        for number, fields in self._fields(problems):
            if len(fields) > width:
                reason = f"the line has more values than the header ({width})"
                problems.add(reason, f"{self.path}, line {number}", len(fields))
                continue
            fields += [""] * (width - len(fields))
            yield [number, *(fields[place] or None for place in places)]

    def _fields(self, problems: Problems) -> Iterator[tuple[int, list[str]]]:
        """Number and values of every line that is not blank, a value's line ends joined."""
        with self._plain.open("rb") as file:
            number = 0
            while line := file.readline():
                number += 1
                if number < self._header_line + self._has_header or not line.strip():
                    continue
                first, where = number, f"{self.path}, line {number}"
                try:
                    fields = self._split(line)
                    if line.count(b'"') % 2 and self._opens(line):
                        if joined := self._joined(file, line):
                            fields, n_more = joined
                            number += n_more
                        if fields[-1].endswith("\n"):  # what an unclosed quote leaves
                            problems.add("a quote is not closed", where, fields[-1].strip())
                            continue
                    yield first, fields
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

    def _joined(self, file: IO[bytes], line: bytes) -> tuple[list[str], int] | None:
        """Values of a line with those after it up to the closing quote, if that makes a row.

        With how many lines that were; they stay in the file where it makes none.
        """
        end = file.tell()
        try:
            for n in range(1, JOINED_LINES + 1):
                line += file.readline()
                if line.count(b'"') % 2 == 0:
                    text = line.decode().splitlines(keepends=True)
                    fields = next(csv.reader(text, delimiter=self._separator))
                    if len(fields) == len(self.columns):
                        end = file.tell()
                        return fields, n
                    break
        finally:
            file.seek(end)
        return None


def _separator(path: Path, header: str) -> str:
    if path.with_suffix("").suffix == ".tsv" or path.suffix == ".tsv":
        return "\t"
    found = max(SEPARATORS, key=header.count)
    if found not in header and "::" in header:
        raise DataError(f"{path} parts its columns by '::': one character is needed, replace it")
    return found


def _is_data(names: list[str]) -> bool:
    """Whether a header is a row of values: some number, or nothing that begins with a letter."""
    texts = [name.strip() for name in names]
    is_number = [text.replace(".", "", 1).replace("-", "", 1).isdigit() for text in texts]
    return sum(is_number) >= max(1, len(texts) / 2)
