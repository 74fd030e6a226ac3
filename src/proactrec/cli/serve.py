"""`proactrec serve`: the service, all of its processes."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proactrec.errors import InvalidInputError, UnknownIdError

if TYPE_CHECKING:
    from proactrec.serving.supervisor import Child
    from proactrec.store.database import Database

GuideFolder = Annotated[
    Path, typer.Option("--guide", help="Folder of a guide, made by `proactrec guide fit`.")
]
BACKLOG = 2048


def serve(
    guide: GuideFolder,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="PROACTREC_DATABASE_URL",
            help="postgresql://... or sqlite:///FILE; by default a file in GUIDE.store, beside "
            "the guide.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine can reach the default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8080,
    instances: Annotated[
        int, typer.Option(min=1, help="Processes that answer; several need PostgreSQL to gain.")
    ] = 1,
) -> None:
    """Serve campaigns to real users over HTTP, until Ctrl-C or SIGTERM.

    At the first start a key for everything is made and printed, alone on its line: keep it. Its
    requests have the header `Authorization: Bearer KEY`. What they are: http://HOST:PORT/docs.

    Example: proactrec serve --guide guides/shop
    """
    from proactrec.serving.logs import log_to_stderr
    from proactrec.serving.supervisor import DATABASE, Supervisor
    from proactrec.store.database import Database

    if not (guide / "guide.json").is_file():  # said before anything starts
        raise UnknownIdError(f"{guide} holds no guide: make one with `proactrec guide fit`")
    url = database_url or default_database(guide)
    database = Database(url)
    database.migrate()
    key = first_key(database)
    database.close()
    listener = bound(host, port)
    if key is not None:
        print(key, flush=True)
    at = listener.getsockname()
    print(f"serving {guide} at http://{at[0]}:{at[1]}, see /docs", file=sys.stderr, flush=True)
    log_to_stderr()
    os.environ.update({DATABASE: url, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    Supervisor(children(guide, listener, instances)).run()


def default_database(guide: Path) -> str:
    """Beside the guide's folder, which never changes."""
    return f"sqlite:///{guide.absolute().with_name(f'{guide.name}.store') / 'campaigns.sqlite'}"


def first_key(database: "Database") -> str | None:
    """A key for everything, if there is none yet."""
    from sqlalchemy import select

    from proactrec.store import keys
    from proactrec.store.tables import KEYS

    with database.writing() as connection:
        if connection.execute(select(KEYS.c.key_id).limit(1)).first() is not None:
            return None
        made: str = keys.create(connection, keys.DEFAULT_TENANT, "admin", time.time_ns() // 1000)
        return made


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens, for all instances."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidInputError(f"can't listen on {host}:{port}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener


def children(guide: Path, listener: socket.socket, n: int) -> "list[Child]":
    """The instances, and the worker, which find the database's URL in their environment."""
    from proactrec.serving.supervisor import Child

    fd = str(listener.fileno())
    module = [sys.executable, "-m", "proactrec.serving.process"]
    instance = [*module, "--guide", str(guide), "--fd", fd]
    command = [sys.executable, "-c", "from proactrec.cli.main import main; main()"]
    work = [*command, "work", "--guide", str(guide)]
    found = [Child(f"instance {at}", instance, [int(fd)]) for at in range(1, n + 1)]
    return [*found, Child("worker", work)]
