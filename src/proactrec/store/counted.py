"""Counts of campaigns that are kept, because counting takes long: sums, of nobody."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from proactrec.store.campaigns import Version
from proactrec.store.database import Hot, replacing
from proactrec.store.tables import COUNTED


class Kept(NamedTuple):
    """What was counted, and when."""

    about: str  # what the campaign said that decides it
    counts: Any
    took: int  # microseconds
    at: int


def kept(connection: Connection, version: Version, what: str) -> Kept | None:
    """The newest counts of a campaign; None: there are none."""
    row = COUNTED.c
    query = select(row.about, row.counts, row.took, row.at).where(
        row.tenant == version.tenant,
        row.campaign_id == version.campaign_id,
        row.what == what,
    )
    found = connection.execute(query).one_or_none()
    return (
        None if found is None else Kept(found.about, json.loads(found.counts), found.took, found.at)
    )


def keep(connection: Connection, version: Version, what: str, new: Kept) -> None:
    """Write counts in place of older ones."""
    counts = json.dumps(new.counts, ensure_ascii=False, separators=(",", ":"))
    row = (version.tenant, version.campaign_id, what, new.about, counts, new.took, new.at)
    Hot(connection).insert(COUNTED, [row], replacing(COUNTED))


def ages(connection: Connection) -> dict[tuple[str, str, str], tuple[str, int, int]]:
    """Of all that are kept, by tenant, campaign and what it is: `about`, `took` and `at`."""
    row = COUNTED.c
    query = select(row.tenant, row.campaign_id, row.what, row.about, row.took, row.at)
    return {(one[0], one[1], one[2]): (one[3], one[4], one[5]) for one in connection.execute(query)}
