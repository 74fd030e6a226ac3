"""The audit log: who changed what, and when. No user's id stands in it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from proactrec.store.tables import AUDIT

BY_COMMAND = "command line"
"""Who changes a store without a key."""


KINDS = ("campaign", "key", "items", "care", "erasure", "restored", "watched", "alarm")
"""What was changed, or seen."""


class Entry(NamedTuple):
    """A change."""

    seq: int
    at: int
    by: str  # id of a key, or what changed it without one
    what: str
    about: str
    detail: dict[str, Any]


def note(
    connection: Connection,
    tenant: str,
    *,
    by: str,
    at: int,
    what: str,
    about: str,
    detail: Mapping[str, object],
) -> None:
    """Keep who did what."""
    connection.execute(
        insert(AUDIT).values(
            tenant=tenant, at=at, by=by, what=what, about=about, detail=json.dumps(dict(detail))
        )
    )


def entries(
    connection: Connection,
    tenant: str,
    *,
    before: int | None = None,
    what: str | None = None,
    about: str | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Changes of a tenant, the newest first.

    Parameters
    ----------
    before : int, optional
        Only those whose `seq` is lower.
    what, about : str, optional
        Only those of a kind, and of one thing.
    """
    row = AUDIT.c
    query = select(*(row[name] for name in Entry._fields)).where(row.tenant == tenant)
    if before is not None:
        query = query.where(row.seq < before)
    if what is not None:
        query = query.where(row.what == what)
    if about is not None:
        query = query.where(row.about == about)
    found = connection.execute(query.order_by(row.seq.desc()).limit(limit))
    return [Entry(**{**one._mapping, "detail": json.loads(one.detail)}) for one in found]
