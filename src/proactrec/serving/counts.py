"""What is counted of a campaign: anew where that is quick, else as the worker counted it last.

Who looks says so with the time of it. Nothing waits for a count of a million decisions.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from proactrec.serving.counting import agreement, arm_counts
from proactrec.store import counted
from proactrec.store.campaigns import Version
from proactrec.store.counted import Kept
from proactrec.store.course import answers, hours
from proactrec.store.database import Database, Hot
from proactrec.store.outcomes import outcomes

QUICK = 10_000
"""What takes so many microseconds at most is counted whenever somebody looks."""

BESIDE_DECISIONS = ("statement_timeout = 0", "max_parallel_workers_per_gather = 0", "jit = off")
"""PostgreSQL counts on one core, however long: more cores make it hardly quicker."""


class Counts(NamedTuple):
    """Counts as of a time."""

    found: Any
    at: int


def counts(connection: Connection, version: Version, what: str, now: int) -> Counts:
    """The newest ones that are at hand, or can be had quickly."""
    kept = counted.kept(connection, version, what)
    if kept is not None and kept.took > QUICK and kept.about == decided_by(version, what):
        return Counts(kept.counts, kept.at)
    return Counts(KINDS[what].make(connection, version, now), now)


def renew(database: Database, version: Version, what: str, now: int) -> None:
    """Count, however long it takes, and keep what was found."""
    with database.reading() as connection:
        if not database.is_sqlite:
            for setting in BESIDE_DECISIONS:
                connection.exec_driver_sql(f"SET LOCAL {setting}")
        begun = time.monotonic()
        found = KINDS[what].make(connection, version, now)
        took = round((time.monotonic() - begun) * 1e6)
    new = Kept(decided_by(version, what), found, took, now)
    with database.writing() as connection:
        counted.keep(connection, version, what, new)


def decided_by(version: Version, what: str) -> str:
    """What a campaign says that decides these counts."""
    return version.said.model_dump_json(include=KINDS[what].decided_by)


def _arms(connection: Connection, version: Version, now: int) -> dict[str, Any]:
    apprentice = agreement(connection, version)
    arms = {arm: one.model_dump() for arm, one in arm_counts(connection, version).items()}
    return {"arms": arms, "apprentice": None if apprentice is None else apprentice.model_dump()}


def _hours(connection: Connection, version: Version, now: int) -> dict[str, Any]:
    hot = Hot(connection)
    return {"hours": hours(hot, version, now), "answers": answers(hot, version)}


def _sums(connection: Connection, version: Version, now: int) -> dict[str, Any]:
    return outcomes(connection, version, now).as_json(version.said.measure.segments)


class Kind(NamedTuple):
    """What there is to count."""

    make: Callable[[Connection, Version, int], dict[str, Any]]  # what is JSON
    decided_by: Any  # fields of a campaign


KINDS: Mapping[str, Kind] = {
    "arms": Kind(_arms, set()),
    "hours": Kind(_hours, {"budget": {"time_zone"}}),
    "sums": Kind(_sums, {"measure", "offer_seconds", "answer_seconds"}),
}
