"""`proactrec backup` and `proactrec restore`: a store in one file."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from proactrec.cli import console
from proactrec.cli.keys import Url, opened

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: File, database_url: Url) -> None:
    """Write all that a store holds to one file, while instances go on.

    The file fits SQLite and PostgreSQL alike, and holds people's data: keep it as the store.

    Example: proactrec backup --database-url sqlite:///shop.sqlite shop.backup
    """
    from proactrec.store.backup import backup as written

    with opened(database_url) as database, console.progress() as progress:
        counts = written(database, file, progress)
    console.note(f"{sum(counts.values()):,} rows: {file}")


def restore(
    file: File,
    database_url: Url,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the store: it is lost.")
    ] = False,
) -> None:
    """Put a backup into an empty store, checked byte by byte, all or nothing.

    Who was erased since the backup was made is in it again: erase them once more.

    Example: proactrec restore --database-url postgresql://127.0.0.1/shop shop.backup
    """
    from proactrec.store.backup import restore as restored
    from proactrec.store.database import Database

    with closing(Database(database_url)) as database, console.progress() as progress:
        counts = restored(database, file, force=force, progress=progress)
    console.note(f"{sum(counts.values()):,} rows, and the state equals a fold of the log")
