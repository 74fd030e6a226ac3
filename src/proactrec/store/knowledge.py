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


def newest_version(connection: Connection, tenant: str, guide: str) -> int:
    """Of a guide; 0: nothing was learned yet."""
    row = KNOWLEDGE.c
    query = select(func.max(row.version)).where(row.tenant == tenant, row.guide == guide)
    return int(connection.execute(query).scalar() or 0)


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


def tensors(connection: Connection, tenant: str, guide: str, version: int) -> bytes | None:
    """Of a version (safetensors); None: the guide has none of this number."""
    row = KNOWLEDGE.c
    same = (row.tenant == tenant) & (row.guide == guide) & (row.version == version)
    return connection.execute(select(row.tensors).where(same)).scalar()


def add(connection: Connection, tenant: str, guide: str, lesson: Lesson, content: bytes) -> None:
    """Publish a version."""
    values = {"tenant": tenant, "guide": guide, **lesson._asdict(), "tensors": content}
    connection.execute(insert(KNOWLEDGE).values(values))
