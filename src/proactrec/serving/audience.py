"""Who of those that a guide knows is in the audience of a campaign."""

import json
from collections.abc import Collection, Iterable, Iterator

import numpy as np
from sqlalchemy import Connection, func, or_, select, true

from proactrec.guidance.known import KnownUsers
from proactrec.store.campaign import Audience
from proactrec.store.tables import MEMBERSHIPS
from proactrec.types import IntArray

PAGE = 1000
"""Rows in memory at once."""
MOST_NAMED = 100
"""Groups that are looked for by name; of more, all are read."""


def audience_of(
    connection: Connection,
    tenant: str,
    said: Audience,
    known: KnownUsers,
    erased: Collection[int] = (),
) -> IntArray:
    """Rows of the known users whom a campaign means and may guide, ascending."""
    lengths = known.history.lengths
    is_meant = np.full(len(lengths), said.everybody)
    is_meant[_rows(known, said.users)] = True
    if said.groups or said.except_groups:
        named = {*said.groups, *said.except_groups}
        groups = list(_in_groups(connection, tenant, named, known))
        meant, left_out = frozenset(said.groups), frozenset(said.except_groups)
        is_meant[[row for row, of in groups if of & meant]] = True
        is_meant[[row for row, of in groups if of & left_out]] = False
    most = said.most_items
    is_meant &= (lengths >= said.least_items) & (most is None or lengths <= most)
    is_meant &= known.is_there
    is_meant[list(erased)] = False
    return np.flatnonzero(is_meant)


def groups_of_nobody(
    connection: Connection, tenant: str, said: Audience, known: KnownUsers
) -> list[str]:
    """Groups that an audience names, and no known user is in: often they are misspelt."""
    named = dict.fromkeys((*said.groups, *said.except_groups))
    found: set[str] = set()
    if named:
        for _, groups in _in_groups(connection, tenant, named, known):
            found |= groups
    return [one for one in named if one not in found]


def _rows(known: KnownUsers, user_ids: Iterable[str]) -> list[int]:
    return [known.index[user_id] for user_id in user_ids if user_id in known.index]


def _in_groups(
    connection: Connection, tenant: str, named: Collection[str], known: KnownUsers
) -> Iterator[tuple[int, frozenset[str]]]:
    """Known users, by row, who are in any of these groups now, and those that they are in."""
    row, other = MEMBERSHIPS.c, MEMBERSHIPS.alias().c
    newest = select(func.max(other.number)).where(
        other.tenant == row.tenant, other.user_id == row.user_id
    )
    is_in = [row.groups.contains(json.dumps(one), autoescape=True) for one in named]
    names_any = or_(*is_in) if len(named) <= MOST_NAMED else true()
    query = select(row.user_id, row.groups).where(
        row.tenant == tenant, names_any, row.number == newest.scalar_subquery()
    )
    for user_id, groups in connection.execute(query.execution_options(yield_per=PAGE)):
        place, of = known.index.get(user_id, -1), frozenset(json.loads(groups)).intersection(named)
        if place >= 0 and of:
            yield place, of
