"""A user erased from a store, and made unknown to the guides that decide by it."""

from collections.abc import Sequence

from sqlalchemy import Connection

from proactrec.serving.choosing import known_of
from proactrec.serving.guides import Guides
from proactrec.serving.keeping import ErasureReceipt
from proactrec.serving.schemas import moment
from proactrec.store.database import Database, Hot
from proactrec.store.erased import KnownTo, rows_of
from proactrec.store.erasing import erase
from proactrec.store.scrubbing import scrub


def erased(
    database: Database,
    tenant: str,
    user_id: str,
    guides: Sequence[Guides],
    *,
    by: str,
    at: int,
) -> ErasureReceipt:
    """Erase a user in one transaction, then from the database's files."""
    with database.writing() as connection:
        known = _known_to(connection, tenant, user_id, guides)
        receipt = erase(connection, tenant, user_id, by=by, at=at, known=known)
    is_scrubbed = scrub(database, user_id)
    said = {**receipt._asdict(), "at": moment(receipt.at)}
    return ErasureReceipt(**said, scrubbed=is_scrubbed)


def items_known(
    connection: Connection, tenant: str, user_id: str, guides: Sequence[Guides]
) -> list[str]:
    """Ids of all items that guides know a user to have had, who was not erased from them."""
    found: dict[str, None] = {}
    for one in guides:
        rows = rows_of(Hot(connection), tenant, one.name)
        items = known_of(user_id, one, rows).items
        found.update(dict.fromkeys(one.items.item_ids[idx - 1] for idx in items))
    return list(found)


def _known_to(
    connection: Connection, tenant: str, user_id: str, guides: Sequence[Guides]
) -> list[KnownTo]:
    found = []
    for one in guides:
        row = one.saved.known.index.get(user_id, -1)
        if row >= 0:
            found.append(KnownTo(one.name, str(one.folder), row))
    return found
