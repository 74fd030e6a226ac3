"""In which unit a data set's times are counted: told from the newest of them."""

from datetime import UTC, date, datetime, time, timedelta

UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
PLAUSIBLE_SECONDS = (315_532_800, 4_102_444_800)  # 1980 to 2100


def unit_of(newest: int) -> int | None:
    """Units in a second, if the newest time is then from 1980 to 2100; None if no unit fits."""
    low, high = PLAUSIBLE_SECONDS
    return next((unit for unit in UNITS_PER_SECOND if low <= newest / unit < high), None)


def iso(timestamp: int, unit: int) -> str:
    """ISO 8601 in UTC, to the second; also for times before 1970."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp / unit)
    return moment.isoformat(timespec="seconds")


def start_of(day: date, unit: int) -> int:
    """The first moment of a day in UTC, in units."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * unit
