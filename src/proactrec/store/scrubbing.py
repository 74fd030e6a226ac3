"""Bytes of rows that are gone, taken off the database's own files."""

import logging
import mmap
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from proactrec.store.database import Database
from proactrec.store.erasing import OF_USERS
from proactrec.store.tables import CAMPAIGN_VERSIONS

CHECKPOINT_SECONDS = 10.0
"""So long it is waited for readers of SQLite's write-ahead log."""
LOG = logging.getLogger(__name__)


def scrub(database: Database, user_id: str) -> bool:
    """Let no byte of an erased user's rows remain in the store's files; whether that was done.

    SQLite's log is emptied; the file, whose transactions overwrote what they deleted, is written
    anew if the id is found in it still. PostgreSQL is told to vacuum: what the database's own log,
    its archives and replicas hold is its own to forget.
    """
    try:
        with closing(database.engine.raw_connection()) as raw:
            if database.is_sqlite:
                return _scrub_sqlite(raw.driver_connection, database, user_id)
            _vacuum_postgresql(raw.driver_connection)
            return True
    except DBAPIError as error:
        LOG.warning("erased rows are overwritten later: %s", error)
    except database.engine.dialect.loaded_dbapi.Error as error:
        LOG.warning("erased rows are overwritten later: %s", error)
    return False


def _scrub_sqlite(raw: Any, database: Database, user_id: str) -> bool:
    raw.execute("PRAGMA secure_delete = ON")
    is_done = _checkpointed(raw)
    if _holds(Path(str(database.url.database)), user_id):
        raw.execute("VACUUM")
        is_done = _checkpointed(raw)
    return is_done


def _checkpointed(raw: Any) -> bool:
    """Whether the log could be emptied into the file before too long."""
    end = time.monotonic() + CHECKPOINT_SECONDS
    while raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _holds(path: Path, text: str) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def _vacuum_postgresql(raw: Any) -> None:
    names = ", ".join(table.name for table in (*OF_USERS, CAMPAIGN_VERSIONS))
    raw.rollback()
    raw.autocommit = True
    try:
        raw.execute(f"VACUUM (INDEX_CLEANUP ON, SKIP_LOCKED) {names}")
    finally:
        raw.autocommit = False
