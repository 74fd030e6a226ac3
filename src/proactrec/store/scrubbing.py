"""Bytes of rows that are gone, taken off the database's own files."""

import logging
import mmap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from proactrec.errors import StoreError
from proactrec.store.database import BUSY_SECONDS, Database
from proactrec.store.erasing import OF_USERS
from proactrec.store.tables import CAMPAIGN_VERSIONS

PATIENCE_SECONDS = 10.0
"""So long it is waited for readers of SQLite's write-ahead log."""
LOG = logging.getLogger(__name__)


def scrub(database: Database, user_id: str) -> bool:
    """Let no byte of an erased user remain in the store's files; whether none does.

    SQLite's log is emptied; the file, whose transactions overwrote what they deleted, is written
    anew if the id is found in it still. PostgreSQL is told to vacuum, which frees the room for
    other rows and leaves bytes in it until then: see :func:`rewrite`.
    """
    try:
        if database.file is None:
            _say(database, "VACUUM (INDEX_CLEANUP ON, SKIP_LOCKED)")
            return False
        with _sqlite(database) as raw:
            is_done = _is_emptied(raw)
            if _holds(database.file, user_id):
                raw.execute("VACUUM")
                is_done = _is_emptied(raw)
            return is_done
    except StoreError as error:
        LOG.warning("%s", error)
        return False


def rewrite(database: Database) -> None:
    """Write all tables of users anew, so that no byte of what was erased is in their files.

    Nobody decides meanwhile. What PostgreSQL's own log, its archives and replicas hold is its own
    to forget.

    Raises
    ------
    StoreError
        If the database fails.
    """
    if not database.is_sqlite:
        _say(database, "VACUUM FULL")
        return
    with _sqlite(database) as raw:
        raw.execute("VACUUM")
        if not _is_emptied(raw):
            raise StoreError("SQLite's log could not be emptied while it is read: try again")


@contextmanager
def _sqlite(database: Database) -> Iterator[Any]:
    """A connection on which nothing has begun."""
    with _told(database), closing(database.engine.raw_connection()) as pooled:
        raw: Any = pooled.driver_connection
        raw.execute("PRAGMA secure_delete = ON")
        raw.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE_SECONDS)}")
        try:
            yield raw
        finally:
            raw.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")


def _is_emptied(raw: Any) -> bool:
    """Whether the log could be written into the file before too long."""
    return not raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


def _holds(path: Path, text: str) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def _say(database: Database, what: str) -> None:
    """A statement about all tables that hold users, outside any transaction, however long."""
    names = ", ".join(table.name for table in (*OF_USERS, CAMPAIGN_VERSIONS))
    with (
        _told(database),
        database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        connection.detach()  # as it is not like the others any more
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql(f"{what} {names}")


@contextmanager
def _told(database: Database) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, database.engine.dialect.loaded_dbapi.Error) as error:
        raise StoreError(f"erased rows could not be overwritten: {error}") from error
