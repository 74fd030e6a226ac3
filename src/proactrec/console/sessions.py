"""Who is signed in: a key in this process's memory by the number in a cookie, and nowhere else."""

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection

from proactrec.console.options import ConsoleOptions
from proactrec.errors import UnknownKeyError
from proactrec.serving.client import Client
from proactrec.serving.looking import AccessNow
from proactrec.store.campaign import time_zones

COOKIE = "proactrec_console"
MOST_SESSIONS = 10_000
CALLS = ThreadPoolExecutor(32, thread_name_prefix="calls")
"""Of the service: a slow answer must not keep others waiting."""
T = TypeVar("T")


@dataclass(eq=False)
class Session:
    """Somebody who is signed in."""

    client: Client
    access: AccessNow
    zone: ZoneInfo
    dark: bool | None = None  # None: as the system
    idle_seconds: float = math.inf  # after which they must sign in again
    used_at: float = field(default_factory=time.monotonic)
    has_ended: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether somebody did nothing for too long."""
        return time.monotonic() - self.used_at > self.idle_seconds

    def touch(self) -> None:
        """Somebody is there: clicked, typed, or opened a page; what is asked again by itself isn't.

        Who was away too long stays away.
        """
        if not self.is_idle:
            self.used_at = time.monotonic()

    def may(self, scope: str) -> bool:
        """Whether the key reaches so far."""
        return self.access.allows(scope)

    async def ask(self, what: Callable[[Client], T]) -> T:
        """What the service answers, while others go on.

        Raises
        ------
        UnknownKeyError
            If who asks has signed out meanwhile, or was away too long.
        ProactrecError
            Whatever the client raises.
        """
        if self.has_ended:
            raise UnknownKeyError("you have signed out")
        if self.is_idle:
            raise UnknownKeyError("you have been away for long")
        return await asyncio.get_running_loop().run_in_executor(CALLS, what, self.client)


class Sessions:
    """All of them, by their secret numbers."""

    def __init__(self, options: ConsoleOptions) -> None:
        self._options = options
        self._by_number: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, token: str, zone: str) -> str:
        """Sign in with a key or a token: the number for the cookie.

        Raises
        ------
        UnknownKeyError
            If the service does not know it.
        """
        if not token.isascii():
            raise UnknownKeyError("no key has such signs")
        client = Client(self._options.api, token, tries=1)
        try:
            access = client.access()
        except BaseException:
            client.close()
            raise
        number = secrets.token_urlsafe(32)
        known = zone if zone in time_zones() else "UTC"
        with self._lock:
            self._sweep()
            idle = 60.0 * self._options.idle_minutes
            self._by_number[number] = Session(client, access, ZoneInfo(known), idle_seconds=idle)
        return number

    def of(self, connection: HTTPConnection) -> Session | None:
        """Whose request it is; None: nobody's who is signed in."""
        session = self._by_number.get(connection.cookies.get(COOKIE, ""))
        if session is None or session.is_idle:
            return None
        session.touch()
        return session

    def end(self, connection: HTTPConnection) -> None:
        """Sign out: pages that are still open can do nothing any more."""
        with self._lock:
            session = self._by_number.pop(connection.cookies.get(COOKIE, ""), None)
        if session is not None:
            _close(session)

    def _sweep(self) -> None:
        """Forget who has been away; of too many the ones who were away longest."""
        by_use = sorted(self._by_number.items(), key=lambda item: item[1].used_at)
        most = len(by_use) - MOST_SESSIONS + 1
        for at, (number, session) in enumerate(by_use):
            if at < most or session.is_idle:
                del self._by_number[number]
                _close(session)


def _close(session: Session) -> None:
    session.has_ended = True
    session.client.close()
