"""Which request is being answered here: its id, which log lines name, and its span."""

from contextvars import ContextVar
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """A request under way."""

    request_id: str
    span: Any = None


SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)
"""Of the context; None: no request."""
