"""Who of those that a guide knows is in the audience of a campaign."""

import json

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


def audience_of(connection: Connection, version: Version, known: KnownUsers) -> IntArray:
    """Rows of the known users whom a campaign means, ascending."""
    said = version.said.audience
    lengths = known.history.lengths
    is_meant = np.full(len(lengths), said.everybody)
    ids = set(said.users)
    if said.groups:
        rows = Hot(connection).rows(NOW_IN, (version.tenant,))
        ids.update(user for user, groups in rows if set(said.groups) & set(json.loads(groups)))
    is_meant[[known.index[user_id] for user_id in ids if user_id in known.index]] = True
    most = said.most_items
    is_meant &= (lengths >= said.least_items) & (most is None or lengths <= most)
    return np.flatnonzero(is_meant)
