"""Connections that send a request slowly, or without end, are closed."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""A connection sends what stands before a body within that."""
MOST_HEAD = 1 << 16
"""Bytes of it."""


class Connection(HttpToolsProtocol):
    """One whose requests begin in time."""

    _patience: asyncio.TimerHandle | None = None
    _n_bytes = 0  # of a head that is not complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._waited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take it in, unless the head of a request does not end."""
        if self._patience is not None:
            self._n_bytes += len(data)
        super().data_received(data)
        if self._patience is not None and self._n_bytes > MOST_HEAD:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Wait for the rest of its head."""
        super().on_message_begin()
        if self._patience is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._waited()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._n_bytes = 0
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _waited(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
