"""What comes in is bounded, and JSON: seen before any route reads it."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proactrec.serving.problems import problem
from proactrec.serving.schemas import MOST_BYTES


class Bounded:
    """An application whose requests have bodies of bounded size, of JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])  # their names in lower case, as ASGI says
        length = headers.get(b"content-length", b"").decode("latin-1")
        kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        has_body = length not in ("", "0") or b"transfer-encoding" in headers
        if has_body and kind != "application/json":
            refused = problem(415, f"a body must be application/json, got {kind or 'no type'}")
            await refused(scope, receive, send)
            return
        if length.isdecimal() and int(length) > MOST_BYTES:
            await problem(413, _too_large())(scope, receive, send)
            return
        await self._app(scope, receive if length else _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    """Of a body whose length was not said."""
    n_bytes = 0

    async def counted() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > MOST_BYTES:
            raise HTTPException(413, _too_large())
        return message

    return counted


def _too_large() -> str:
    return f"a body holds at most {MOST_BYTES:,} bytes"
