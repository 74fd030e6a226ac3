"""Log lines of the service's processes: for people on a terminal, JSON else; they name no person.

What an error says may hold what a request said, so that of a traceback only places in the code are
told, and the errors' kinds.
"""

import json
import logging
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Any

from proactrec.serving.seen import SEEN
from proactrec.serving.supervisor import instance_name


class Impersonal(logging.Formatter):
    """Lines whose tracebacks hold nothing that came from outside."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Where in the code it was, of an error and of what caused it."""
        told: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None:
            places = traceback.format_tb(error.__traceback__)
            told.insert(0, "".join([*places, f"{type(error).__module__}.{type(error).__name__}"]))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n\n".join(told)


class JsonLines(Impersonal):
    """A line of JSON a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "instance": instance_name(),
            "pid": record.process,
            "message": record.getMessage(),
        }
        if (seen := SEEN.get()) is not None:
            told["request_id"] = seen.request_id
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def log_to_stderr() -> None:
    """Lines for people on a terminal, JSON else; of what nobody caught and of warnings too."""
    handler = logging.StreamHandler(sys.stderr)
    plain = Impersonal("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(plain if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("proactrec").critical("it failed", exc_info=(kind, error, trace))
