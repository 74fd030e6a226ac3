"""A publisher's server on this machine, well-behaved or not."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest


class Request(NamedTuple):
    """What was asked for."""

    path: str
    range: str | None
    condition: str | None


Reply = Callable[[BaseHTTPRequestHandler], None]


class Publisher:
    """Serves bytes by path; a list of replies of its own comes first, one a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.replies: list[Reply] = []
        self.requests: list[Request] = []
        self.tag = '"v1"'
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = Request(self.path, self.headers.get("Range"), self.headers.get("If-Range"))
                publisher.requests.append(asked)
                reply = publisher.replies.pop(0) if publisher.replies else publisher.send
                reply(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        """The whole file, or the part asked for if it is still the same file."""
        content = self.files.get(handler.path.removeprefix(self.url))
        if content is None:
            handler.send_error(404)
            return
        wanted, start = handler.headers.get("Range"), 0
        if wanted and handler.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.send_header("Content-Range", span)
        handler.send_header("ETag", self.tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:])

    def breaking_after(self, n: int, *, tag: str | None = None) -> Reply:
        """Promise the whole file (what is left of it) and close the line after `n` bytes."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            content = self.files[handler.path]
            start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
            handler.send_response(206 if start else 200)
            handler.send_header("ETag", tag or self.tag)
            if start:
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                handler.send_header("Content-Range", span)
            handler.send_header("Content-Length", str(len(content) - start))
            handler.end_headers()
            handler.wfile.write(content[start : start + n])

        return reply

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()


def answering(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
    """A reply of any kind; the line is closed after it."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A server that is asked directly, whatever proxies are set here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Publisher()
    yield server
    server.close()
