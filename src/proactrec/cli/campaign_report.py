"""`proactrec campaign report`: a campaign on one page, and the sums that it stands on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proactrec.cli import console
from proactrec.cli.keys import Store, Tenant, opened

if TYPE_CHECKING:
    import polars as pl

    from proactrec.serving.courses import Course
    from proactrec.store.outcomes import Outcomes

PAGE, SUMS, COURSE = "report.html", "sums.parquet", "course.parquet"
MOST_HOURS = 200_000
"""More than any campaign has."""


def report(
    store: Store,
    campaign: Annotated[str, typer.Option(help="Id of the campaign.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    tenant: Tenant = "default",
) -> None:
    """Write what a campaign did and brought: a page, its sums and its hours.

    `report.html` needs nothing else. `sums.parquet` has sums over measured users by epoch, arm and
    groups that are looked at apart, which may be added; `course.parquet` counts by hour and arm.

    Example: proactrec campaign report --store shop.sqlite --campaign 3f2a9c01d2e4 --out reports
    """
    from proactrec.files import replacing, write_text
    from proactrec.serving.counts import KINDS, renew
    from proactrec.serving.reporting import page_of
    from proactrec.serving.telling import course_now, outcomes_now
    from proactrec.store import campaigns

    now = time.time_ns() // 1000
    with opened(store) as database:
        with database.reading() as connection:
            version = campaigns.current(connection, tenant, campaign)
        for what in KINDS:
            renew(database, version, what, now)
        page = page_of(database, tenant, campaign, now)
        with database.reading() as connection:
            course = course_now(connection, version, now, by="hour", last=MOST_HOURS)
            found, _ = outcomes_now(connection, version, now)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / PAGE, page)
    for name, table in ((SUMS, sums_of(found)), (COURSE, hours_of(course))):
        with replacing(out / name) as partial:
            table.write_parquet(partial)
    console.note(f"report: {out / PAGE}, {SUMS} and {COURSE} beside it")


def sums_of(found: "Outcomes") -> "pl.DataFrame":
    """A row for each epoch, arm and groups: users, and sums of columns and of their products."""
    import polars as pl

    from proactrec.store.outcomes import PAIRS, sums_in

    schema: dict[str, Any] = {
        "since_version": pl.Int64,
        "arm": pl.String,
        "groups": pl.List(pl.String),
        **dict.fromkeys(map(_name, PAIRS), pl.Int64),
    }
    rows = [(cell.epoch, cell.arm, sorted(cell.groups), *sums_in(cell)) for cell in found.cells]
    return pl.DataFrame(rows, schema, orient="row")


def hours_of(course: "Course") -> "pl.DataFrame":
    """A row for each hour and arm."""
    import polars as pl

    from proactrec.serving.courses import CourseBin

    names = [name for name in CourseBin.model_fields if name not in ("at", "arm")]
    schema: dict[str, Any] = {
        "at": pl.Datetime("us", "UTC"),
        "arm": pl.String,
        **dict.fromkeys(names, pl.Int64),
    }
    return pl.DataFrame([one.model_dump() for one in course.bins], schema)


def _name(pair: tuple[str, str]) -> str:
    """Of a column: users, a sum, or a sum of products."""
    one, other = pair
    if one == "1":
        return "users" if other == "1" else other
    return f"{one}*{other}"
