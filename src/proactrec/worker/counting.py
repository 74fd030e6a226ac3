"""Counts of campaigns made anew when they are due, for whoever looks at those that take long."""

import math
import time
from collections.abc import Iterator

from sqlalchemy import Connection

from proactrec.serving.counts import KINDS, QUICK, decided_by, renew
from proactrec.store import campaigns, counted
from proactrec.store.campaigns import Version
from proactrec.store.database import Database
from proactrec.store.people import SECOND

REST = 200
"""A count is due once it is so many times as old as it took to make: decisions wait while it is."""
EVERY = 30 * SECOND
"""How often it is looked whether a quick one has become slow."""
EVERY_ENDED = 3600 * SECOND
"""Of a campaign that has ended, late answers come, and users are erased."""


def count(database: Database, now: int, *, seconds: float = math.inf) -> int:
    """Make the counts that are due, the most overdue first, for so many seconds; how many."""
    with database.reading() as connection:
        due = sorted(_due(connection, now), key=lambda one: -one[0])
    end, n_made = time.monotonic() + seconds, 0
    for _, version, what in due:
        renew(database, version, what, now)
        n_made += 1
        if time.monotonic() >= end:
            break
    return n_made


def _due(connection: Connection, now: int) -> Iterator[tuple[float, Version, str]]:
    """How many times as old as it may be each count is, if it is older, and what it is of.

    One of before the campaign was changed is due, lest it miss what came last.
    """
    kept = counted.ages(connection)
    for tenant in campaigns.tenants(connection):
        for version in campaigns.all_current(connection, tenant):
            if version.state == "draft":
                continue
            for what in KINDS:
                about, took, at = kept.get((tenant, version.campaign_id, what), ("", 0, 0))
                is_of_it = about == decided_by(version, what) and at >= version.at
                age = (now - at) / _rest(version, took) if is_of_it else math.inf
                if age >= 1:
                    yield age, version, what


def _rest(version: Version, took: int) -> int:
    if version.state not in ("running", "paused"):
        return max(EVERY_ENDED, REST * took)
    return REST * took if took > QUICK else EVERY
