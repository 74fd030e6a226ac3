"""What was learned of users' answers, version by version: each goes on from its parent.

Numbers grow over all guides of a tenant, so that a decision's number says which guide knew it. The
newest version is the one to guide by; where late answers changed a lesson, it and those after it
were learned again as newer versions, and what the older ones were stays readable.

Going back is a new version too, with an older one's tensors. It is a start of its own: no late
answer changes it, and what is learned after it comes from later decisions only.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, tuple_

from proactrec.errors import UnknownIdError
from proactrec.store.tables import DECISIONS, KNOWLEDGE


class Lesson(NamedTuple):
    """A version without its tensors: what one batch of decisions taught."""

    version: int
    parent: int  # 0: what the guide was saved with
    after_seq: int
    up_to_seq: int
    evidence: str  # digest
    n_answers: int  # of this batch; of a restored one: all that it stands on
    at: int
    restores: int | None = None  # version whose tensors it took again; None: it was learned


LESSON = [KNOWLEDGE.c[name] for name in Lesson._fields]


def newest_versions(connection: Connection, guide: str) -> dict[str, int]:
    """The newest version of a guide's knowledge, by tenant."""
    row = KNOWLEDGE.c
    query = select(row.tenant, func.max(row.version)).where(row.guide == guide)
    return dict(connection.execute(query.group_by(row.tenant)).all())


def newest(connection: Connection, guide: str) -> dict[str, Lesson]:
    """The newest version with all that tells it from one of the same number, by tenant."""
    row = KNOWLEDGE.c
    last = select(row.tenant, func.max(row.version)).where(row.guide == guide).group_by(row.tenant)
    is_last = tuple_(row.tenant, row.version).in_(last)
    found = connection.execute(select(row.tenant, *LESSON).where(row.guide == guide, is_last))
    return {tenant: Lesson(*rest) for tenant, *rest in found}


def next_version(connection: Connection, tenant: str) -> int:
    """The number that is next, whichever guide."""
    query = select(func.max(KNOWLEDGE.c.version)).where(KNOWLEDGE.c.tenant == tenant)
    return int(connection.execute(query).scalar() or 0) + 1


def lessons(connection: Connection, tenant: str, guide: str) -> list[Lesson]:
    """What the newest version was learned from since the last way back, the first lesson first."""
    return chain_of(every(connection, tenant, guide))


def every(connection: Connection, tenant: str, guide: str) -> dict[int, Lesson]:
    """All of a guide, by version."""
    row = KNOWLEDGE.c
    query = select(*LESSON).where(row.tenant == tenant, row.guide == guide)
    return {found.version: Lesson(*found) for found in connection.execute(query)}


def chain_of(by_version: Mapping[int, Lesson], version: int | None = None) -> list[Lesson]:
    """What a version was learned from since the last way back; the newest by default."""
    chain: list[Lesson] = []
    at = max(by_version, default=0) if version is None else version
    while at in by_version and not (chain and chain[-1].restores is not None):
        chain.append(by_version[at])
        at = chain[-1].parent
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


def go_back(
    connection: Connection, tenant: str, guide: str, version: int, saved: bytes, at: int
) -> Lesson:
    """Guide by an older version from now on; one that is guided by already is left as it is.

    Parameters
    ----------
    version : int
        0: what the guide was saved with.
    saved : bytes
        Tensors of that.

    Raises
    ------
    UnknownIdError
        If the guide has no such version.
    """
    known = every(connection, tenant, guide)
    if version and version not in known:
        raise UnknownIdError(f"this guide has no version {version} of its knowledge")
    newest = known.get(max(known, default=0))
    if newest is not None and version in (newest.version, newest.restores):
        return newest
    content = tensors_of(connection, tenant, guide, version) if version else saved
    n_answers = sum(lesson.n_answers for lesson in chain_of(known, version))
    last = select(func.max(DECISIONS.c.seq)).where(DECISIONS.c.tenant == tenant)
    lesson = Lesson(
        next_version(connection, tenant),
        version,
        known[version].up_to_seq if version else 0,
        int(connection.execute(last).scalar() or 0),
        "",
        n_answers,
        at,
        version,
    )
    add(connection, tenant, guide, lesson, content)
    return lesson
