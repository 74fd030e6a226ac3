"""All that a store holds of a user, as one JSON document, made piece by piece."""

import json
from collections.abc import Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from sqlalchemy import Connection, Table, select

from proactrec.serving.schemas import moment
from proactrec.store.erasing import versions_naming
from proactrec.store.people import id_of
from proactrec.store.tables import (
    ASSIGNMENTS,
    CONSENTS,
    DECISIONS,
    EVENTS,
    JOURNEYS,
    MEMBERSHIPS,
)

SECTIONS = (CONSENTS, MEMBERSHIPS, ASSIGNMENTS, JOURNEYS, DECISIONS, EVENTS)
INSIDE = ("tenant", "user_id", "seq")
JSON = ("groups", "among")
PAGE = 1000
"""Rows in memory at once."""
MOST_MEMORY = 2**20
"""Bytes of a document that are held there; a longer one lies in a file without a name."""


def exported(
    connection: Connection, tenant: str, user_id: str, more: Mapping[str, object]
) -> Iterator[str]:
    """Parts of the document, at one moment; put together they are JSON.

    Parameters
    ----------
    more : mapping
        What else is told, e.g. what a guide knows of the user.
    """
    naming = sorted({one.campaign_id for one in versions_naming(connection, tenant, user_id)})
    head = {"user_id": user_id, **more, "audiences": naming}
    yield _json(head)[:-1]
    for table in SECTIONS:
        yield f', "{table.name}": ['
        yield from _rows(connection, table, tenant, user_id)
        yield "]"
    yield "}\n"


def gathered(parts: Iterable[str]) -> IO[bytes]:
    """All parts, so that no transaction waits for whoever reads them."""
    found = SpooledTemporaryFile(MOST_MEMORY)  # noqa: SIM115 (whoever sends it closes it)
    for part in parts:
        found.write(part.encode())
    found.seek(0)
    return found


def _rows(connection: Connection, table: Table, tenant: str, user_id: str) -> Iterator[str]:
    query = (
        select(table)
        .where(table.c.tenant == tenant, table.c.user_id == user_id)
        .order_by(*table.primary_key.columns)
        .execution_options(yield_per=PAGE)
    )
    separator = ""
    for row in connection.execute(query).mappings():
        yield separator + _json(_told(table, row))
        separator = ", "


def _told(table: Table, row: Any) -> dict[str, object]:
    found = {name: _value(name, value) for name, value in row.items() if name not in INSIDE}
    if table is DECISIONS:
        decision_id = id_of(row["tenant"], row["user_id"], row["number"])
        return {"decision_id": decision_id, **found}
    return found


def _value(name: str, value: Any) -> object:
    if value is None:
        return None
    if name == "at" or name.endswith("_at"):
        return moment(value).isoformat()
    if name == "guided":
        return bool(value)
    return json.loads(value) if name in JSON else value


def _json(content: object) -> str:
    return json.dumps(content)
