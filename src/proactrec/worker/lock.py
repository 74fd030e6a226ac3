"""One worker at a time: whoever has the store's lock. It is let go of when its process dies."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from proactrec.errors import StoreError
from proactrec.store.database import Database
from proactrec.store.turns import Turn

AGAIN_SECONDS = 1.0
Check = Callable[[], None]
"""Raises StoreError if the lock is lost."""


@contextmanager
def only_one(database: Database, ends: threading.Event | None = None) -> Iterator[Check | None]:
    """Have the lock; who holds it is waited for until `ends` is set.

    Gives None where it was not to be had: at once without `ends`.
    """
    with _held_by_file(database) if database.is_sqlite else _held_by_server(database) as (try_, ok):
        while not try_():
            if ends is None or ends.wait(AGAIN_SECONDS):
                yield None
                return
        yield ok


@contextmanager
def _held_by_file(database: Database) -> Iterator[tuple[Callable[[], bool], Check]]:
    """By a file beside that of SQLite."""
    path = Path(f"{database.file}.worker.lock")
    with path.open("a", encoding="utf-8") as file:

        def try_() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield try_, lambda: None


@contextmanager
def _held_by_server(database: Database) -> Iterator[tuple[Callable[[], bool], Check]]:
    """By a connection of its own; in no transaction, which would keep old rows from going."""
    with _connected(database) as connection:

        def asked(sql: str) -> bool:
            with _told():
                return bool(connection.exec_driver_sql(sql).scalar())

        def check() -> None:
            asked("SELECT 1")

        try:
            yield lambda: asked(f"SELECT pg_try_advisory_lock({Turn.WORK:d})"), check
        finally:
            # The session's end lets go too, but some time after the client has left; and a session
            # that is lost already has nothing to let go of.
            with suppress(SQLAlchemyError):
                connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            connection.invalidate()


@contextmanager
def _connected(database: Database) -> Iterator[Connection]:
    with _told():
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError("the store can't be reached: the worker's lock is lost") from error
