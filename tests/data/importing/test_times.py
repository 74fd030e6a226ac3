"""Times of every common writing become microseconds in UTC."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from proactrec.data.importing.options import TimeOptions
from proactrec.data.importing.times import TimeReader, guessed_unit, looks_as_times
from proactrec.errors import DataError, InvalidInputError

MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


def read(values: pl.Series, **options: str) -> list[int | None]:
    return TimeReader(values, TimeOptions(**options)).read(values).times.to_list()


@pytest.mark.parametrize(
    ("value", "extra"),
    [
        (SECONDS, 0),
        (SECONDS * 1_000 + 6, 6_000),
        (SECONDS * 1_000_000 + 7, 7),
        (SECONDS * 1_000_000_000 + 7_999, 7),
        (str(SECONDS), 0),
        (f" {SECONDS * 1_000} ", 0),
        (float(SECONDS), 0),
        (SECONDS + 0.25, 250_000),
        (f"{SECONDS}.25", 250_000),
        ("2024-01-02T03:04:05Z", 0),
        ("2024-01-02T03:04:05.5Z", 500_000),
        ("2024-01-02 03:04:05", 0),
        ("2024-01-02T03:04:05.123456789", 123_456),
        ("2024-01-02T05:04:05+02:00", 0),
        ("2024-01-02 05:04:05 +0200", 0),
        ("2024-01-01T22:04:05-05", 0),
        ("2024/01/02 03:04:05", 0),
        ("20240102030405", 0),
        ("02.01.2024 03:04:05", 0),
        ("2.1.2024 3:04:05.5", 500_000),
        (datetime(2024, 1, 2, 3, 4, 5), 0),
        (MOMENT, 0),
    ],
)
def test_one_moment_written_in_many_ways(value: object, extra: int) -> None:
    assert read(pl.Series("at", [value, value])) == [SECONDS * 1_000_000 + extra] * 2


def test_days_are_midnight_of_their_zone() -> None:
    for values in (["2024-07-01"], [date(2024, 7, 1)], ["20240701"], [20240701]):
        midnight = datetime(2024, 6, 30, 22, tzinfo=UTC)
        found = read(pl.Series("at", values), zone="Europe/Berlin")
        assert found == [int(midnight.timestamp()) * 1_000_000]


def test_the_clock_goes_back_and_forward() -> None:
    values = pl.Series("at", ["2024-10-27 02:30:00", "2024-03-31 02:30:00", "2024-03-31 03:30:00"])
    twice, skipped, after = read(values, zone="Europe/Berlin")
    assert twice == int(datetime(2024, 10, 27, 0, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert skipped == after  # 02:30 did not exist: it is read as 03:30


def test_a_zone_in_the_text_beats_the_option() -> None:
    values = pl.Series("at", ["2024-01-02T03:04:05Z", "2024-01-02 04:04:05"])
    assert read(values, zone="Europe/Berlin") == [SECONDS * 1_000_000] * 2


def test_a_format_is_taken_as_given() -> None:
    values = pl.Series("at", ["02.01.2024 03:04:05", "2024-01-02 03:04:05"])
    assert read(values, format="%d.%m.%Y %H:%M:%S") == [SECONDS * 1_000_000, None]


def test_units_are_guessed_by_the_middle() -> None:
    for unit, scale in {"s": 1, "ms": 1_000, "us": 10**6, "ns": 10**9}.items():
        assert guessed_unit(pl.Series([0, SECONDS * scale, SECONDS * scale])) == unit
    assert guessed_unit(pl.Series([1, 2, 3])) == "order"
    assert guessed_unit(pl.Series([20240131, 20231231])) is None


def test_seconds_among_milliseconds_are_not_taken_for_1970() -> None:
    values = pl.Series("at", [SECONDS * 1_000] * 9 + [SECONDS])
    reading = TimeReader(values, TimeOptions()).read(values)
    assert reading.is_implausible.to_list() == [False] * 9 + [True]


def test_ranks_stay_as_they_are() -> None:
    assert read(pl.Series("at", [3, 1, 2])) == [3, 1, 2]
    assert read(pl.Series("at", [3.0, 1.0]), unit="order") == [3, 1]


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(DataError, match="holds no times that are understood, first 'soon'"):
        TimeReader(pl.Series("at", ["soon"]), TimeOptions())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-02", "2024-01-03"], True),
        ([SECONDS, SECONDS], True),
        (["a", "b"], False),
        ([5, 3, 4], False),
        ([4.5, 3.0], False),
        ([[1]], False),
        ([True], False),
        ([None], False),
    ],
)
def test_columns_of_times_are_recognised(values: list[object], expected: bool) -> None:
    assert looks_as_times(pl.Series(values, strict=False)) is expected


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Europe", "Mars/Base"])
def test_a_zone_that_is_no_zone_is_refused(zone: str) -> None:
    """Files of the machine's own are found by Python, and by nothing else."""
    with pytest.raises(InvalidInputError, match=f"time zone '{zone}' does not exist"):
        read(pl.Series("at", ["2024-01-01 10:00:00"]), zone=zone)
