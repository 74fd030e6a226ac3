"""What comes in is bounded, in time, and JSON; what goes out says how it is to be treated.

Seen before any route reads it.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proactrec.serving.problems import HEADERS, NOT_KEPT, problem
from proactrec.serving.schemas import MOST_BYTES

BODY_SECONDS = 10.0
"""A body is there within that."""
LAST = {"Connection": "close"}
"""What is left of the body is not waited for."""
PLAIN = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
PERSONAL = [
    *PLAIN,
    *((name.lower().encode(), value.encode()) for name, value in NOT_KEPT.items()),
]


class Bounded:
    """An application whose requests have bodies of bounded size, of JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _guarded(send, is_personal=scope["path"].startswith("/v1/"))
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
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
            await problem(413, _too_large(), headers=LAST)(scope, receive, send)
            return
        await self._app(scope, _counted(receive) if has_body else receive, send)


def _counted(receive: Receive) -> Receive:
    """Of a body that may be longer than was said, or slower than anybody needs."""
    n_bytes, end, is_whole = 0, asyncio.get_running_loop().time() + BODY_SECONDS, False

    async def counted() -> Message:
        nonlocal n_bytes, is_whole
        if is_whole:
            return await receive()  # whether the caller has gone
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            seconds = f"{BODY_SECONDS:g} s"
            raise HTTPException(408, f"a body must be there within {seconds}", LAST) from None
        n_bytes += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if n_bytes > MOST_BYTES:
            raise HTTPException(413, _too_large(), LAST)
        return message

    return counted


def _guarded(send: Send, *, is_personal: bool) -> Send:
    """With headers by which no browser or proxy keeps or shows what is not for it."""
    added = PERSONAL if is_personal else PLAIN

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return guarded


def _too_large() -> str:
    return f"a body holds at most {MOST_BYTES:,} bytes"
