"""Who may do what: keys of requests, remembered for a while so that no decision waits for them."""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.requests import Request

from proactrec.errors import (
    AccessError,
    IssuerError,
    OverloadedError,
    RateError,
    StoreError,
    UnknownKeyError,
)
from proactrec.serving.rates import Buckets, Rate, address_of
from proactrec.store.keys import Access, Keys, Scope

if TYPE_CHECKING:
    from proactrec.serving.issuer import Issuer

FRESH_SECONDS, STALE_SECONDS = 5.0, 3600.0
"""A key is looked up again after the first; while the store is out it holds to the second."""
PATIENCE_SECONDS = 1.0
"""A request waits so long for a look into the store; a known key then holds as long again."""
MOST_KEYS = 10_000
MOST_LOOKS = 256
"""Of keys that are not known yet, at a time."""
WRONG = Rate(30, 60)
"""Keys that are none, from one address."""


class Door:
    """Lets in whoever has a key, or a token of the issuer, with the scope that is needed.

    Parameters
    ----------
    keys : Keys
    issuer : Issuer, optional
        Of the tokens of people.
    rate : Rate, optional
        Requests of one key.
    """

    def __init__(
        self, keys: Keys, issuer: "Issuer | None" = None, rate: Rate | None = None
    ) -> None:
        self._keys, self._issuer = keys, issuer
        self._rates = None if rate is None else Buckets(rate)
        self._wrong = Buckets(WRONG)
        self._known: dict[bytes, tuple[Access, float]] = {}
        self._tried: dict[bytes, float] = {}  # known keys that the store said nothing of
        self._looks: dict[bytes, asyncio.Future[Access | None]] = {}
        # Apart, since hashing is slow by design, and an issuer may be.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="keys")
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="tokens")

    async def admit(self, request: Request, scope: Scope | None) -> Access:
        """Whose request it is; any key will do if no scope is needed.

        Raises
        ------
        UnknownKeyError
            Without a key that holds.
        AccessError
            If the key's scope does not reach that far.
        RateError
            If the key is used, or the address gives wrong keys, more often than is allowed.
        OverloadedError
            If too many keys that are not known yet wait for being looked up.
        StoreError, IssuerError
            If the key is not known yet, and who knows it does not answer.
        """
        header = request.headers.get("authorization", "")
        if not header:
            raise UnknownKeyError("give a key: `Authorization: Bearer KEY`")
        digest = hashlib.sha256(header.encode()).digest()
        access = self._remembered(digest) or await self._looked_up(request, header, digest)
        if self._rates is not None:
            _check("this key", self._rates.rate, self._rates.take(access.key_id))
        if scope is not None and not access.allows(scope):
            raise AccessError(f"this needs a key with the scope {scope}, got {access.scope}")
        return access

    def _remembered(self, digest: bytes) -> Access | None:
        """Whose key it was lately; None: it must be looked up."""
        access, since = self._known.get(digest, (None, 0.0))
        if access is None or not access.holds():
            return None
        now = time.monotonic()
        is_tried = now - self._tried.get(digest, -math.inf) < PATIENCE_SECONDS
        is_good = now - since < (STALE_SECONDS if is_tried else FRESH_SECONDS)
        return access if is_good else None

    async def _looked_up(self, request: Request, header: str, digest: bytes) -> Access:
        if digest in self._known or digest in self._looks:
            return await self._looked_at(header, digest)
        if len(self._looks) >= MOST_LOOKS:
            raise OverloadedError("too many keys wait for being looked up")
        address = address_of(request)
        _check("keys that are none", WRONG, self._wrong.take(address))
        try:
            access = await self._looked_at(header, digest)
        except (StoreError, IssuerError):
            self._wrong.give_back(address)
            raise
        self._wrong.give_back(address)
        return access

    async def _looked_at(self, header: str, digest: bytes) -> Access:
        look = self._looks.get(digest) or self._look(header, digest)
        await asyncio.wait([look], timeout=PATIENCE_SECONDS)  # it may hang as long as the store
        error = look.exception() if look.done() else StoreError("the store does not answer")
        if error is None:
            access = look.result()
            if access is None:
                raise UnknownKeyError("this key is unknown, has expired, or was revoked")
            return access
        if isinstance(error, StoreError | IssuerError) and digest in self._known:
            self._tried[digest] = time.monotonic()
        old = self._remembered(digest)
        if old is None:
            raise error
        return old

    def _look(self, header: str, digest: bytes) -> asyncio.Future[Access | None]:
        check: Callable[[str], Access | None] = self._keys.check
        thread = self._hashing
        if self._issuer is not None and header.count(".") == 2:  # keys have none
            check, thread = self._issuer.check, self._asking
        look = asyncio.get_running_loop().run_in_executor(thread, check, header)
        self._looks[digest] = look
        look.add_done_callback(lambda look: self._looked(digest, look))
        return look

    def _looked(self, digest: bytes, look: asyncio.Future[Access | None]) -> None:
        """Remember what the store said, whether or not anybody still waits for it."""
        del self._looks[digest]
        error = None if look.cancelled() else look.exception()
        if look.cancelled() or not isinstance(error, AccessError | None):
            return
        self._tried.pop(digest, None)
        access = look.result() if error is None else None
        if access is None:
            self._known.pop(digest, None)
            return
        if len(self._known) >= MOST_KEYS:
            self._known.clear()
            self._tried.clear()
        self._known[digest] = access, time.monotonic()


def _check(what: str, rate: Rate, seconds: float) -> None:
    if seconds:
        often = f"{rate.n} times in {rate.seconds} s"
        raise RateError(f"{what}: at most {often}, ask again in {math.ceil(seconds)} s", seconds)
