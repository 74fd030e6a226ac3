"""Times of any common writing as microseconds since 1970 in UTC."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from proactrec.data.clock import PLAUSIBLE_SECONDS
from proactrec.data.importing.options import TimeOptions
from proactrec.errors import DataError, InvalidInputError

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
FORMATS = (
    "%Y-%m-%dT%H:%M:%SZ",  # without fractions and zones to be read: seven times as fast
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d",
    "%Y%m%dT%H%M%SZ",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S%.f",  # dates with dots begin with the day wherever they are written
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
)
"""Tried in this order; day-first and month-first dates with slashes need `--time-format`."""
LOW, HIGH = (second * 1_000_000 for second in PLAUSIBLE_SECONDS)


class Reading(NamedTuple):
    """Times in microseconds, null where a value is none; and which are outside 1980–2100."""

    times: pl.Series  # Int64
    is_implausible: pl.Series


class TimeReader:
    """Reads times of one column; unit and formats are settled on a sample.

    Parameters
    ----------
    sample : Series
        First values of the column.

    Raises
    ------
    InvalidInputError
        If the zone does not exist.
    DataError
        If most values of the sample can be read in no way.
    """

    def __init__(self, sample: pl.Series, options: TimeOptions) -> None:
        try:
            ZoneInfo(options.zone)
            pl.Series([], dtype=pl.Datetime("us")).dt.replace_time_zone(options.zone)
        except (ValueError, OSError, KeyError, pl.exceptions.PolarsError) as error:
            raise InvalidInputError(f"time zone {options.zone!r} does not exist") from error
        self._zone, self._format = options.zone, options.format
        self._formats = [options.format] if options.format else list(FORMATS)
        self.unit: str = options.unit
        if self.unit == "auto":
            self.unit = "iso" if options.format else guessed_unit(sample) or "iso"
        if self.unit == "iso" and not sample.dtype.is_temporal():
            self._check_sample(sample)

    @property
    def is_order(self) -> bool:
        """Whether times are mere ranks, which have no date."""
        return self.unit == "order"

    def read(self, values: pl.Series) -> Reading:
        """Times of a batch."""
        if values.dtype.is_temporal():
            times = _of_moments(values, self._zone)
        elif self.unit == "iso":
            times = self._of_texts(values.cast(pl.String, strict=False))
        else:
            times = self._of_numbers(values)
        if self.is_order:
            return Reading(times, pl.repeat(False, len(times), eager=True))
        return Reading(times, ((times < LOW) | (times >= HIGH)).fill_null(False))

    def _of_numbers(self, values: pl.Series) -> pl.Series:
        if values.dtype == pl.String:
            values = values.str.strip_chars()
        whole = values.cast(pl.Int64, strict=False)
        if self.is_order:
            return whole
        per_second, may_be_whole = PER_SECOND[self.unit], not values.dtype.is_float()
        scaled = whole // 1_000 if self.unit == "ns" else whole * (1_000_000 // per_second)
        if may_be_whole and whole.null_count() == values.null_count():
            return scaled
        numbers = values.cast(pl.Float64, strict=False)
        numbers = numbers.set(~numbers.is_finite(), None)
        exact = (numbers * (1_000_000 / per_second)).round().cast(pl.Int64, strict=False)
        return scaled.zip_with(whole.is_not_null(), exact) if may_be_whole else exact

    def _of_texts(self, values: pl.Series) -> pl.Series:
        times = pl.Series(values.name, [None] * len(values), dtype=pl.Int64)
        rest = values if self._format else values.str.strip_chars()
        for form in list(self._formats):
            if not rest.null_count() < len(rest):
                break
            zone = "UTC" if form.endswith("Z") else self._zone
            moments = rest.str.to_datetime(form, strict=False, time_unit="us", cache=False)
            found = _of_moments(moments, zone)
            if found.null_count() == len(found):
                continue
            times = times.fill_null(found)
            rest = rest.set(times.is_not_null(), None)
            if not self._format:  # what has just worked is tried first next time
                self._formats.remove(form)
                self._formats.insert(0, form)
        return times

    def _check_sample(self, sample: pl.Series) -> None:
        filled = sample.cast(pl.String, strict=False).drop_nulls()
        if filled.len() and self._of_texts(filled).null_count() > filled.len() / 2:
            raise DataError(
                f"{sample.name} holds no times that are understood, first {filled[0]!r}: give "
                "--time-format (as %d/%m/%Y %H:%M), --time-unit, or another column of times"
            )


def guessed_unit(sample: pl.Series) -> str | None:
    """Unit of numbers by the middle of the sample; None for what is no number."""
    if sample.dtype.is_temporal() or sample.dtype == pl.Boolean or sample.dtype.is_nested():
        return None
    filled = sample.drop_nulls()
    numbers = (filled.str.strip_chars() if filled.dtype == pl.String else filled).cast(
        pl.Float64, strict=False
    )
    if not numbers.len() or numbers.null_count() > numbers.len() / 2:
        return None
    middle = numbers.filter(numbers.is_finite()).median()
    if not isinstance(middle, float):
        return None
    low, high = PLAUSIBLE_SECONDS
    for unit, per_second in PER_SECOND.items():
        if low <= middle / per_second < high:
            return unit
    # 20240131, or 20240131235959
    is_date = 19_800_101 <= middle < 21_000_101 or 19_800_101e6 <= middle < 21_000_101e6
    return None if is_date else "order"


def looks_as_times(sample: pl.Series) -> bool:
    """Whether nearly all values of a sample are times with a date."""
    if sample.dtype in (pl.Date, pl.Datetime):
        return True
    if sample.dtype.is_nested() or sample.dtype in (pl.Boolean, pl.Binary, pl.Time, pl.Duration):
        return False
    filled = sample.drop_nulls()
    unit = guessed_unit(filled)
    if not filled.len() or unit == "order":
        return False
    try:
        reader = TimeReader(filled, TimeOptions())
    except DataError:
        return False
    times, is_implausible = reader.read(filled)
    return times.null_count() + int(is_implausible.sum()) <= 0.05 * filled.len()


def _of_moments(moments: pl.Series, zone: str) -> pl.Series:
    """Microseconds in UTC; a time without a zone is one of `zone`.

    Of a time that the clock shows twice the first is meant; one that it skips is moved on.
    """
    if moments.dtype == pl.Time or moments.dtype == pl.Duration:
        raise DataError(f"{moments.name} holds times without a date (type {moments.dtype})")
    moments = moments.cast(pl.Datetime("us", getattr(moments.dtype, "time_zone", None)))
    if getattr(moments.dtype, "time_zone", None) is None and zone != "UTC":
        local = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        later = moments.dt.offset_by("1h")
        moved = later.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        moments = local.fill_null(moved)
    return moments.to_physical().cast(pl.Int64)
