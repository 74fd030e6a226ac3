"""Who may do what: keys of requests, remembered for a while so that no decision waits for them."""

import asyncio
import hashlib
import math
import time
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from proactrec.errors import AccessError, StoreError, UnknownKeyError
from proactrec.store.keys import Access, Keys, Scope

FRESH_SECONDS, STALE_SECONDS = 5.0, 3600.0
"""A key is looked up again after the first; while the store is out it holds to the second."""
PATIENCE_SECONDS = 1.0
"""A request waits so long for a look into the store; a known key then holds as long again."""
MOST_KEYS = 10_000


class Door:
    """Lets in whoever has a key with the scope that is needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[bytes, tuple[Access, float]] = {}
        self._tried: dict[bytes, float] = {}  # known keys that the store said nothing of
        self._looks: dict[bytes, asyncio.Future[Access | None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")  # hashing is slow by design

    async def admit(self, request: Request, scope: Scope) -> Access:
        """Whose request it is.

        Raises
        ------
        UnknownKeyError
            Without a key that holds.
        AccessError
            If the key's scope does not reach that far.
        StoreError
            If the key is not known yet, and the store does not answer.
        """
        header = request.headers.get("authorization", "")
        if not header:
            raise UnknownKeyError("give a key: `Authorization: Bearer KEY`")
        digest = hashlib.sha256(header.encode()).digest()
        access = self._remembered(digest) or await self._looked_up(header, digest)
        if not access.allows(scope):
            raise AccessError(f"this needs a key with the scope {scope}, got {access.scope}")
        return access

    def _remembered(self, digest: bytes) -> Access | None:
        """Whose key it was lately; None: it must be looked up."""
        access, since = self._known.get(digest, (None, 0.0))
        now = time.monotonic()
        is_tried = now - self._tried.get(digest, -math.inf) < PATIENCE_SECONDS
        is_good = now - since < (STALE_SECONDS if is_tried else FRESH_SECONDS)
        return access if is_good else None

    async def _looked_up(self, header: str, digest: bytes) -> Access:
        look = self._looks.get(digest)
        if look is None:
            loop = asyncio.get_running_loop()
            look = loop.run_in_executor(self._thread, self._keys.check, header)
            self._looks[digest] = look
            look.add_done_callback(lambda look: self._looked(digest, look))
        await asyncio.wait([look], timeout=PATIENCE_SECONDS)  # it may hang as long as the store
        error = look.exception() if look.done() else StoreError("the store does not answer")
        if error is None:
            access = look.result()
            if access is None:
                raise UnknownKeyError("this key is unknown, or was revoked")
            return access
        if isinstance(error, StoreError) and digest in self._known:
            self._tried[digest] = time.monotonic()
        old = self._remembered(digest)
        if old is None:
            raise error
        return old

    def _looked(self, digest: bytes, look: asyncio.Future[Access | None]) -> None:
        """Remember what the store said, whether or not anybody still waits for it."""
        del self._looks[digest]
        if look.cancelled() or look.exception() is not None:
            return
        self._tried.pop(digest, None)
        access = look.result()
        if access is None:
            self._known.pop(digest, None)
            return
        if len(self._known) >= MOST_KEYS:
            self._known.clear()
            self._tried.clear()
        self._known[digest] = access, time.monotonic()
