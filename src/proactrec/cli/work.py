"""`proactrec work`: the worker beside a service, or all that is due, once."""

import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from proactrec.cli.serve import GuideFolder, default_database
from proactrec.errors import UnknownIdError


def work(
    guide: GuideFolder,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="PROACTREC_DATABASE_URL",
            help="postgresql://... or sqlite:///FILE; by default a file in GUIDE.store, beside "
            "the guide.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Do all that is due, and end: for nightly batches.")
    ] = False,
) -> None:
    """Settle what nobody answered, learn, forecast, and let campaigns grow, pause or end.

    `proactrec serve` starts it by itself. One at a time works on a store; others wait for it.

    Example: proactrec work --guide guides/shop --once
    """
    from proactrec.serving.logs import log_to_stderr
    from proactrec.store.database import Database
    from proactrec.worker.work import Worker

    if not (guide / "guide.json").is_file():
        raise UnknownIdError(f"{guide} holds no guide: make one with `proactrec guide fit`")
    log_to_stderr()
    ends = threading.Event()

    def told(_: int, __: FrameType | None) -> None:
        ends.set()

    database = Database(database_url or default_database(guide))
    database.migrate()
    worker = Worker(database, guide)
    if once:
        worker.once()
    else:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, told)
        worker.run(ends)
    database.close()
