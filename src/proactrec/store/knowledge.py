"""What was learned of users' answers, version by version: each goes on from its parent.

Numbers grow over all guides of a tenant, so that a decision's number says which guide knew it. The
newest version is the one to guide by; where late answers changed a lesson, it and those after it
were learned again as newer versions, and what the older ones were stays readable.
"""

from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from proactrec.store.tables import KNOWLEDGE


class Lesson(NamedTuple):
    """A version without its tensors: what one batch of decisions taught."""

    version: int
    parent: int  # 0: what the guide was saved with
    after_seq: int
    up_to_seq: int
    evidence: str  # digest
    n_answers: int  # of this batch
    at: int


LESSON = [KNOWLEDGE.c[name] for name in Lesson._fields]


def newest_versions(connection: Connection, guide: str) -> dict[str, int]:
    """The newest version of a guide's knowledge, by tenant."""
    row = KNOWLEDGE.c
    query = select(row.tenant, func.max(row.version)).where(row.guide == guide)
    return dict(connection.execute(query.group_by(row.tenant)).all())


def next_version(connection: Connection, tenant: str) -> int:
    """The number that is next, whichever guide."""
    query = select(func.max(KNOWLEDGE.c.version)).where(KNOWLEDGE.c.tenant == tenant)
    return int(connection.execute(query).scalar() or 0) + 1


def lessons(connection: Connection, tenant: str, guide: str) -> list[Lesson]:
    """What the newest version was learned from, the first lesson first."""
    row = KNOWLEDGE.c
    query = select(*LESSON).where(row.tenant == tenant, row.guide == guide)
    by_version = {found.version: Lesson(*found) for found in connection.execute(query)}
    chain: list[Lesson] = []
    version = max(by_version, default=0)
    while version in by_version:
        chain.append(by_version[version])
        version = chain[-1].parent
    return chain[::-1]


def versions_of(connection: Connection, tenant: str, guide: str) -> frozenset[int]:
    """All of a guide, those included that were learned again."""
    row = KNOWLEDGE.c
    query = select(row.version).where(row.tenant == tenant, row.guide == guide)
    return frozenset(connection.execute(query).scalars())


def tensors_of(connection: Connection, tenant: str, guide: str, version: int) -> bytes:
    """A version's tensors, as safetensors writes them."""
    row = KNOWLEDGE.c
    query = select(row.tensors).where(
        row.tenant == tenant, row.guide == guide, row.version == version
    )
    return bytes(connection.execute(query).scalar_one())


def add(connection: Connection, tenant: str, guide: str, lesson: Lesson, content: bytes) -> None:
    """Publish a version."""
    values = {"tenant": tenant, "guide": guide, **lesson._asdict(), "tensors": content}
    connection.execute(insert(KNOWLEDGE).values(values))
