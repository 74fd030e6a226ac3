"""`proactrec serve`: the service, all of its processes."""

import logging
import os
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proactrec.cli.flags import built, flags_of, takes
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.serving.safety import SafetyOptions
from proactrec.threads import ONE_EACH

if TYPE_CHECKING:
    from proactrec.serving.supervisor import Child
    from proactrec.store.database import Database
    from proactrec.store.keys import Scope

GuideFolder = Annotated[
    Path, typer.Option("--guide", help="Folder of a guide, made by `proactrec guide fit`.")
]
SAFETY = {
    **flags_of(SafetyOptions, "Safety", "rate_limit", "behind_proxy", "tls_cert", "tls_key"),
    **flags_of(
        SafetyOptions,
        "Safety",
        oidc_issuer="oidc.issuer",
        oidc_client_id="oidc.client_id",
        oidc_scope_claim="oidc.scope_claim",
        oidc_tenant_claim="oidc.tenant_claim",
    ),
}
BACKLOG = 2048
logger = logging.getLogger(__name__)
LOADED = "import gc; gc.disable(); from proactrec.serving.process import main; main()"
"""What is loaded stays: looking for waste among it meanwhile is a fifth of what loading takes."""
COMMAND = (sys.executable, "-c", "from proactrec.cli.main import main; main()")


@takes(SAFETY)
def serve(
    guide: Annotated[
        Path | None,
        typer.Option(help="Folder of a guide, made by `proactrec guide fit`."),
    ] = None,
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
        int,
        typer.Option(
            min=1, max=256, help="Processes that answer; several need PostgreSQL to gain."
        ),
    ] = 1,
    lease_block: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Offers of a budget that an instance takes in hand at once, so that many "
            "instances don't wait for its row; 0: each offer is counted there by itself.",
        ),
    ] = 0,
    first_key_file: Annotated[
        Path | None,
        typer.Option(
            help="Where the first key is written, for its owner alone, instead of being printed: "
            "what is printed may be logged."
        ),
    ] = None,
    demo: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Make a guide of the generated demo world there, if there is none yet, and let "
            "simulated shoppers visit a campaign.",
        ),
    ] = None,
    console_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Open a console for browsers there too, on the same address; 0: any free port. "
            "With --demo it is 8081 by default.",
        ),
    ] = None,
    **values: Any,
) -> None:
    """Serve campaigns to real users over HTTP, until Ctrl-C or SIGTERM.

    At the first start a key for everything is made and printed, alone on its line: keep it. Its
    requests have the header `Authorization: Bearer KEY`. What they are: http://HOST:PORT/docs.

    Example: proactrec serve --guide guides/shop
    """
    from proactrec.serving.logs import log_to_stderr
    from proactrec.serving.supervisor import DATABASE, FIGURES, INSTANCE, Supervisor
    from proactrec.store.database import Database

    if (guide is None) == (demo is None):
        raise InvalidInputError("give --guide DIR or --demo FOLDER, one of them")
    safety = built(SafetyOptions, SAFETY, values)
    if safety.tls_cert is not None and (demo is not None or console_port is not None):
        raise InvalidInputError(
            "demo and console_port can't be given with tls_cert: run `proactrec console` beside "
            "it, with --tls-cert and --tls-key, and --api https://NAME:PORT by the certificate's "
            "name"
        )
    if demo is not None:
        from proactrec.cli.demo_shop import demo_guide

        guide = demo_guide(demo)
        console_port = 8081 if console_port is None else console_port
    assert guide is not None
    if not (guide / "guide.json").is_file():  # said before anything starts
        raise UnknownIdError(f"{guide} holds no guide: make one with `proactrec guide fit`")
    listener = bound(host, port)  # before a key is made, which would be told to nobody
    bound(host, console_port or 0).close()  # as the console will
    url = database_url or default_database(guide)
    database = Database(url)
    database.migrate()
    key = first_key(database, first_key_file)
    visits = None if demo is None else new_key(database, "operate")
    database.close()
    if key is not None and first_key_file is None:
        print(key, flush=True)
    os.environ[INSTANCE] = "supervisor"
    log_to_stderr()
    if (warning := safety.warning(listener.getsockname()[0])) is not None:
        logger.warning("%s", warning)
    scheme = "http" if safety.tls_cert is None else "https"
    logger.info("serving %s at %s, see /docs", guide, reached_at(listener, scheme))
    api = reached_at(listener, within=True)
    os.environ.update({DATABASE: url, **ONE_EACH})
    processes = children(guide, listener, instances, safety, lease_block)
    if visits is not None:
        from proactrec.cli.demo_shop import visitors

        processes.append(visitors(api, visits))
    if console_port is not None:
        processes.append(browsers(api, host, console_port, safety))
    with TemporaryDirectory(prefix="proactrec-figures-") as figures:
        os.environ[FIGURES] = figures
        Supervisor(processes).run()


def default_database(guide: Path) -> str:
    """Beside the guide's folder, which never changes."""
    return str(guide.absolute().with_name(f"{guide.name}.store") / "campaigns.sqlite")


def first_key(database: "Database", file: Path | None = None) -> str | None:
    """A key for everything, if there is none yet; in a file that nobody else can read, if asked."""
    from sqlalchemy import select

    from proactrec.store.tables import KEYS

    with database.reading() as connection:
        if connection.execute(select(KEYS.c.key_id).limit(1)).first() is not None:
            return None
    if file is None:
        return new_key(database, "admin")
    with open(
        file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
    ) as lines:
        key = new_key(database, "admin")
        lines.write(f"{key}\n")
    return key


def new_key(database: "Database", scope: "Scope") -> str:
    """A key of the default tenant."""
    from proactrec.store import keys

    with database.writing() as connection:
        made: str = keys.create(connection, keys.DEFAULT_TENANT, scope, time.time_ns() // 1000)
        return made


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens, for all instances."""
    if not host:  # which would be every address
        raise InvalidInputError("--host must be an address or a name, got ''")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"can't listen on {host}:{port}: {reason}") from error
    listener.set_inheritable(True)
    return listener


def reached_at(listener: socket.socket, scheme: str = "http", *, within: bool = False) -> str:
    """The URL of a listener; `within`: as this machine reaches it, whatever it listens on."""
    host, port = listener.getsockname()[:2]
    if within:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def browsers(api: str, host: str, port: int, safety: SafetyOptions) -> "Child":
    """The console, by which people reach the service in a browser."""
    from proactrec.serving.supervisor import Child

    command = [*COMMAND, "console", "--api", api, "--host", host, "--port", str(port)]
    if safety.oidc is not None:
        command += ["--oidc-issuer", safety.oidc.issuer]
        command += ["--oidc-client-id", safety.oidc.client_id]
    if safety.behind_proxy is not None:
        command += ["--behind-proxy", safety.behind_proxy]
    return Child("console", command)


def children(
    guide: Path, listener: socket.socket, n: int, safety: SafetyOptions, lease_block: int = 0
) -> "list[Child]":
    """The instances, and the worker, which find the database's URL in their environment."""
    from proactrec.serving.supervisor import Child

    fd = str(listener.fileno())
    instance = [sys.executable, "-c", LOADED, "--guide", str(guide), "--fd", fd]
    instance += ["--lease-block", str(lease_block), "--safety", safety.model_dump_json()]
    work = [*COMMAND, "work", "--guide", str(guide)]
    found = [
        Child(f"instance-{at}", instance, [int(fd)], says_ready=True) for at in range(1, n + 1)
    ]
    return [*found, Child("worker", work)]
