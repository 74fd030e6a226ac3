"""Outages under load: the clock moved, the disk full, the network cut; and what callers meet."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import accumulate
from typing import Any

from sqlalchemy import select

from faults_parts.clock import Clock
from faults_parts.load import KEPT
from faults_parts.runs import AFTER_SECONDS, Setting, Stage, ended, postgres, stage
from faults_parts.site import SmallDisk, Wire
from proactrec.store.database import Database
from proactrec.store.people import SECOND
from proactrec.store.tables import DECISIONS

HOUR = 3600
CUT_SECONDS, FULL_SECONDS, MOVED_SECONDS = 30.0, 10.0, 6.0
MOST_SECONDS = 10.0
"""No answer may take longer, whatever is broken."""
GOOD = {KEPT, "events: kept"}
CLEAR = GOOD | {"decision: plain item, store_unavailable", "events: 503 with Retry-After"}
"""What may be answered while nothing can be stored."""


def outage(
    on: Stage,
    name: str,
    begin: Callable[[], None],
    mend: Callable[[], None],
    seconds: float,
    allowed: Iterable[str] = CLEAR,
) -> dict[str, Any]:
    """Something is broken for a while during a campaign; `unclear`: answers that may not be."""
    with on.campaign():
        time.sleep(1)
        before = on.load.seen.since()
        begin()
        time.sleep(seconds)
        during = on.load.seen.since()
        mended = time.monotonic()
        mend()
        ready = on.until_ready(mended)
        time.sleep(AFTER_SECONDS)
        after = on.load.seen.since()
    answers = {**during["answers"], **after["answers"]}
    told = {
        "fault": name,
        "seconds": seconds,
        "ready_after": ready,
        "during": during,
        "after": after,
        "median_before": before["median"],
        "unclear": sorted(set(answers) - set(allowed)),
    }
    slowest = max(during["slowest"], after["slowest"])
    if slowest > MOST_SECONDS:
        told["unclear"].append(f"an answer after {slowest:.1f} s")
    print(told, flush=True)
    return told


def clock(setting: Setting, database: str) -> dict[str, Any]:
    """The time of day goes back an hour, and later forth again: nobody notices."""
    moved = Clock(setting.folder)
    with ExitStack() as stack:
        url = f"sqlite:///{setting.folder / 'store.db'}"
        if database == "postgresql":
            url = stack.enter_context(postgres(setting)).url
        on = stack.enter_context(stage(setting, url, environment=moved.environment))
        rows = [
            outage(
                on,
                "clock back an hour",
                lambda: moved.move(-HOUR),
                lambda: moved.move(0),
                MOVED_SECONDS,
                GOOD,
            )
        ]
        return {"faults": rows, "in_the_past": in_the_past(on.database), **ended(on)}


def in_the_past(database: Database) -> int:
    """Decisions whose time is half an hour or more before that of an earlier one."""
    with database.reading() as connection:
        times = list(connection.execute(select(DECISIONS.c.at).order_by(DECISIONS.c.seq)).scalars())
    return sum(
        at < most - HOUR // 2 * SECOND
        for at, most in zip(times, accumulate(times, max), strict=True)
    )


def disk(setting: Setting, database: str) -> dict[str, Any]:
    """The disk of the database is full for a while."""
    small = SmallDisk(setting.folder / "disk", 256)
    try:
        with ExitStack() as stack:
            server, url = None, f"sqlite:///{small.folder / 'store.db'}"
            if database == "postgresql":
                on_it = setting._replace(folder=small.folder)
                server = stack.enter_context(postgres(on_it))
                url = server.url
            on = stack.enter_context(stage(setting, url))
            started: list[str] = []

            def mend() -> None:
                small.free()
                if server is not None and not server.is_running():  # as an init system would
                    server.start()
                    started.append("PostgreSQL had ended, and was started again")

            row = outage(on, "disk full", small.fill, mend, FULL_SECONDS)
            return {"faults": [{**row, "by_hand": started}], **ended(on)}
    finally:
        small.remove()


def network(setting: Setting) -> dict[str, Any]:
    """Nothing comes through between the service and PostgreSQL, and nobody is told so."""
    wire = Wire()
    try:
        with (
            postgres(setting, host=wire.address, within=wire.within) as server,
            stage(setting, server.url) as on,
        ):
            row = outage(on, "network cut", wire.cut, wire.mend, CUT_SECONDS)
            return {"faults": [row], **ended(on)}
    finally:
        wire.remove()
