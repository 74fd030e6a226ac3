"""Every request seen from outside: counted, timed, traced, and given an id that log lines name."""

import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proactrec.serving.metrics import REQUEST_SECONDS, REQUESTS
from proactrec.serving.seen import SEEN, Seen
from proactrec.serving.traces import Traces

HEADER = b"x-request-id"


class Watched:
    """An application whose requests are watched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traces: Traces = scope["app"].state.service.instance.traces
        request_id, start, status = secrets.token_hex(8), time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        with traces.request(scope["method"], scope["headers"]) as span:
            SEEN.set(Seen(request_id, span))  # of this request's own context
            try:
                await self._app(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if route != "none" else "any"
                REQUESTS.labels(method, route, status).inc()
                REQUEST_SECONDS.labels(route).observe(time.perf_counter() - start)
                traces.answered(span, method, route, status)
