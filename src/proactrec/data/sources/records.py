"""Files with one record a line: JSON, or a Python literal that is read without being run."""

import ast
import json
import warnings
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from proactrec.data.sources.lines import read_lines
from proactrec.errors import DataError

Parse = Callable[[str], Any]
NO_RECORD = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
"""What parsers raise on text that is no record of theirs, too deep or too long ones included."""


def parse_literal(text: str) -> Any:
    """The value of a Python literal, e.g. ``{u'id': u'7'}``; nothing in it is run.

    A text without double quotes and backslashes says the same in JSON once its quotes are changed,
    and is then read ten times as fast; :func:`ast.literal_eval` has the last word on all others.
    """
    if '"' not in text and "\\" not in text:
        try:
            return json.loads(_as_json(text), parse_constant=_refuse_constant)
        except NO_RECORD:
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of odd escapes in people's texts
        return ast.literal_eval(text)


def _as_json(text: str) -> str:
    """The text with double quotes, and without u before a string; every second part is inside."""
    parts = text.split("'")
    outside = "'".join(parts[::2]).replace("u'", "'")
    for name, json_name in (("True", "true"), ("False", "false"), ("None", "null")):
        outside = outside.replace(name, json_name)
    parts[::2] = outside.split("'")
    return '"'.join(parts)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no Python literal")


def read_records(path: Path, parse: Parse = json.loads) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and record of every line that is not blank.

    Raises
    ------
    InvalidInputError
        If there is no such file, or it is a folder.
    DataError
        If it cannot be read, a line is no record of the kind, or there is none.
    """
    is_empty = True
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            is_empty = False
            yield number, _record(line, number, path, parse)
    if is_empty:
        raise DataError(f"{path} is empty")


def read_columns(
    path: Path, fields: Sequence[str], parse: Parse = json.loads, *, optional: Sequence[str] = ()
) -> pl.DataFrame:
    """One row a record: fields as text, null where missing; a field that is ever a list as lists,
    empty where missing.

    A field that no record has is no column; an `optional` one is, and null throughout.

    Raises
    ------
    DataError, InvalidInputError
        As :func:`read_records`; also if a field holds a record itself.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*fields, *optional)}
    seen, numbers = set(optional), array("q")
    for number, record in read_records(path, parse):
        numbers.append(number)
        seen |= record.keys() & columns.keys()
        for name, values in columns.items():
            values.append(plain(record.get(name), name, number, path))
    return pl.DataFrame(
        [as_column(name, values, numbers, path) for name, values in columns.items() if name in seen]
    )


def as_column(name: str, values: list[Any], numbers: Sequence[int], path: Path) -> pl.Series:
    """Values that :func:`plain` let through as a column of texts, or of lists if one is a list."""
    try:
        if any(isinstance(value, list) for value in values):
            return _list_column(name, values)
        return pl.Series(name, values, dtype=pl.String)
    except UnicodeEncodeError:
        _raise_half_characters(name, values, numbers, path)


def _list_column(name: str, values: list[Any]) -> pl.Series:
    """A column of lists, empty ones for nulls; polars itself would build each list apart."""
    lists = [v if isinstance(v, list) else [] if v is None else [v] for v in values]
    lengths = np.array([len(one) for one in lists])
    flat = pl.Series("value", [text for one in lists for text in one], dtype=pl.String)
    rows = pl.DataFrame({"row": np.repeat(np.arange(len(lists)), lengths), "value": flat})
    filled = rows.group_by("row", maintain_order=True).agg("value")
    every = pl.DataFrame({"row": np.arange(len(lists))})
    joined = every.join(filled, on="row", how="left", maintain_order="left")["value"]
    return joined.fill_null([]).rename(name)


def plain(value: Any, name: str, number: int, path: Path) -> str | list[str] | None:
    """A field's value as text, or as a list of texts; null is no value.

    Raises
    ------
    DataError
        If it is neither, naming file, line and field.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list):
        if all(type(part) is str for part in value):
            return value
        texts = [plain(part, name, number, path) for part in value]
        if not any(isinstance(text, list) for text in texts):
            return [text for text in texts if isinstance(text, str)]
    raise DataError(
        f"{name} must be a text, a number or a list of them in {path}, line {number}, "
        f"got {str(value)[:60]!r}"
    )


def _record(line: bytes, number: int, path: Path, parse: Parse) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not utf-8 text: byte 0x{line[error.start]:02x} in line {number}, "
            f"column {error.start + 1}"
        ) from error
    kind = "JSON" if parse is json.loads else "a Python literal"
    try:
        value = parse(text.strip())
    except NO_RECORD as error:
        raise DataError(f"{path} is not {kind} in line {number}{_where(error)}") from error
    if not isinstance(value, dict):
        raise DataError(
            f"{path} must hold one record a line, got {type(value).__name__} in line {number}"
        )
    return value


def _where(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f", column {error.colno}: {error.msg}"
    if isinstance(error, SyntaxError) and error.offset:
        return f", column {error.offset}: {error.msg}"
    if isinstance(error, RecursionError | MemoryError):
        return ": it is nested too deep"
    return f": {' '.join(str(error).split())[:80]}"


def _raise_half_characters(
    name: str, values: list[Any], numbers: Sequence[int], path: Path
) -> NoReturn:
    for value, number in zip(values, numbers, strict=True):
        for text in value if isinstance(value, list) else [value]:
            if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise DataError(
                    f"{name} holds half a character (a lone surrogate) in {path}, line {number}"
                )
    raise DataError(f"{name} holds text that cannot be kept in {path}")
