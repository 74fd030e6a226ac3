"""Columns of anybody's tables, read as ids, times, titles and categories."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from proactrec.data.sources.files import raise_bad_values
from proactrec.errors import DataError, DataWarning

NO_ID = ("", "nan", "null", "none")
"""Texts that are no id, whatever their case: what programs write where an id is missing."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def ids(values: pl.Series, path: Path) -> pl.Series:
    """Ids as text, exactly as they are written.

    Raises
    ------
    DataError
        If any is null, blank, or one of `NO_ID`.
    """
    texts = _texts(values, path)
    raise_bad_values(values, is_no_id(texts), "must be an id", path)
    return texts


def is_no_id(texts: pl.Series) -> pl.Series:
    """Whether a text is null, blank, or a word that programs write for a missing id."""
    return texts.str.strip_chars().str.to_lowercase().is_in(NO_ID).fill_null(True)


def times(values: pl.Series, path: Path) -> pl.Series:
    """Times as Int64 that keep their order.

    Integers stay as they are. Decimal numbers are multiplied by a million if any has a fraction.
    Dates and ISO 8601 texts become microseconds since 1970 (without a zone: UTC).

    Raises
    ------
    DataError
        If any is null, negative, or none of these.
    """
    numbers = _numbers(values, path)
    is_bad = (numbers < 0).fill_null(True)
    raise_bad_values(values, is_bad, "must be a number or an ISO 8601 time from 1970 on", path)
    return numbers


def titles(values: pl.Series, item_ids: pl.Series, path: Path) -> pl.Series:
    """Titles as text; missing ones are replaced by the id, with a :class:`DataWarning`."""
    texts = _texts(values, path)
    missing = texts.null_count()
    if missing:
        warnings.warn(
            f"{path} has no {values.name} for {missing} of {values.len()} items; "
            "they are shown by their id",
            DataWarning,
            stacklevel=2,
        )
    return texts.fill_null(item_ids)


def categories(values: pl.Series, separator: str, path: Path) -> pl.Series:
    """Lists of distinct category names; texts are split at the separator, null is no category."""
    if not isinstance(values.dtype, pl.List):
        values = _texts(values, path).str.split(separator)
    name = pl.element().cast(pl.String).str.strip_chars()
    cleaned = values.list.eval(name.filter(name != ""))
    return cleaned.list.unique(maintain_order=True).fill_null([])


def _texts(values: pl.Series, path: Path) -> pl.Series:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Duration, pl.Object):
        raise DataError(
            f"{values.name} must hold texts or numbers in {path}, got the type {values.dtype}"
        )
    return values.cast(pl.String)


def _numbers(values: pl.Series, path: Path) -> pl.Series:
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).cast(pl.Int64)
    if values.dtype.is_float():
        return _from_floats(values)
    # The reading that leaves the fewest values out: the rest is what the caller hears about.
    tried = []
    for numbers in _readings(_texts(values, path).str.strip_chars()):
        tried.append(numbers)
        if numbers.null_count() == 0:
            break
    return min(tried, key=pl.Series.null_count)


def _readings(texts: pl.Series) -> Iterator[pl.Series]:
    yield texts.cast(pl.Int64, strict=False)
    yield _from_floats(texts.cast(pl.Float64, strict=False))
    moments = {text: _microseconds(text) for text in texts.drop_nulls().unique()}
    yield texts.replace_strict(moments, default=None, return_dtype=pl.Int64)


def _from_floats(numbers: pl.Series) -> pl.Series:
    finite = numbers.cast(pl.Float64).set(~numbers.is_finite(), None)
    is_whole = bool((finite == finite.floor()).all())
    return (finite if is_whole else (finite * 1e6).round()).cast(pl.Int64, strict=False)


def _microseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MICROSECOND
