"""Lines of text files: read one by one, and found again when a value in one is wrong."""

import gzip
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from proactrec.errors import DataError, InvalidInputError

QUOTED = (".csv", ".tsv")
"""Types whose values may hold line breaks inside quotes."""
RECORDS = (".json", ".jsonl", ".ndjson")
"""Types in which a blank line is no row."""


def kind_of(path: Path) -> str:
    """The type that a file's name tells, in lower case and without `.gz`, e.g. `.csv`."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower()


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file without their ends, unpacked if its name ends in `.gz`, as they come.

    Raises
    ------
    InvalidInputError
        If there is no such file, or it is a folder.
    DataError
        If it cannot be read or unpacked.
    """
    check_is_file(path)
    unpack = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with unpack(path, "rb") as file:
            for line in file:
                yield line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def check_is_file(path: Path) -> None:
    """Raise :class:`InvalidInputError` unless there is such a file."""
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder, a file is needed")
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist")


def in_line(path: Path, row: int, n_rows: int) -> str:
    """E.g. ", line 7": which line (from 1) holds a row (from 0) of a text file with `n_rows`.

    Where the first line is a header is told from how many rows there are. Empty where no line can
    be told: in a file without lines, or for rows that are not those of the file.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        return ""
    for is_quoted in (kind in QUOTED, kind not in QUOTED):  # any text may have quotes after all
        try:
            starts = _row_starts(path, is_quoted=is_quoted, skips_blank=kind in RECORDS)
        except DataError:
            return ""
        if (n_headers := len(starts) - n_rows) in (0, 1):
            return f", line {starts[row + n_headers]}"
    return ""


def _row_starts(path: Path, *, is_quoted: bool, skips_blank: bool) -> "array[int]":
    starts: array[int] = array("q")
    last, is_open = 0, False
    for number, line in enumerate(read_lines(path), start=1):
        if not is_open and not (skips_blank and not line.strip()):
            starts.append(number)
            last = len(starts) if line else last
        if is_quoted and line.count(b'"') % 2:
            is_open = not is_open
    return starts[:last]  # blank lines at the end are no rows
