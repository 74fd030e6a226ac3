"""`proactrec keys create | list | revoke`: who may use the service."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from proactrec.cli.console import Terminal
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.store.database import Database

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke keys of the service.\n\n"
    "Start with: proactrec keys create --scope operate --database-url sqlite:///shop.sqlite",
)
DAY = 86_400_000_000
Url = Annotated[
    str,
    typer.Option(
        envvar="PROACTREC_DATABASE_URL", help="Of the service: sqlite:///FILE or postgresql://..."
    ),
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="PROACTREC_DATABASE_URL",
        help="Path of a SQLite file, or postgresql://...",
    ),
]
GuideFolder = Annotated[Path, typer.Option("--guide", help="Folder of a guide.")]


def named(what: str, *, most: int | None = None, kind: str = "a name") -> Callable[[Any], Any]:
    """What typer calls with a name, which must not be blank, nor longer than `most`; or with none.

    The service says the same of what it is asked.
    """

    def checked(name: str | None) -> str | None:
        if name is not None and not name.strip():
            raise InvalidInputError(f"{what} must be {kind}, got {name!r}")
        if name is not None and most is not None and len(name) > most:
            raise InvalidInputError(
                f"{what} must have at most {most:,} characters, got {len(name):,}"
            )
        return name

    return checked


Tenant = Annotated[
    str, typer.Option(callback=named("--tenant"), help="Whose users, campaigns and keys.")
]


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
    name: Annotated[
        str | None,
        typer.Option(
            callback=named("--name", most=200), help="What it is for, as `keys list` shows it."
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="It holds so long; for ever by default.")
    ] = None,
) -> None:
    """Make a key and print it once, alone on the last line: nobody can read it again.

    Keys of other tenants are made here alone: the service makes those of the asking one.

    Example: proactrec keys create --scope decide --database-url sqlite:///shop.sqlite
    """
    from proactrec.store import keys

    at, wanted = time.time_ns() // 1000, keys.scope_named(scope)
    until = None if days is None else at + days * DAY
    with opened(database_url, makes=True) as database, database.writing() as connection:
        key = keys.create(connection, tenant, wanted, at, name=name, expires_at=until)
    print(key)


@app.command("list")
def list_keys(database_url: Url, tenant: Tenant = "default") -> None:
    """Show the keys of a tenant: when they were made, and whether they still hold."""
    from proactrec.store.keys import Keys

    table = Table("key", "name", "scope", "made", "expires", "revoked")
    with opened(database_url) as database:
        for key in Keys(database).list(tenant):
            times = (key.made_at, key.expires_at, key.revoked_at)
            days = ("" if at is None else _day(at) for at in times)
            table.add_row(key.key_id, key.name or "", key.scope, *days)
    Terminal(highlight=False).print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")],
    database_url: Url,
    tenant: Tenant = "default",
) -> None:
    """Make a key worthless, in every instance within some seconds."""
    from proactrec.store.keys import Keys

    with opened(database_url) as database:
        Keys(database).revoke(tenant, key_id, time.time_ns() // 1000)


@contextmanager
def opened(url: str, *, makes: bool = False) -> Iterator["Database"]:
    """The database, with the newest schema; where there is no store, one is made if `makes`."""
    from proactrec.store.database import Database

    with closing(Database(url)) as database:
        if not makes:
            database.check_there()
        database.migrate()
        yield database


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
