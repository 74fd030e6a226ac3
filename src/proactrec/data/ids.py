"""Ids of any type as text, exactly as they are, and which texts are none."""

from pathlib import Path

import polars as pl

from proactrec.errors import DataError, InvalidInputError

NO_ID = ("", "nan", "null", "none")
"""Texts that are no id, whatever their case: what programs write where an id is missing."""
LARGEST_WHOLE_FLOAT = 2.0**53
"""Floats from here on leave out whole numbers: an id up there was rounded before we saw it."""


def texts(values: pl.Series, path: Path) -> pl.Series:
    """Ids as texts: numbers as digits, whole floats without their `.0`, binary as hex.

    Raises
    ------
    DataError
        If the type has no text, or floats are too large to be exact.
    """
    kind = values.dtype
    if kind == pl.String:
        return values
    if kind.is_float():
        return _of_floats(values, path)
    if kind == pl.Binary:
        return values.bin.encode("hex")
    if kind.is_nested() or kind in (pl.Duration, pl.Object):
        raise DataError(f"{values.name} must hold ids in {path}, got the type {kind}")
    return values.cast(pl.String)


def is_missing(ids: pl.Series) -> pl.Series:
    """Whether an id is null, blank, or a word that programs write for a missing one."""
    return ids.str.strip_chars().str.to_lowercase().is_in(NO_ID).fill_null(True)


def is_broken(ids: pl.Series) -> pl.Series:
    """Whether an id holds a line end or NUL: what an unclosed quote leaves."""
    return ids.str.contains(r"[\x00\r\n]").fill_null(False)


def check_apart(*columns: str | None) -> None:
    """Refuse one column as that of users, items or times at once; those not named may be any."""
    named = [name for name in columns if name]
    if twice := [name for name in named if named.count(name) > 1]:
        raise InvalidInputError(
            f"users, items and times must stand in different columns, got {twice[0]!r} twice"
        )


def _of_floats(values: pl.Series, path: Path) -> pl.Series:
    finite = values.cast(pl.Float64)
    finite = finite.set(~finite.is_finite(), None)
    largest = finite.abs().max()
    if isinstance(largest, float) and largest >= LARGEST_WHOLE_FLOAT:
        raise DataError(
            f"{values.name} holds ids as decimal numbers up to {largest:.0f} in {path}: beyond "
            "2^53 they were rounded when the file was written; write them as whole numbers or text"
        )
    whole = finite.cast(pl.Int64, strict=False)
    is_whole = finite == whole.cast(pl.Float64)
    return whole.cast(pl.String).zip_with(is_whole.fill_null(True), values.cast(pl.String))
