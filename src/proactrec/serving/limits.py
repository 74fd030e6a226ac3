"""What comes in is bounded, and JSON: seen before any route reads it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from proactrec.serving.problems import problem
from proactrec.serving.schemas import MOST_BYTES

Message = MutableMapping[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]
ASGI = Callable[[Message, Receive, Send], Awaitable[None]]


class Bounded:
    """An application whose requests have bodies of bounded size, of JSON."""

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        headers = Request(scope).headers
        length = headers.get("content-length", "")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if length and length != "0" or "transfer-encoding" in headers:
            if kind != "application/json":
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
