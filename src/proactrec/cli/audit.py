"""`proactrec audit`: who changed what."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.keys import Tenant, Url, opened
from proactrec.cli.rules import Rule, callback_of, listed
from proactrec.store.audit import KINDS, entries


def audit(
    database_url: Url,
    what: Annotated[
        str | None,
        typer.Option(
            callback=callback_of("--what", Rule(choices=KINDS)),
            help=f"Only of a kind: {listed(KINDS)}.",
        ),
    ] = None,
    about: Annotated[
        str | None, typer.Option(help="Only of one thing, e.g. the id of a campaign.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, the newest.")] = 100,
    tenant: Tenant = "default",
    json: options.Json = False,
) -> None:
    """Show who changed what, the newest first.

    Example: proactrec audit --database-url sqlite:///shop.sqlite --what campaign
    """
    with opened(database_url) as database, database.reading() as connection:
        found = entries(connection, tenant, what=what, about=about, limit=limit)
    if json:
        results.print_json([{**one._asdict(), "at": _time(one.at)} for one in found])
        return
    table = Table("when", "by", "what", "about", "detail")
    for one in found:
        detail = ", ".join(f"{name} = {value}" for name, value in one.detail.items())
        table.add_row(_time(one.at), one.by, one.what, one.about, detail)
    console.Terminal(highlight=False).print(table)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
