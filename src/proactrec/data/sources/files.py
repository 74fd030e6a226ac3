"""Reading files that others made: whatever is wrong with one ends in a sentence that names it."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from proactrec.data.sources.faults import first_fault, has_sound_quotes
from proactrec.data.sources.lines import check_is_file, in_line
from proactrec.errors import DataError


def read_text(path: Path, *, encoding: str = "utf-8-sig", or_else: str | None = None) -> str:
    """Text of a file, unpacked if its name ends in `.gz`, with line feeds for line ends.

    It is in one encoding, or else throughout in another.

    Raises
    ------
    InvalidInputError
        If there is no such file, or it is a folder.
    DataError
        If it cannot be read, unpacked or decoded, or holds nothing.
    """
    content = _read_bytes(path)
    faults = []
    for name in filter(None, (encoding, or_else)):
        try:
            return _with_line_feeds(content.decode(name), path)
        except UnicodeDecodeError as error:
            faults.append(error)
    first = faults[0]
    line = content.count(b"\n", 0, first.start) + 1
    column = first.start - content.rfind(b"\n", 0, first.start)
    raise DataError(
        f"{path} is not {first.encoding} text: byte 0x{content[first.start]:02x} "
        f"in line {line}, column {column}" + (f", and no {or_else} text either" if or_else else "")
    ) from first


def _with_line_feeds(text: str, path: Path) -> str:
    text = text.replace("\r\n", "\n").rstrip("\r\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old Macs
    if not text:
        raise DataError(f"{path} is empty")
    return text


def read_delimited(
    path: Path,
    separator: str,
    *,
    names: list[str] | None = None,
    quote: str | None = None,
    encoding: str = "utf-8-sig",
    or_else: str | None = None,
) -> pl.DataFrame:
    """Rows of a text table, every value as text and empty fields as null.

    Parameters
    ----------
    path : Path
    separator : str
        One character.
    names : list of str, optional
        Column names of a file without a header; without it the first line is the header.
    quote : str, optional
        The character around values that hold a separator; by default there is none.
    encoding, or_else : str
        As in :func:`read_text`.

    Raises
    ------
    DataError, InvalidInputError
        As :func:`read_text`; also if a line has more columns than the first, a name stands twice in
        the header, a file without a header has another number of columns than `names`, or there is
        only a header.
    """
    text = read_text(path, encoding=encoding, or_else=or_else)
    if quote is not None and not has_sound_quotes(text, separator, quote):
        fault = first_fault(text, separator, quote)
        raise DataError(f"{path} is not a table separated by {separator!r}: {fault}")
    try:
        table = pl.read_csv(
            text.encode(),
            separator=separator,
            has_header=names is None,
            quote_char=quote,
            infer_schema=False,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError as error:
        fault = first_fault(text, separator, quote)
        reason = fault or " ".join(str(error).strip().splitlines()[0].split())
        raise DataError(f"{path} is not a table separated by {separator!r}: {reason}") from error
    repeated = [name for name in table.columns if f"{name}_duplicated_0" in table.columns]
    if names is None and repeated:
        raise DataError(f"{path} has more than one column of the name(s) {repeated}")
    if names is not None:
        if table.width != len(names):
            raise DataError(
                f"{path} must have {len(names)} columns separated by {separator!r} "
                f"({', '.join(names)}), got {table.width}"
            )
        table.columns = names
    if table.height == 0:
        raise DataError(f"{path} has a header but no rows")
    return table


def read_parquet(path: Path) -> pl.DataFrame:
    """Rows of a Parquet file.

    Raises
    ------
    DataError, InvalidInputError
        As :func:`read_text`; also if it is not Parquet or has no rows.
    """
    content = _read_bytes(path)
    with named(path, "Parquet"):
        table = pl.read_parquet(content)
    if table.height == 0:
        raise DataError(f"{path} has no rows")
    return table


@contextmanager
def named(path: Path, kind: str) -> Iterator[None]:
    """Where Polars reads a file of a kind: what it can't read ends in a sentence with the name.

    Raises
    ------
    DataError
        If the file is damaged, or of another kind.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        # Polars panics on some damaged files, which is no Exception.
        if isinstance(error, OSError) and error.errno is not None:
            raise  # not of what is in the file
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"{path} is not a {kind} file: {reason}") from error


def check_columns_exist(table: pl.DataFrame, columns: list[str], path: Path) -> None:
    """Raise :class:`DataError` unless every column exists."""
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise DataError(f"{path} lacks the column(s) {absent}; there are {table.columns}")


def check_complete(table: pl.DataFrame, columns: list[str], path: Path) -> None:
    """Raise :class:`DataError` unless every column exists and has no missing value."""
    check_columns_exist(table, columns, path)
    for name in columns:
        raise_bad_values(table[name], table[name].is_null(), "must not be missing", path)


def parse_integers(values: pl.Series, path: Path) -> pl.Series:
    """A text column as Int64; raises :class:`DataError` if a value is not an integer."""
    numbers = values.cast(pl.Int64, strict=False)
    raise_bad_values(values, numbers.is_null(), "must be an integer", path)
    return numbers


def parse_numbers(values: pl.Series, path: Path, *, may_be_missing: bool = False) -> pl.Series:
    """A text column as Float64, null where it may be missing and is.

    Raises :class:`DataError` if another value is not a finite number.
    """
    numbers = values.cast(pl.Float64, strict=False)
    is_bad = ~numbers.is_finite().fill_null(False)
    if may_be_missing:
        is_bad &= values.cast(pl.String).str.strip_chars() != ""
    raise_bad_values(values, is_bad, "must be a number", path)
    return numbers


def packed(path: Path) -> Path:
    """The path, or the one of its packed form if only that is there."""
    zipped = path.with_name(f"{path.name}.gz")
    return zipped if zipped.exists() and not path.exists() else path


def raise_bad_values(values: pl.Series, is_bad: pl.Series, rule: str, path: Path) -> None:
    """Raise :class:`DataError` with the count and the first of the values that break a rule."""
    if is_bad.any():
        row = is_bad.arg_true()[0]
        raise DataError(
            f"{values.name} {rule} in {path}; {is_bad.sum()} of {values.len()} rows break this, "
            f"first row {row + 1} with {values[row]!r}{in_line(path, row, values.len())}"
        )


def _read_bytes(path: Path) -> bytes:
    check_is_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise DataError(f"{path} is empty")
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error
