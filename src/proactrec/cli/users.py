"""`proactrec users export | erase | scrub`: what is held of a person, told or gone."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from proactrec.cli import console, results
from proactrec.cli.keys import Tenant, Url, named, opened
from proactrec.errors import UnknownIdError

app = typer.Typer(
    no_args_is_help=True,
    help="Tell all that is held of a user, or erase it.\n\n"
    "Start with: proactrec users export ID --guide guides/shop --database-url sqlite:///shop.sqlite",
)
UserId = Annotated[
    str, typer.Argument(metavar="USER", callback=named("USER"), help="Id of the user.")
]
GuideFolders = Annotated[
    list[Path], typer.Option("--guide", help="Folder of a guide in use; repeatable.")
]


@app.command()
def export(
    user_id: UserId, guide: GuideFolders, database_url: Url, tenant: Tenant = "default"
) -> None:
    """Print all that the store holds of a user, and what guides know, as JSON.

    Example: proactrec users export u17 --guide guides/shop --database-url sqlite:///shop.sqlite
    """
    from proactrec.serving.erasing import items_known
    from proactrec.serving.exporting import exported
    from proactrec.serving.guides import Guides

    guides = [Guides(folder) for folder in guide]
    with opened(database_url) as database, database.reading() as connection:
        items = items_known(connection, tenant, user_id, guides)
        for part in exported(connection, tenant, user_id, {"guide_items": items}):
            print(part, end="")


@app.command()
def erase(
    user_id: UserId, guide: GuideFolders, database_url: Url, tenant: Tenant = "default"
) -> None:
    """Erase a user from the store and from guides; the receipt is printed as JSON.

    The folders are written anew without the user. An instance that has opened one before goes on
    with it, and no longer knows the user: start it again to free its memory.

    Example: proactrec users erase u17 --guide guides/shop --database-url sqlite:///shop.sqlite
    """
    from proactrec.guidance.forgetting import forget
    from proactrec.serving.erasing import erased
    from proactrec.serving.guides import Guides
    from proactrec.store.audit import BY_COMMAND

    guides = [Guides(folder) for folder in guide]
    with opened(database_url) as database:
        at = time.time_ns() // 1000
        receipt = erased(database, tenant, user_id, guides, by=BY_COMMAND, at=at)
    for folder in receipt.guides:
        with suppress(UnknownIdError):  # another erasure was quicker
            forget(Path(folder), user_id)
        console.note(f"{folder} was written anew without the user")
    results.print_json(receipt.model_copy(update={"guides": ()}).model_dump(mode="json"))


@app.command()
def scrub(database_url: Url) -> None:
    """Write tables anew, so that no byte of erased users is in the database's files.

    SQLite needs it only where a receipt says so. Nobody decides meanwhile, who asks gets a plain
    item: for a quiet hour. The log and archives of PostgreSQL itself are its administrator's.

    Example: proactrec users scrub --database-url postgresql://127.0.0.1/shop
    """
    from proactrec.store.scrubbing import rewrite

    with opened(database_url) as database:
        rewrite(database)
