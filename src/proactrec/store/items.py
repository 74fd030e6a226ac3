"""Items of a shop as it told of them last: what came after a guide was fitted, and what is left."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import Connection, func, select

from proactrec.data.catalogue import Catalogue
from proactrec.store import audit, turns
from proactrec.store.database import Hot
from proactrec.store.tables import ITEMS
from proactrec.store.turns import Turn


def say_items(
    connection: Connection, tenant: str, items: Sequence[Mapping[str, Any]], *, by: str, at: int
) -> None:
    """Take down items, each with `item_id`, `title`, `categories`, `text` and `available`.

    Of an id that comes twice the last one holds.
    """
    row, hot = ITEMS.c, Hot(connection)
    turns.take(connection, Turn.ITEMS)  # so that no revision is given twice
    newest = connection.execute(select(func.max(row.revision)).where(row.tenant == tenant)).scalar()
    revision = (newest or 0) + 1
    last = {one["item_id"]: one for one in items}
    rows = [
        (
            tenant,
            item_id,
            one["title"],
            json.dumps(list(one["categories"]), ensure_ascii=False),
            one["text"],
            int(one["available"]),
            revision,
        )
        for item_id, one in sorted(last.items())
    ]
    told = ("title", "categories", "text", "available", "revision")
    new = ", ".join(f"{name} = excluded.{name}" for name in told)
    hot.insert(ITEMS, rows, f"ON CONFLICT (tenant, item_id) DO UPDATE SET {new}")
    detail = {"n_items": len(rows), "revision": revision}
    audit.note(connection, tenant, by=by, at=at, what="items", about=tenant, detail=detail)


def revisions(connection: Connection) -> dict[str, int]:
    """How often each tenant said what its items are."""
    row = ITEMS.c
    query = select(row.tenant, func.max(row.revision)).group_by(row.tenant)
    return dict(connection.execute(query).all())


def catalogue_of(connection: Connection, tenant: str) -> tuple[Catalogue, frozenset[str]]:
    """A tenant's items, by their ids, and the ids of those that are sold out.

    Raises
    ------
    DataError
        If the tenant never said what its items are.
    """
    row = ITEMS.c
    query = select(ITEMS).where(row.tenant == tenant).order_by(row.item_id)
    found = list(connection.execute(query))
    table = pl.DataFrame(
        {
            "item_id": [one.item_id for one in found],
            "title": [one.title for one in found],
            "categories": [json.loads(one.categories) for one in found],
            "text": [one.text for one in found],
        },
        schema={
            "item_id": pl.String,
            "title": pl.String,
            "categories": pl.List(pl.String),
            "text": pl.String,
        },
    )
    return Catalogue(table), frozenset(one.item_id for one in found if not one.available)
