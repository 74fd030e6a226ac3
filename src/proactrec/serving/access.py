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
PATIENCE_SECONDS = 1.0
"""So long a request waits for its key to be looked up; a known key then holds as long again."""
MOST_KEYS = 10_000


class Door:
    """Lets in whoever has a key with the scope that is needed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[bytes, tuple[Access, float]] = {}
        self._looking: dict[bytes, asyncio.Future[Access | None]] = {}
        self._tried_at: dict[bytes, float] = {}  # in vain, since the store did not answer
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
        """Who was known by a key lately; None: it must be looked up."""
        access, since = self._known.get(digest, (None, 0.0))
        now = time.monotonic()
        is_tried = now - self._tried_at.get(digest, -STALE_SECONDS) < PATIENCE_SECONDS
        holds_to = STALE_SECONDS if is_tried else FRESH_SECONDS
        return access if access is not None and now - since < holds_to else None

    async def _looked_up(self, header: str, digest: bytes) -> Access:
        looking = self._looking.get(digest)
        if looking is None:
            looking = asyncio.get_running_loop().run_in_executor(
                self._thread, self._keys.check, header
            )
            self._looking[digest] = looking
            looking.add_done_callback(lambda done: self._found(digest, done))
        done, _ = await asyncio.wait([looking], timeout=PATIENCE_SECONDS)
        if done and looking.exception() is None:
            access = looking.result()
            if access is None:
                raise UnknownKeyError("this key is unknown, or was revoked")
            return access
        error = looking.exception() if done else None
        if error is not None and not isinstance(error, StoreError):
            raise error
        if digest in self._known:
            self._tried_at[digest] = time.monotonic()
        old = self._remembered(digest)
        if old is None:
            raise error or StoreError("the store does not say whose key this is")
        return old

    def _found(self, digest: bytes, looking: asyncio.Future[Access | None]) -> None:
        """Remember what a look into the store brought, whoever still waits for it."""
        del self._looking[digest]
        if looking.cancelled() or looking.exception() is not None:
            return
        self._tried_at.pop(digest, None)
        access = looking.result()
        if access is None:
            self._known.pop(digest, None)
            return
        if len(self._known) >= MOST_KEYS:
            self._known.clear()
            self._tried_at.clear()
        self._known[digest] = access, time.monotonic()
