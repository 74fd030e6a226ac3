"""A store in one file, the same for both databases: a zip of tables in Parquet, and a manifest.

It holds one moment, whatever instances do meanwhile; what was erased before it is not in it. Of
keys it holds the hashes that the store has.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile, is_zipfile

import polars as pl
from polars.exceptions import PolarsError
from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.types import Integer, LargeBinary

from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.files import replacing
from proactrec.progress import Progress, silent
from proactrec.store import care
from proactrec.store.care import Heads, heads
from proactrec.store.database import Database, Hot, newest_schema
from proactrec.store.erased import mark
from proactrec.store.rebuild import Difference, differences_in
from proactrec.store.tables import AUDIT, DECISIONS, METADATA, USERS

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
PAGE = 50_000
"""Rows of a part."""
IN_ORDER = METADATA.sorted_tables
LOCKED = (USERS, *(table for table in IN_ORDER if table not in (USERS, AUDIT)), AUDIT)
"""In the order in which others write to them."""
NUMBERED = (AUDIT, DECISIONS)
"""Tables whose `seq` the database gives."""
DIFFER = "the state in it is not what its log says, e.g. of"


class Part(NamedTuple):
    """Some rows of a table."""

    table: str
    name: str  # in the zip
    n_rows: int
    sha256: str


def backup(database: Database, path: Path, progress: Progress = silent) -> dict[str, int]:
    """Write all of a store to a file, which appears whole or not at all; rows by table.

    Raises
    ------
    StoreError
        If the database fails.
    InvalidInputError
        If something else is in the file, e.g. the store itself.
    """
    if path.is_file() and path.stat().st_size and not is_zipfile(path):
        raise InvalidInputError(f"{path} is there, and no backup: choose another file")
    with replacing(path) as partial:
        partial.touch(0o600)
        with partial.open("wb") as file:
            with ZipFile(file, "w") as archive, database.reading() as connection:
                counts = _archive(connection, archive, progress)
            file.flush()
            os.fsync(file.fileno())
    return counts


def restore(
    database: Database, path: Path, *, force: bool = False, progress: Progress = silent
) -> dict[str, int]:
    """Put a backup in place of all that is in a store, in one transaction; rows by table.

    The store is made where there is none, once the file was checked. Instances that work on it
    take it up with their next decision.

    Parameters
    ----------
    force : bool
        Though the store is not empty: what is in it is lost.

    Raises
    ------
    InvalidInputError
        If the store is not empty.
    ArtefactError
        If the file is no backup, is damaged or of another schema, or its state is not a fold of its
        log; then nothing has changed.
    """
    try:
        with ZipFile(path) as archive:
            parts = _checked(archive, path, progress)
            database.migrate()
            with database.writing() as connection:
                known = _make_room(connection, force=force)
                _fill(connection, archive, parts, progress)
                _renew(connection, known, time.time_ns() // 1000)
                for wrong in _wrong(connection, progress):
                    raise ArtefactError(f"backup {path}: {DIFFER} {wrong.table} {wrong.key}")
    except (BadZipFile, PolarsError) as error:
        raise ArtefactError(f"backup {path} can't be read: {error}") from error
    return _sums(parts)


def _archive(connection: Connection, archive: ZipFile, progress: Progress) -> dict[str, int]:
    counts = {table.name: _count(connection, table) for table in IN_ORDER}
    total, parts = sum(counts.values()), list[Part]()
    for table in IN_ORDER:
        for part in _written(connection, table, archive):
            parts.append(part)
            progress("backup", sum(one.n_rows for one in parts), total, table.name)
    archive.writestr(MANIFEST, json.dumps(_manifest(counts, parts), indent=2))
    return counts


def _manifest(counts: dict[str, int], parts: list[Part]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "schema": newest_schema(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": counts,
        "parts": [part._asdict() for part in parts],
    }


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _written(connection: Connection, table: Table, archive: ZipFile) -> Iterator[Part]:
    """A table's rows, some at a time."""
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=PAGE)
    for n, rows in enumerate(connection.execute(query).partitions()):
        content = io.BytesIO()
        columns = list(zip(*rows, strict=True))
        data = dict(zip(table.columns.keys(), columns, strict=True))
        pl.DataFrame(data, _schema(table)).write_parquet(content)
        name = f"{table.name}/{n:05}.parquet"
        archive.writestr(name, content.getbuffer())
        yield Part(table.name, name, len(rows), hashlib.sha256(content.getbuffer()).hexdigest())


def _schema(table: Table) -> dict[str, Any]:
    def kind(column: Any) -> type[pl.DataType]:
        if isinstance(column.type, LargeBinary):
            return pl.Binary
        return pl.Int64 if isinstance(column.type, Integer) else pl.String

    return {column.name: kind(column) for column in table.columns}


def _checked(archive: ZipFile, path: Path, progress: Progress) -> list[Part]:
    """The parts of a backup, every byte of them as it was written."""
    try:
        said = json.loads(archive.read(MANIFEST))
        found, schema = said["format_version"], said["schema"]
        parts = [Part(**part) for part in said["parts"]]
        rows = {name: n for name, n in said["rows"].items() if n}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{path} is no backup: {MANIFEST} can't be read") from error
    if (found, schema) != (FORMAT_VERSION, newest_schema()):
        raise ArtefactError(
            f"backup {path} has the format {found} and the schema {schema}, this proactrec reads "
            f"{FORMAT_VERSION} and {newest_schema()}: restore it with the one that made it"
        )
    for n, part in enumerate(parts, 1):
        is_there = part.name in archive.namelist()
        if not is_there or hashlib.sha256(archive.read(part.name)).hexdigest() != part.sha256:
            raise ArtefactError(f"backup {path} is damaged: {part.name} is not what was written")
        progress("check", n, len(parts), part.name)
    if _sums(parts) != rows:
        raise ArtefactError(f"backup {path} is damaged: parts are missing")
    return parts


def _sums(parts: list[Part]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        found[part.table] = found.get(part.table, 0) + part.n_rows
    return found


def _make_room(connection: Connection, *, force: bool) -> dict[str, Heads]:
    """Delete what is there, with nobody who writes in between; what instances remember of it."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        names = ", ".join(table.name for table in LOCKED)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    full = [table.name for table in IN_ORDER if _count(connection, table)]
    if full and not force:
        raise InvalidInputError(
            f"the store must be empty, got rows in {', '.join(full)}: --force replaces them"
        )
    known = {tenant: heads(Hot(connection), tenant) for tenant in _tenants(connection)}
    for table in reversed(IN_ORDER):
        connection.execute(table.delete())
    return known


def _renew(connection: Connection, known: dict[str, Heads], at: int) -> None:
    """Let instances look at everything anew: numbers of another time may be given again."""
    for tenant in sorted(known.keys() | set(_tenants(connection))):
        old = known.get(tenant, Heads({}, 0))
        now = heads(Hot(connection), tenant)
        version = max(one.versions.get("~care", 0) for one in (old, now))
        said = care.current(connection, tenant)
        care.change(connection, tenant, said, by="restore", at=at, after=max(version, 1))
        mark(connection, tenant, after=old.erased)


def _fill(connection: Connection, archive: ZipFile, parts: list[Part], progress: Progress) -> None:
    total, done = sum(part.n_rows for part in parts), 0
    order = {table.name: n for n, table in enumerate(IN_ORDER)}
    for part in sorted(parts, key=lambda part: (order[part.table], part.name)):
        table = pl.read_parquet(io.BytesIO(archive.read(part.name)))
        connection.execute(insert(METADATA.tables[part.table]), table.to_dicts())
        done += part.n_rows
        progress("restore", done, total, part.table)
    if connection.dialect.name != "sqlite":
        for numbered in NUMBERED:
            _go_on_counting(connection, numbered.name)


def _go_on_counting(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(
        f"SELECT setval(pg_get_serial_sequence('{name}', 'seq'), "
        f"(SELECT COALESCE(MAX(seq), 0) + 1 FROM {name}), false)"
    )


def _tenants(connection: Connection) -> list[str]:
    found: set[str] = set()
    for table in IN_ORDER:
        found.update(connection.execute(select(table.c.tenant).distinct()).scalars())
    return sorted(found)


def _wrong(connection: Connection, progress: Progress) -> Iterator[Difference]:
    for tenant in _tenants(connection):
        yield from differences_in(connection, tenant, progress)
