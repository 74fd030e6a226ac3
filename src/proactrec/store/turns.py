"""What is done by one after the other: numbers of PostgreSQL's advisory locks, each given once."""

from enum import IntEnum, unique

from sqlalchemy import Connection


@unique
class Turn(IntEnum):
    """What waits for others that do the same. SQLite has one writer at a time anyway."""

    SCHEMA = 7223
    ITEMS = 7224
    WORK = 7225
    ERASURE = 7226
    CARE = 7227


def take(connection: Connection, turn: Turn) -> None:
    """Wait for who came first, until they have committed; others wait until this is committed."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({turn:d})")
