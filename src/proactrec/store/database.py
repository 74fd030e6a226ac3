"""A store's database: SQLite in a file, or PostgreSQL, opened and brought to the newest schema."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.pool import QueuePool

from proactrec.errors import InvalidInputError, ProactrecError, StoreError
from proactrec.store import turns
from proactrec.store.turns import Turn

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_SECONDS = 30
"""A writer of SQLite waits so long for another."""
NO_TABLE = "42P01"
"""What PostgreSQL calls it."""
NO_OPTION = "invalid connection option"
"""What its driver calls a setting of a URL that it does not know."""
NO_DATABASE = "file is not a database"
"""What SQLite says of another file."""
DAMAGED = "database disk image is malformed"
"""What it says of one that was cut off, or written over."""
NUL = ("cannot contain NUL", "\\u0000 cannot be converted")
"""What PostgreSQL and its driver say of a text that holds it."""
CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
CLOCK_OF_SQLITE = "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"

OF_SESSIONS = {
    "statement_timeout": 30_000,
    "lock_timeout": 20_000,
    "tcp_user_timeout": 10_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}
"""What PostgreSQL is asked for. Without keepalives of its own it would hold, for two hours, the
locks of a transaction whose client was cut off."""


class Database:
    """One of the two databases.

    Parameters
    ----------
    url : str or sqlalchemy.URL
        `sqlite:///FILE`, the path of such a file, or `postgresql://...`.
    partitions : int
        Hash partitions by (tenant, user) of the tables of users, on PostgreSQL, when they are made.

    Raises
    ------
    InvalidInputError
        For another kind of URL.
    """

    def __init__(self, url: str | URL, *, partitions: int = 0) -> None:
        self.url, self.partitions = _read(url), partitions
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.file = _file_of(self.url) if self.is_sqlite else None
        extra: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 4, "max_overflow": 12}
        extra["hide_parameters"] = True  # they name users
        if self.is_sqlite:
            extra["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        else:
            extra["pool_pre_ping"] = True
            extra["connect_args"] = {
                "connect_timeout": 5,
                "options": " ".join(f"-c {name}={value}" for name, value in OF_SESSIONS.items()),
                "tcp_user_timeout": 10_000,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
            }
        self.engine = create_engine(self.url, **extra)
        if self.is_sqlite:
            _settle_sqlite(self.engine)

    def apart(self) -> Self:
        """The same database by connections of its own: whoever takes all of these takes none."""
        return type(self)(self.url, partitions=self.partitions)

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision; processes that do it at once wait for each other.

        A schema that a newer version made is left as it is: migrations only add.
        """
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        if revision == "head" and self.is_current():
            return
        # Here: it takes long to load, and a process beside others finds a schema that is there.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self.writing() as connection:
            turns.take(connection, Turn.SCHEMA)
            config.attributes.update(connection=connection, partitions=self.partitions)
            is_down = revision == "base" or revision.startswith("-")
            (command.downgrade if is_down else command.upgrade)(config, revision)

    def check_there(self) -> None:
        """Refuse to work on what nobody has made: a path may be mistyped.

        Raises
        ------
        StoreError
            If there is no store, or the database can't be reached.
        """
        if (self.file is None or self.file.exists()) and self._schema() is not None:
            return
        where = self.file or self.url.render_as_string()
        raise StoreError(
            f"no store at {where}: look at the path, or make one with `proactrec serve`"
        )

    def is_current(self) -> bool:
        """Whether the schema is the newest one that is known here, or of a newer version.

        Raises
        ------
        StoreError
            If the database can't be reached.
        """
        found = self._schema()
        return found is not None and found not in revisions()[:-1]

    def _schema(self) -> str | None:
        """Revision of the schema; None: there is none."""
        with self.reading() as connection:
            has_any = inspect(connection).has_table("alembic_version")
            asked = "SELECT version_num FROM alembic_version"
            return connection.exec_driver_sql(asked).scalar() if has_any else None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when it ends; of SQLite's, one at a time.

        Raises
        ------
        StoreError
            If the database can't be reached, or has no room.
        """
        with _told(self.url), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment, writes nothing, and holds nobody up."""
        how: dict[str, Any] = {"reads": True}
        if not self.is_sqlite:
            how = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            _told(self.url),
            self.engine.connect().execution_options(**how) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


class Hot:
    """Statements of the path of a decision, given to the driver as they are.

    They are written with `?`; :class:`Database` has what reads better, for all that is not hot.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        found = self._connection.exec_driver_sql(self._own(sql), tuple(values))
        return [tuple(row) for row in found]

    def insert(self, table: Table, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
        """Add rows (values of the columns in their order, `seq` left out); `tail`: ON CONFLICT."""
        if rows:
            sql = _insertion(table, self.is_sqlite)
            names = columns_of(table)
            given: Any = list(rows)
            if not self.is_sqlite:  # one statement for all: a trip, and prepared once
                given = (json.dumps([dict(zip(names, row, strict=True)) for row in rows]),)
            self._connection.exec_driver_sql(f"{sql} {tail}", given)

    def clock(self) -> int:
        """Time of the database, in microseconds: the same for all instances."""
        return int(self.rows(CLOCK_OF_SQLITE if self.is_sqlite else CLOCK)[0][0])

    def rows_at(
        self, table: Table, keys: Sequence[tuple[Any, ...]], *, locked: bool = False
    ) -> list[tuple[Any, ...]]:
        """Rows with these primary keys.

        Locked ones can't be changed by anybody else until the transaction ends; they are locked in
        the order of their keys, so that no two transactions wait for each other.
        """
        whole = ", ".join(columns_of(table))
        names = [column.name for column in table.primary_key.columns]
        if self.is_sqlite:  # the only writer
            of_key = " AND ".join(f"{name} = ?" for name in names)
            sql = f"SELECT {whole} FROM {table.name} WHERE {of_key}"
            return [row for key in sorted(keys) for row in self.rows(sql, key)]
        named = ", ".join(names)
        given = json.dumps([dict(zip(names, key, strict=True)) for key in keys])
        among = f"SELECT {named} FROM json_populate_recordset(NULL::{table.name}, ?::json)"
        sql = f"SELECT {whole} FROM {table.name} WHERE ({named}) IN ({among}) ORDER BY {named}"
        return self.rows(f"{sql} FOR UPDATE" if locked else sql, (given,))

    def rows_of(
        self, sql: str, ids: Sequence[str], values: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """What a query with `IN (?ids)` finds for all ids, at most 500 at once.

        Values of its other marks come before them.
        """
        found = []
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            if self.is_sqlite:
                found += self.rows(sql.replace("IN (?ids)", _marks(len(part))), [*values, *part])
            else:  # one statement whatever their number, so that it is prepared once
                found += self.rows(sql.replace("IN (?ids)", "= ANY(?)"), [*values, list(part)])
        return found

    def _own(self, sql: str) -> str:
        return sql if self.is_sqlite else _psycopg(sql)


@lru_cache
def revisions() -> tuple[str, ...]:
    """All revisions of the schema, the newest last: what the names of their files begin with."""
    found = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return tuple(sorted(path.name.partition("_")[0] for path in found))


def newest_schema() -> str:
    """The newest revision of the schema."""
    return revisions()[-1]


def columns_of(table: Table) -> tuple[str, ...]:
    """Names of the columns that are given, in their order: `seq` is the database's."""
    return tuple(column.name for column in table.columns if column.name != "seq")


@lru_cache
def replacing(table: Table) -> str:
    """What :meth:`Hot.insert` needs to write rows in place of those with the same keys."""
    keys = [column.name for column in table.primary_key.columns]
    rest = (f"{name} = excluded.{name}" for name in columns_of(table) if name not in keys)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(rest)}"


@lru_cache
def _insertion(table: Table, is_sqlite: bool) -> str:
    names, name = ", ".join(columns_of(table)), table.name
    if not is_sqlite:
        source = f"json_populate_recordset(NULL::{name}, %s::json) WHERE true"
        return f"INSERT INTO {name} ({names}) SELECT {names} FROM {source}"
    marks = ", ".join("?" * len(columns_of(table)))
    if "seq" not in table.columns:
        return f"INSERT INTO {name} ({names}) VALUES ({marks})"
    newest = f"(SELECT COALESCE(MAX(seq), 0) + 1 FROM {name})"  # of one writer at a time
    return f"INSERT INTO {name} ({names}, seq) VALUES ({marks}, {newest})"


@lru_cache
def _marks(n: int) -> str:
    return f"IN ({', '.join('?' * n)})"


@lru_cache
def _psycopg(sql: str) -> str:
    return sql.replace("?", "%s")


def _read(url: str | URL) -> URL:
    """What a URL or a path says; a store in memory would be gone with the command."""
    if isinstance(url, URL):
        return url
    try:
        read = make_url(url) if "://" in url else URL.create("sqlite", database=url)
        read.get_dialect()().create_connect_args(read)  # whether what stands after ? can be read
    except (ArgumentError, ValueError):
        read = None
    kind = "" if read is None else read.get_backend_name()
    if read is None or kind not in ("sqlite", "postgresql"):
        scheme = url.split("://", 1)[0]  # the rest may hold a password
        raise InvalidInputError(
            "a database is sqlite:///FILE or postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, got "
            f"one of {scheme!r}"
        )
    if kind == "postgresql":
        return read.set(drivername="postgresql+psycopg")
    is_in_memory = read.database in (None, "", ":memory:") or read.query.get("mode") == "memory"
    if is_in_memory:
        raise InvalidInputError(f"a database is in a file, or postgresql://..., got {url!r}")
    return read


def _file_of(url: URL) -> Path:
    """The file of SQLite, which may be a URI too."""
    name = str(url.database)
    is_uri = name.startswith("file:") and "uri" in url.query
    return Path(unquote(urlsplit(name).path) if is_uri else name)


def _settle_sqlite(engine: Engine) -> None:
    """Write ahead, sync each commit, and begin as a writer unless only reading is meant."""

    @event.listens_for(engine, "connect")
    def _connected(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say so
        _write_ahead(raw)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _write_ahead(raw: sqlite3.Connection) -> None:
    """Switch a new file over; of two who do it at once one is refused, without waiting."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """What goes wrong with the database in a sentence."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        # What follows the first line may name rows, and so users.
        sentence = str(error.orig or error).strip().partition("\n")[0]
        raise StoreError(f"the store {url.render_as_string()} failed: {sentence}") from error
    except TimeoutError as error:
        raise StoreError(f"the store {url.render_as_string()} has no connection free") from error
    except DBAPIError as error:
        if (told := _of_driver(url.render_as_string(), error)) is None:
            raise
        raise told from error


def _of_driver(url: str, error: DBAPIError) -> ProactrecError | None:
    """What an error of a driver means to who can do something about it; None: it is ours."""
    said = str(error.orig)
    if NO_OPTION in said:
        return InvalidInputError(f"{url} has an {said}")
    if any(one in said for one in NUL):
        return InvalidInputError("a text must hold no NUL: it can't be kept")
    meanings = {
        "has no tables yet": getattr(error.orig, "sqlstate", "") == NO_TABLE,
        "was lost": error.connection_invalidated,
        "is no database": NO_DATABASE in said,
        f"is damaged: {DAMAGED}": DAMAGED in said,
    }
    meaning = next((words for words, is_so in meanings.items() if is_so), None)
    return None if meaning is None else StoreError(f"the store {url} {meaning}")
