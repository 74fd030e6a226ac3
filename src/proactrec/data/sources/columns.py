"""Columns of anybody's tables, read as ids, times, titles and categories.

What is no id and no time is said by the same rules as in an import; here it ends the reading.
"""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from proactrec.data import ids as rules
from proactrec.data.clock import PLAUSIBLE_SECONDS
from proactrec.data.importing.times import PER_SECOND, guessed_unit
from proactrec.data.sources.files import raise_bad_values
from proactrec.data.trees import joined
from proactrec.errors import DataError, DataWarning

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def ids(values: pl.Series, path: Path) -> pl.Series:
    """Ids as text, by the rules of :mod:`proactrec.data.ids`.

    Raises
    ------
    DataError
        If any is missing, or holds a line end or NUL, or the type has no text.
    """
    texts = rules.texts(values, path)
    raise_bad_values(values, rules.is_missing(texts), "must be an id", path)
    raise_bad_values(values, rules.is_broken(texts), "must hold no line end and no NUL", path)
    return texts


def times(values: pl.Series, path: Path) -> pl.Series:
    """Times as Int64 that keep their order.

    Integers stay as they are. Decimal numbers are multiplied by a million if any has a fraction.
    Dates and ISO 8601 texts become microseconds since 1970 (without a zone: UTC). Small numbers
    are ranks, which have no date.

    Raises
    ------
    DataError
        If any is null, negative, none of these, or a date outside the years 1980 to 2100.
    """
    numbers, per_second = _numbers(values, path)
    is_bad = (numbers < 0).fill_null(True)
    raise_bad_values(values, is_bad, "must be a number from 0 on or an ISO 8601 time", path)
    if per_second is not None:
        low, high = (second * per_second for second in PLAUSIBLE_SECONDS)
        is_implausible = (numbers < low) | (numbers >= high)
        raise_bad_values(values, is_implausible, "must be in the years 1980 to 2100", path)
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


def categories(
    values: pl.Series, separator: str, path: Path, *, level_separator: str | None = None
) -> pl.Series:
    """Lists of distinct category names; texts are split at the separator, null is no category.

    A name with `level_separator` in it becomes a path, see :mod:`proactrec.data.trees`.
    """
    if not isinstance(values.dtype, pl.List):
        values = _texts(values, path).str.split(separator)
    name = pl.element().cast(pl.String).str.strip_chars()
    cleaned = values.list.eval(name.filter(name != ""))
    if level_separator is not None:
        told = cleaned.list.explode().drop_nulls().unique()
        paths = {one: joined(one.split(level_separator)) for one in told}
        one = pl.element().replace(paths)
        cleaned = cleaned.list.eval(one.filter(one != ""))
    return cleaned.list.unique(maintain_order=True).fill_null([])


def _texts(values: pl.Series, path: Path) -> pl.Series:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Duration, pl.Object):
        raise DataError(
            f"{values.name} must hold texts or numbers in {path}, got the type {values.dtype}"
        )
    return values.cast(pl.String)


def _numbers(values: pl.Series, path: Path) -> tuple[pl.Series, int | None]:
    """Times as integers, and how many make a second; None: they are ranks."""
    if values.dtype in (pl.Date, pl.Datetime):
        return values.cast(pl.Datetime("us")).cast(pl.Int64), 1_000_000
    if values.dtype.is_float():
        return _from_floats(values)
    # The reading that leaves the fewest values out: the rest is what the caller hears about.
    tried = []
    for reading in _readings(_texts(values, path).str.strip_chars()):
        tried.append(reading)
        if reading[0].null_count() == 0:
            break
    return min(tried, key=lambda reading: reading[0].null_count())


def _readings(texts: pl.Series) -> Iterator[tuple[pl.Series, int | None]]:
    whole = texts.cast(pl.Int64, strict=False)
    yield whole, _per_second(whole)
    yield _from_floats(texts.cast(pl.Float64, strict=False))
    moments = {text: _microseconds(text) for text in texts.drop_nulls().unique()}
    yield texts.replace_strict(moments, default=None, return_dtype=pl.Int64), 1_000_000


def _from_floats(numbers: pl.Series) -> tuple[pl.Series, int | None]:
    finite = numbers.cast(pl.Float64).set(~numbers.is_finite(), None)
    per_second = _per_second(finite)
    if bool((finite == finite.floor()).all()):
        return finite.cast(pl.Int64, strict=False), per_second
    scaled = (finite * 1e6).round().cast(pl.Int64, strict=False)
    return scaled, None if per_second is None else per_second * 1_000_000


def _per_second(numbers: pl.Series) -> int | None:
    """How many make a second, by the middle one; None: that would be no date."""
    return PER_SECOND.get(guessed_unit(numbers) or "")


def _microseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MICROSECOND
