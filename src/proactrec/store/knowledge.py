"""Versions of what was learned from everybody's answers, as they were published."""

from sqlalchemy import Connection, func, select

from proactrec.store.tables import KNOWLEDGE


def newest_versions(connection: Connection, guide: str) -> dict[str, int]:
    """The newest version of a guide's knowledge, by tenant."""
    row = KNOWLEDGE.c
    query = select(row.tenant, func.max(row.version)).where(row.guide == guide)
    return dict(connection.execute(query.group_by(row.tenant)).tuples())


def tensors_of(connection: Connection, tenant: str, guide: str, version: int) -> bytes:
    """A version's tensors, as safetensors writes them."""
    row = KNOWLEDGE.c
    query = select(row.tensors).where(
        row.tenant == tenant, row.guide == guide, row.version == version
    )
    return bytes(connection.execute(query).scalar_one())
