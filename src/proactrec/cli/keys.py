"""`proactrec keys create | list | revoke`: who may use the service."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from proactrec.store.database import Database

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke keys of the service.\n\n"
    "Start with: proactrec keys create --scope operate --database-url sqlite:///shop.sqlite",
)
Url = Annotated[
    str,
    typer.Option(
        envvar="PROACTREC_DATABASE_URL", help="Of the service: sqlite:///FILE or postgresql://..."
    ),
]
Tenant = Annotated[str, typer.Option(help="Whose users, campaigns and keys.")]


@app.command()
def create(
    database_url: Url,
    scope: Annotated[
        str,
        typer.Option(
            help="decide (ask, and report what happened), report (read campaigns), operate (both, "
            "and change campaigns) or admin (all)."
        ),
    ],
    tenant: Tenant = "default",
) -> None:
    """Make a key and print it once, alone on the last line: nobody can read it again.

    Example: proactrec keys create --scope decide --database-url sqlite:///shop.sqlite
    """
    from proactrec.store import keys

    with opened(database_url) as database, database.writing() as connection:
        key = keys.create(connection, tenant, scope, time.time_ns() // 1000)  # type: ignore[arg-type]
    print(key)


@app.command("list")
def list_keys(database_url: Url, tenant: Tenant = "default") -> None:
    """Show the keys of a tenant: when they were made, and whether they still hold."""
    from proactrec.store.keys import Keys

    table = Table("key", "scope", "made", "revoked")
    with opened(database_url) as database:
        for key in Keys(database).list(tenant):
            revoked = "" if key.revoked_at is None else _day(key.revoked_at)
            table.add_row(key.key_id, key.scope, _day(key.made_at), revoked)
    Console(highlight=False).print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")],
    database_url: Url,
    tenant: Tenant = "default",
) -> None:
    """Make a key worthless, in every instance within a minute."""
    from proactrec.store.keys import Keys

    with opened(database_url) as database:
        Keys(database).revoke(tenant, key_id, time.time_ns() // 1000)


@contextmanager
def opened(url: str) -> Iterator["Database"]:
    """The database, with the newest schema."""
    from proactrec.store.database import Database

    database = Database(url)
    database.migrate()
    try:
        yield database
    finally:
        database.close()


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
