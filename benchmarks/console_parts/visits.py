"""Visitors of a console without a browser: each asks for a page and takes what its channel sends.

A visit is what a browser makes of it on the server: the page's HTML, its channel (socket.io), what
comes through it until nothing more comes, and the end.
"""

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import socketio

QUERY = re.compile(r"query: (\{.*\}),\n")
QUIET_SECONDS, MOST_SECONDS = 0.5, 30.0
AT_A_TIME = 8


def signed_in(url: str, key: str) -> str:
    """The cookie of whoever has this key."""
    answer = httpx2.post(f"{url}/sign-in", data={"key": key})
    return answer.headers["set-cookie"].split(";")[0]


class Visitors:
    """Who come to pages, one after the other, several at a time."""

    def __init__(self, url: str, cookie: str, paths: Sequence[str]) -> None:
        self._url, self._paths = url, paths
        self._headers = {"cookie": cookie}
        self.failed: list[str] = []

    async def come(self, n: int, between: Callable[[int], Awaitable[None]], every: int) -> None:
        """So many visits; something is done after every so many."""
        async with httpx2.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=MOST_SECONDS
        ) as http:
            for start in range(0, n, every):
                room = asyncio.Semaphore(AT_A_TIME)
                numbers = range(start, min(n, start + every))
                await asyncio.gather(*(self._visit(http, number, room) for number in numbers))
                await between(numbers.stop)

    async def stay(self, n: int, ends: asyncio.Event) -> None:
        """So many consoles that stay open, as tabs do, until it is over."""
        async with httpx2.AsyncClient(base_url=self._url, headers=self._headers) as http:
            tabs = [await self._opened(http, number) for number in range(n)]
            await ends.wait()
            for tab, _ in tabs:
                await tab.disconnect()

    async def _visit(self, http: httpx2.AsyncClient, number: int, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                tab, comes = await self._opened(http, number)
            except socketio.exceptions.ConnectionError as error:
                self.failed.append(f"visit {number}: {error}")
                return
            while True:  # until it is quiet
                comes.clear()
                try:
                    await asyncio.wait_for(comes.wait(), QUIET_SECONDS)
                except TimeoutError:
                    break
            await tab.disconnect()

    async def _opened(
        self, http: httpx2.AsyncClient, number: int
    ) -> tuple[socketio.AsyncClient, asyncio.Event]:
        """A page with its channel; the event is set whenever something comes through it."""
        answer = await http.get(self._paths[number % len(self._paths)])
        found = QUERY.search(answer.raise_for_status().text)
        if found is None:
            raise SystemExit("the page has no channel")
        query = {
            **ast.literal_eval(found[1]),  # as Python writes it
            "document_id": str(uuid4()),
            "tab_id": str(uuid4()),
            "implicit_handshake": "true",
        }
        tab, comes = socketio.AsyncClient(reconnection=False), asyncio.Event()

        def come(*_: object) -> None:
            comes.set()

        tab.on("*", come)
        await tab.connect(
            f"{self._url}?{urlencode(query)}",
            headers=dict(self._headers),  # which are emptied
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
        )
        with suppress(TimeoutError):  # a page may have told all with its HTML
            await asyncio.wait_for(comes.wait(), QUIET_SECONDS)
        return tab, comes
