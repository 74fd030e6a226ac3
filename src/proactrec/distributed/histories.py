"""From logs of events to one row a user, which is what is cut into shards: in bounded memory."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from proactrec.data import imported
from proactrec.data.sources.files import named
from proactrec.distributed.shards import ROUNDS, check_ids, parquet_files
from proactrec.errors import DataError, DataWarning, InvalidInputError
from proactrec.files import alone_in, replacing_folder
from proactrec.guidance.past import JOURNEY_COLUMNS
from proactrec.progress import Progress, silent

EVENT_COLUMNS = ("user_id", "item_id", "timestamp")
AT_ONCE = 10_000_000
"""Events that are gathered in memory at a time, about."""
ROW_GROUP = 10_000
"""Users of a row group: whoever wants some of them reads no more than that beside."""


def gather(
    events: Path,
    out: Path,
    journeys: Path | None = None,
    *,
    at_once: int = AT_ONCE,
    progress: Progress = silent,
) -> int:
    """Write a folder of Parquet files with a row a user; gives the number of users.

    The files are read as often as memory asks for, each time for the users whose hashed ids fall
    into one part.

    Parameters
    ----------
    events : Path
        Parquet file, folder of such, or folder of an import: `user_id`, `item_id`, `timestamp`.
        Events of the same time stay in the order of the files.
    out : Path
        Folder to write; it appears whole or not at all.
    journeys : Path, optional
        The same with what was shown before: the columns of :data:`JOURNEY_COLUMNS`.
    at_once : int
        Events that are held at a time, about.

    Raises
    ------
    InvalidInputError
        If something lies at `out`, or a file is missing.
    DataError
        If a column is missing, or there are no events.
    """
    if out.exists():
        raise InvalidInputError(f"{out} exists already: choose another folder")
    source = events / imported.EVENTS if imported.is_import(events) else events
    logs = {source: _whole(source, _scan(source, EVENT_COLUMNS))}
    if journeys is not None:
        logs[journeys] = _scan(journeys, JOURNEY_COLUMNS)
    n_rows = sum(log.select(pl.len()).collect().item() for log in logs.values())
    if not n_rows:
        raise DataError(f"{events} holds no events")
    n_parts, n_users = -(-n_rows // at_once), 0
    with alone_in(out, is_replaced=True), replacing_folder(out) as partial:
        for number, table in enumerate(_parts(logs, n_parts)):
            table.write_parquet(partial / f"{number:04}.parquet", row_group_size=ROW_GROUP)
            n_users += table.height
            progress("histories", number + 1, n_parts)
    return n_users


def _whole(path: Path, events: pl.LazyFrame) -> pl.LazyFrame:
    """Events of which all is known, in the order of their times; how many are not is told."""
    kind = events.collect_schema()["timestamp"]
    if not (kind.is_numeric() or kind.is_temporal()):
        raise DataError(f"timestamp in {path} must be numbers or times, got {kind}")
    is_whole = pl.all_horizontal(pl.col(EVENT_COLUMNS).is_not_null())
    if kind.is_float():
        is_whole &= ~pl.col("timestamp").is_nan()
    with named(path, "Parquet"):
        n_left = events.select((~is_whole).sum()).collect(engine="streaming").item()
    if n_left:
        warnings.warn(
            f"{path}: rows without user_id, item_id or timestamp are left aside: {n_left:,}",
            DataWarning,
            stacklevel=3,
        )
    return events.filter(is_whole)


def _scan(path: Path, columns: tuple[str, ...]) -> pl.LazyFrame:
    """These columns of Parquet files, ids as text."""
    scan = pl.scan_parquet(parquet_files(path), glob=False)
    if missing := [name for name in columns if name not in scan.collect_schema()]:
        raise DataError(
            f"{path} must have the columns {', '.join(columns)}; {', '.join(missing)} is missing"
        )
    for name in columns:
        if name.endswith("_id"):
            check_ids(path, name, scan.collect_schema()[name])
    ids = [pl.col(name).cast(pl.String) for name in columns if name.endswith("_id")]
    return scan.select(columns).with_columns(ids)


def _parts(logs: dict[Path, pl.LazyFrame], n_parts: int) -> Iterator[pl.DataFrame]:
    """Users with all that is theirs, some at a time."""
    for number in range(n_parts):
        is_here = pl.col("user_id").hash(0) % n_parts == number
        found = []
        for path, log in logs.items():
            with named(path, "Parquet"):
                of_them = log.drop_nulls("user_id").filter(is_here)
                found.append(of_them.collect(engine="streaming"))
        yield _by_user(*found)


def _by_user(events: pl.DataFrame, journeys: pl.DataFrame | None = None) -> pl.DataFrame:
    """A row a user, in the order of ids: `item_ids` by time, and `rounds` if there are journeys."""
    in_order = events.sort("user_id", "timestamp", maintain_order=True)
    users = in_order.group_by("user_id", maintain_order=True).agg(item_ids="item_id")
    if journeys is None:
        return users
    told = journeys.select("user_id", pl.struct(JOURNEY_COLUMNS[1:]).alias(ROUNDS))
    rounds = told.group_by("user_id", maintain_order=True).agg(ROUNDS)
    return users.join(rounds, on="user_id", how="full", coalesce=True).sort("user_id")
