"""Which users of guides were erased: by their rows, so that no id is kept of anybody.

A guide's folder holds its users until it is written anew without them; what is kept here makes them
unknown at once, to every instance. It says nothing to whoever does not have the guide.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from proactrec.store import turns
from proactrec.store.database import Hot
from proactrec.store.tables import ERASED
from proactrec.store.turns import Turn

NEWEST = """
WITH RECURSIVE whose (tenant) AS (
  SELECT MIN(tenant) FROM erased
  UNION ALL
  SELECT (SELECT MIN(e.tenant) FROM erased e WHERE e.tenant > whose.tenant)
  FROM whose WHERE whose.tenant IS NOT NULL
)
SELECT tenant, (SELECT MAX(e.number) FROM erased e WHERE e.tenant = whose.tenant)
FROM whose WHERE tenant IS NOT NULL
"""
"""By a few steps in the index: it is asked every second, however many were erased."""


class KnownTo(NamedTuple):
    """A guide that knows a user."""

    guide: str  # its name, see proactrec.serving.guides
    folder: str
    row: int  # of the user


def mark(
    connection: Connection, tenant: str, known: Sequence[KnownTo] = (), *, after: int = 0
) -> None:
    """Let whoever remembers users, or looks into these guides, know that one was erased.

    Parameters
    ----------
    after : int
        A number that was given already, whether or not the store knows it.
    """
    turns.take(connection, Turn.ERASURE)
    hot = Hot(connection)
    newest = hot.rows("SELECT COALESCE(MAX(number), 0) FROM erased WHERE tenant = ?", (tenant,))
    places = [(one.guide, one.row) for one in known] or [("", -1)]
    first = max(newest[0][0], after) + 1
    rows = [(tenant, first + n, *place) for n, place in enumerate(places)]
    hot.insert(ERASED, rows)


def rows_of(hot: Hot, tenant: str, guide: str) -> frozenset[int]:
    """Rows of a guide's users who were erased."""
    sql = "SELECT guide_row FROM erased WHERE tenant = ? AND guide = ?"
    return frozenset(row for (row,) in hot.rows(sql, (tenant, guide)))


def rows_of_all(hot: Hot, guide: str) -> dict[str, frozenset[int]]:
    """The same of all tenants who erased any."""
    found: dict[str, set[int]] = {}
    for tenant, row in hot.rows("SELECT tenant, guide_row FROM erased WHERE guide = ?", (guide,)):
        found.setdefault(tenant, set()).add(row)
    return {tenant: frozenset(rows) for tenant, rows in found.items()}


def newest(hot: Hot) -> dict[str, int]:
    """Number of the last erasure, by tenant."""
    return dict(hot.rows(NEWEST))
