"""`proactrec campaign`: campaigns on a store without a server, as nightly batches."""

import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from proactrec.cli import campaign_report, console, measuring, options, results
from proactrec.cli.keys import GuideFolder, Store, Tenant, named, opened
from proactrec.cli.setup import listed_ids
from proactrec.cli.streams import say
from proactrec.errors import CampaignStateError, InvalidInputError

if TYPE_CHECKING:
    import polars as pl

    from proactrec.store.campaign import State
    from proactrec.store.campaigns import Version

app = typer.Typer(
    no_args_is_help=True,
    help="Make campaigns, plan what users are shown and take in what they did, without a server: "
    "on the store that the service uses too.\n\n"
    "Start with: proactrec campaign create --store shop.sqlite --guide guides/shop --category Jazz",
)
Id = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Id of the campaign.")]
Reason = Annotated[
    str, typer.Option(callback=named("--reason", most=1000, kind="a text"), help="Why: it is kept.")
]
At = Annotated[
    str | None,
    typer.Option(help="When, e.g. 2026-12-01T02:00:00Z; now if not given."),
]
app.command()(measuring.measure)
app.command()(measuring.power)
app.command("off-policy")(measuring.off_policy)
app.command()(campaign_report.report)
BY = "command line"
TWICE = "_duplicated_0"
"""How Polars ends the name of a column that was there before."""
MOST_ID = 200
"""Characters of an id that the service takes."""
EVENT_COLUMNS = ("user_id", "event_id", "kind", "item_id", "decision_id", "at")


@app.command()
def create(
    store: Store,
    guide: GuideFolder,
    name: Annotated[str, typer.Option(help="What it is called.")] = "campaign",
    category: Annotated[
        str | None, typer.Option(help="Lead every user to the item of this category that suits.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Id of an item to lead users to; repeatable.")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(help="Share of users who are not guided, to compare with.")
    ] = 0.1,
    from_: Annotated[
        Path | None, typer.Option("--from", help="YAML or JSON file with all of a campaign.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Anything else, e.g. --set rails.daily_cap=2 --set budget.total=1000."
        ),
    ] = None,
    tenant: Tenant = "default",
    json: options.Json = False,
) -> None:
    """Make a campaign, as a draft; its id is printed.

    Example: proactrec campaign create --store shop.sqlite --guide guides/shop --category Jazz
    """
    from proactrec.config import parsed_setting, set_nested
    from proactrec.serving.guides import Guides
    from proactrec.store import campaigns
    from proactrec.store.campaign import Campaign

    content: dict[str, Any] = {"name": name, "hold_out": hold_out}
    goal = {"items": target or [], "category": category}
    if category or target:
        content["goal"] = goal
    if from_ is not None:
        content |= _written(from_)
    for setting, value in map(parsed_setting, set_ or []):
        set_nested(content, setting, value)
    said = Campaign(**content)
    Guides(guide).check(said)
    with opened(store, makes=True) as database, database.writing() as connection:
        version = campaigns.create(connection, tenant, said, by=BY, at=_now())
    _tell(version, json=json)


@app.command()
def start(
    campaign_id: Id,
    store: Store,
    without_forecast: Annotated[
        str | None,
        typer.Option(
            callback=named("--without-forecast", most=1000, kind="a text"),
            help="Start without a forecast; say why, it is kept.",
        ),
    ] = None,
    tenant: Tenant = "default",
) -> None:
    """Start a campaign, or go on with a paused one; its forecast must have been made."""
    from proactrec.store import campaigns

    with opened(store) as database, database.writing() as connection:
        version = campaigns.current(connection, tenant, campaign_id)
        is_foreseen = campaigns.forecast_of(connection, version) == "done"
        if version.state == "draft" and not (is_foreseen or without_forecast):
            raise CampaignStateError(
                f"campaign {campaign_id} has no forecast: see `campaign forecast`, or give "
                "--without-forecast REASON"
            )
        reason = without_forecast or "its forecast was made"
        campaigns.changed(connection, version, by=BY, at=_now(), reason=reason, state="running")


@app.command()
def forecast(campaign_id: Id, store: Store, tenant: Tenant = "default") -> None:
    """Ask the worker (`proactrec work`) for a forecast, or show the one that it made."""
    from proactrec.store import campaigns, jobs

    with opened(store) as database, database.writing() as connection:
        version = campaigns.current(connection, tenant, campaign_id)
        about = campaigns.about_forecast(version)
        job = jobs.newest(connection, tenant, about)
        if job is None or job.state == "failed":
            given = {"campaign_id": campaign_id, "version": version.version}
            jobs.enqueue(connection, tenant, "forecast", about, given)
            job = jobs.newest(connection, tenant, about)
    assert job is not None
    if job.state != "done":
        console.note(f"the forecast is {job.state}: `proactrec work --once` makes it")
        return
    results.print_json(job.result)


@app.command()
def pause(campaign_id: Id, store: Store, reason: Reason, tenant: Tenant = "default") -> None:
    """Pause a campaign: the next decision of everybody is a plain one."""
    _become("paused", campaign_id, store, reason, tenant)


@app.command()
def stop(campaign_id: Id, store: Store, reason: Reason, tenant: Tenant = "default") -> None:
    """Stop a campaign for good."""
    _become("stopped", campaign_id, store, reason, tenant)


@app.command("list")
def list_campaigns(store: Store, tenant: Tenant = "default", json: options.Json = False) -> None:
    """List campaigns in the order in which they have users' turns."""
    from proactrec.store import campaigns

    with opened(store) as database, database.reading() as connection:
        found = campaigns.all_current(connection, tenant)
    if json:
        results.print_json([_about(version) for version in found])
        return
    table = Table("id", "name", "state", "version", "reason")
    for one in found:
        table.add_row(one.campaign_id, one.said.name, one.state, str(one.version), one.reason)
    console.Terminal(highlight=False).print(table)


@app.command()
def plan(
    store: Store,
    guide: GuideFolder,
    out: Annotated[Path, typer.Option(help="File to write: .parquet or .csv.")],
    campaign: Annotated[
        str | None, typer.Option(help="Only this campaign may guide; else whose turn it is.")
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="File of user ids, one a line; else all that guide and store know."),
    ] = None,
    at: At = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Day that is planned for; by default that of --at in the time zone of --campaign "
            "(budget.time_zone), without which it is UTC.",
        ),
    ] = None,
    tenant: Tenant = "default",
) -> None:
    """Decide what every user is shown next, and why: one row each.

    Run again for the same day, it gives the same decisions: killed, it goes on. But whoever may not
    be guided any more gets the plain item, without a decision_id.

    Example: proactrec campaign plan --store shop.sqlite --guide guides/shop --out tonight.csv
    --day 2026-12-01
    """
    import polars as pl

    from proactrec.files import replacing
    from proactrec.serving.batches import all_users, planned
    from proactrec.serving.host import Host
    from proactrec.serving.opening import opened as opened_guides

    if out.suffix not in (".parquet", ".csv"):
        raise InvalidInputError(f"--out must end in .parquet or .csv, got {out}")
    when = _now() if at is None else _time(at)
    with opened(store) as database, console.progress() as progress:
        guides = opened_guides(database, guide, tenant)
        ids = (
            listed_ids(users, "--users", most=MOST_ID)
            if users
            else all_users(database, guides, tenant)
        )
        if not ids:
            raise InvalidInputError("--users must name a user, got nobody")
        host, planned_for = Host(database, guides), None if day is None else day.date()
        rows = planned(host, tenant, ids, campaign, when, progress, day=planned_for)
    table = pl.DataFrame([row.model_dump(mode="json") for row in rows], infer_schema_length=None)
    table = table.drop("label").insert_column(0, pl.Series("user_id", ids, dtype=pl.String))
    with replacing(out) as partial:
        (table.write_csv if out.suffix == ".csv" else table.write_parquet)(partial)
    n_guided = int(table["guided"].sum())
    console.note(f"{table.height:,} users, {n_guided:,} of them guided: {out}")


@app.command()
def ingest(
    store: Store,
    guide: GuideFolder,
    events: Annotated[
        Path, typer.Option(help=f".parquet or .csv with {', '.join(EVENT_COLUMNS)}.")
    ],
    tenant: Tenant = "default",
) -> None:
    """Take in what users did; what was taken in before changes nothing.

    `decision_id` is empty for what has nothing to do with a decision, `at` for now.

    Example: proactrec campaign ingest --store shop.sqlite --guide guides/shop --events today.csv
    """
    from proactrec.serving.batches import reported, reports_of
    from proactrec.serving.host import Host
    from proactrec.serving.opening import opened as opened_guides

    table = _events(events)
    with opened(store) as database, console.progress() as progress:
        host = Host(database, opened_guides(database, guide, tenant))
        taken = reported(host, tenant, reports_of(table, str(events)), progress)
    console.note(f"{taken.accepted:,} events taken in, {taken.repeated:,} known before")
    for why, n in Counter(one.why for one in taken.refused).most_common(20):
        console.warn([f"{n:,} refused: {why}"])


@app.command()
def rebuild(
    store: Store,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: say where the state differs.")
    ] = False,
    tenant: Tenant = "default",
) -> None:
    """Make the state of a store again from its log, or check that it equals a fold of it.

    With --check it exits 0 where both are equal, and 1 where not.
    """
    from proactrec.store.rebuild import differences
    from proactrec.store.rebuild import rebuild as made_again

    with opened(store) as database, console.progress() as progress:
        found = (differences if check else made_again)(database, tenant, progress)
    for one in found[:50]:
        key = ", ".join(map(str, one.key))
        say(f"{one.table} ({key}): stored {one.stored}, the log says {one.folded}")
    console.note(f"{len(found):,} rows {'differ' if check else 'were put right'}")
    if check and found:
        raise typer.Exit(1)


def _written(path: Path) -> dict[str, Any]:
    """What a file says of a campaign."""
    import yaml

    from proactrec.config import yaml_of

    try:
        found = yaml_of(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--from must name a YAML or JSON file, {path}: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"--from must name a file of settings, {path} holds none")
    return found


def _become(state: "State", campaign_id: str, store: str, reason: str, tenant: str) -> None:
    from proactrec.store import campaigns

    with opened(store) as database, database.writing() as connection:
        version = campaigns.current(connection, tenant, campaign_id)
        campaigns.changed(connection, version, by=BY, at=_now(), reason=reason, state=state)


def _tell(version: "Version", *, json: bool) -> None:
    if json:
        results.print_json(_about(version))
    else:
        print(version.campaign_id)


def _about(version: "Version") -> dict[str, Any]:
    said = version.said.model_dump(mode="json", exclude_defaults=True)
    return {"id": version.campaign_id, "version": version.version, "state": version.state, **said}


def _now() -> int:
    return time.time_ns() // 1000


def _time(given: str) -> int:
    from pydantic import TypeAdapter, ValidationError

    from proactrec.serving.schemas import Moment, micros

    try:
        found: datetime = TypeAdapter(Moment).validate_python(given)
    except ValidationError as error:
        raise InvalidInputError(f"--at must be a time with its zone, got {given!r}") from error
    if not 1980 <= found.year <= 2100:
        raise InvalidInputError(f"--at must be from 1980 to 2100, got {given!r}")
    return micros(found)


def _events(path: Path) -> "pl.DataFrame":
    import polars as pl

    from proactrec.data.sources.files import named

    if not path.is_file() or path.suffix not in (".parquet", ".csv"):
        raise InvalidInputError(f"--events must name a .parquet or .csv file, got {path}")
    is_csv = path.suffix == ".csv"
    with named(path, "CSV" if is_csv else "Parquet"):
        table = (
            pl.read_csv(path, infer_schema=False, glob=False)
            if is_csv
            else pl.read_parquet(path, glob=False)
        )
    if is_csv and (twice := [name for name in table.columns if name.endswith(TWICE)]):
        raise InvalidInputError(
            f"--events must have every column once, got {twice[0].removesuffix(TWICE)!r} twice in "
            f"{path}"
        )
    needed = EVENT_COLUMNS[:4]
    if missing := [name for name in needed if name not in table.columns]:
        raise InvalidInputError(
            f"--events must have the columns {', '.join(needed)}; {', '.join(missing)} is missing "
            f"in {path}"
        )
    return table
