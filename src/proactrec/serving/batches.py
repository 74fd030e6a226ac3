"""Campaigns as batches: everybody is decided for at once, and what they did comes in a table."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TypeVar
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select

from proactrec.config import rule_of
from proactrec.errors import InvalidInputError
from proactrec.progress import Progress, silent
from proactrec.serving.guides import Guides
from proactrec.serving.host import Host
from proactrec.serving.requests import Answer, Ask, Outcome, Report
from proactrec.serving.schemas import Decision, EventReport, EventsTaken
from proactrec.serving.words import report_of, taken, told
from proactrec.store import campaigns
from proactrec.store.database import Database, Hot
from proactrec.store.erased import rows_of
from proactrec.store.people import NOBODY, day_of
from proactrec.store.tables import USERS

BATCH = 256
"""Requests of a transaction."""
EVENTS = TypeAdapter(list[EventReport])
RequestT = TypeVar("RequestT", Ask, Report)


def all_users(database: Database, guides: Guides, tenant: str) -> list[str]:
    """Ids of all users whom the guide or the store knows, in order; not of whoever was erased."""
    with database.reading() as connection:
        query = select(USERS.c.user_id).where(USERS.c.tenant == tenant, USERS.c.revision > 0)
        stored = set(connection.execute(query).scalars())
        erased = rows_of(Hot(connection), tenant, guides.name)
    known = (user_id for user_id, row in guides.saved.known.index.items() if row not in erased)
    return sorted(one for one in stored.union(known) if not one.startswith(NOBODY))


def planned(
    host: Host,
    tenant: str,
    user_ids: Sequence[str],
    campaign_id: str | None,
    at: int,
    progress: Progress = silent,
    *,
    day: date | None = None,
) -> list[Decision]:
    """What every user is shown next; asked again for the same day, the same.

    Whoever was guided and may not be any more gets the plain item then, of which nothing is kept.

    Parameters
    ----------
    day : date, optional
        That is planned for: by default that of the time, where the campaign is, or of UTC.

    Raises
    ------
    UnknownIdError
        If there is no such campaign.
    """
    day = day or day_of(at, _zone(host.database, tenant, campaign_id))
    key = f"plan {campaign_id or 'all'} {day}"
    asks = [Ask(user_id, campaign_id, (), at, key) for user_id in user_ids]
    found: list[Decision] = []
    for part in _parts(asks):
        answers = host.handle(tenant, part)
        found += [told(one) for one in answers if isinstance(one, Answer)]
        progress("plan", len(found), len(asks))
    return found


def reports_of(table: pl.DataFrame, file: str = "the events") -> list[Report]:
    """Rows of a table (user_id, event_id, kind, item_id; decision_id, at) as reports.

    Raises
    ------
    InvalidInputError
        For the first row that is none, with the name of its file.
    """
    names = [name for name in EventReport.model_fields if name in table.columns]
    try:
        texts = table.select(pl.col(names).cast(pl.String).replace("", None)).to_dicts()
    except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError) as error:
        kinds = ", ".join(f"{name} {table[name].dtype}" for name in names)
        raise InvalidInputError(f"columns of {file} must be texts, got {kinds}") from error
    rows = [{name: value for name, value in row.items() if value is not None} for row in texts]
    try:
        events = EVENTS.validate_python(rows)
    except ValidationError as error:
        first = error.errors()[0]
        row, *where = first["loc"]
        place = ".".join(map(str, where))
        raise InvalidInputError(
            f"row {int(row) + 1} of {file}: {place} {rule_of(first)}, got {rows[int(row)]}"[:300]
        ) from error
    return list(map(report_of, events))


def reported(
    host: Host, tenant: str, reports: Sequence[Report], progress: Progress = silent
) -> EventsTaken:
    """Take reports in; how many were new, known before, and refused."""
    outcomes: list[Outcome] = []
    for part in _parts(reports):
        outcomes += host.handle(tenant, part)
        progress("ingest", len(outcomes), len(reports))
    return taken([report.event_id for report in reports], outcomes)


def _zone(database: Database, tenant: str, campaign_id: str | None) -> ZoneInfo:
    """Of a campaign's days; several may have several."""
    if campaign_id is None:
        return ZoneInfo("UTC")
    with database.reading() as connection:
        return campaigns.current(connection, tenant, campaign_id).said.budget.zone


def _parts(requests: Sequence[RequestT]) -> Iterator[Sequence[RequestT]]:
    for at in range(0, len(requests), BATCH):
        yield requests[at : at + BATCH]
