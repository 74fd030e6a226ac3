"""Who may do what: keys of requests, remembered for a while so that no decision waits for them."""

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from proactrec.errors import AccessError, StoreError, UnknownKeyError
from proactrec.store.keys import Access, Keys, Scope

FRESH_SECONDS, STALE_SECONDS = 5.0, 3600.0
"""A key is looked up again after the first; while the store is out it holds to the second."""
MOST_KEYS = 10_000


class Door:
    """Lets in whoever has a key with the scope that is needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[bytes, tuple[Access, float]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")  # hashing is slow by design

    async def admit(self, request: Request, scope: Scope) -> Access:
        """Whose request it is.

        Raises
        ------
        UnknownKeyError
            Without a key that holds.
        AccessError
            If the key's scope does not reach that far.
        """
        header = request.headers.get("authorization", "")
        if not header:
            raise UnknownKeyError("give a key: `Authorization: Bearer KEY`")
        digest = hashlib.sha256(header.encode()).digest()
        access, since = self._known.get(digest, (None, 0.0))
        if access is None or time.monotonic() - since > FRESH_SECONDS:
            access = await self._looked_up(header, digest)
        if not access.allows(scope):
            raise AccessError(f"this needs a key with the scope {scope}, got {access.scope}")
        return access

    async def _looked_up(self, header: str, digest: bytes) -> Access:
        loop, now = asyncio.get_running_loop(), time.monotonic()
        try:
            access = await loop.run_in_executor(self._thread, self._keys.check, header)
        except StoreError:
            old, since = self._known.get(digest, (None, 0.0))
            if old is None or now - since > STALE_SECONDS:
                raise
            return old
        if access is None:
            self._known.pop(digest, None)
            raise UnknownKeyError("this key is unknown, or was revoked")
        if len(self._known) >= MOST_KEYS:
            self._known.clear()
        self._known[digest] = access, now
        return access
