"""Who of those that a guide knows is in the audience of a campaign."""

import json
from collections.abc import Collection, Iterable

import numpy as np
from sqlalchemy import Connection

from proactrec.guidance.known import KnownUsers
from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.types import IntArray

NOW_IN = (
    "SELECT user_id, groups FROM memberships m WHERE tenant = ? AND number = ("
    "SELECT MAX(number) FROM memberships o WHERE o.tenant = m.tenant AND o.user_id = m.user_id)"
)


def audience_of(
    connection: Connection, version: Version, known: KnownUsers, erased: Collection[int] = ()
) -> IntArray:
    """Rows of the known users whom a campaign means and may guide, ascending."""
    said = version.said.audience
    lengths = known.history.lengths
    is_meant = np.full(len(lengths), said.everybody)
    is_meant[_rows(known, said.users)] = True
    if said.groups or said.except_groups:
        rows = Hot(connection).rows(NOW_IN, (version.tenant,))
        groups = [(user, set(json.loads(names))) for user, names in rows]
        is_meant[_rows(known, [user for user, of in groups if of & set(said.groups)])] = True
        out = [user for user, of in groups if of & set(said.except_groups)]
        is_meant[_rows(known, out)] = False
    most = said.most_items
    is_meant &= (lengths >= said.least_items) & (most is None or lengths <= most)
    is_meant &= known.is_there
    is_meant[list(erased)] = False
    return np.flatnonzero(is_meant)


def _rows(known: KnownUsers, user_ids: Iterable[str]) -> list[int]:
    return [known.index[user_id] for user_id in user_ids if user_id in known.index]
