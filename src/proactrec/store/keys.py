"""Keys of the service: who may do what, of which tenant. The store knows them by their hashes."""

import hashlib
import secrets
import threading
import time
from typing import Literal, NamedTuple, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.store import audit
from proactrec.store.database import Database
from proactrec.store.tables import KEYS

DEFAULT_TENANT = "default"
Scope = Literal["decide", "report", "operate", "admin"]
ALLOWS: dict[Scope, frozenset[Scope]] = {
    "decide": frozenset(("decide",)),
    "report": frozenset(("report",)),
    "operate": frozenset(("decide", "report", "operate")),
    "admin": frozenset(get_args(Scope)),
}
"""decide: ask, tell what happened and who may be guided; report: read campaigns and what they
brought; operate: both, and change campaigns; admin: all, and keys."""
REMEMBERED_SECONDS = 5.0
"""A revoked key is refused after that, or twice that where others remember it as long again."""
_HASHER = PasswordHasher()
_ROW = KEYS.c


class Access(NamedTuple):
    """What a key is good for."""

    tenant: str
    scope: Scope
    key_id: str
    expires_at: int | None = None

    def holds(self) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or time.time_ns() // 1000 < self.expires_at

    def allows(self, scope: Scope) -> bool:
        """Whether it is good for what needs this scope."""
        return scope in ALLOWS[self.scope]


class Key(NamedTuple):
    """What is known of a key."""

    key_id: str
    tenant: str
    scope: Scope
    made_at: int
    revoked_at: int | None
    expires_at: int | None
    name: str | None


class _Verified(NamedTuple):
    access: Access
    hashed: str
    looked_at: float


def scope_named(text: str) -> Scope:
    """The scope of this name, in any capitals.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    for scope in ALLOWS:
        if scope == text.casefold():
            return scope
    raise InvalidInputError(f"scope must be one of {', '.join(ALLOWS)}, got {text!r}")


def create(
    connection: Connection,
    tenant: str,
    scope: Scope,
    at: int,
    *,
    by: str = audit.BY_COMMAND,
    name: str | None = None,
    expires_at: int | None = None,
) -> str:
    """A new key, which nobody can read again.

    Raises
    ------
    InvalidInputError
        If there is no such scope, or it would never hold.
    """
    scope = scope_named(scope)
    if expires_at is not None and expires_at <= at:
        raise InvalidInputError("expires_at must be in the future, got a time that has passed")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    hashed = {"hash": _HASHER.hash(secret), "trace": _trace(secret)}
    row = {"key_id": key_id, "tenant": tenant, "scope": scope, "name": name, **hashed}
    connection.execute(insert(KEYS).values(made_at=at, expires_at=expires_at, **row))
    detail = {"done": "made", "scope": scope}
    audit.note(connection, tenant, by=by, at=at, what="key", about=key_id, detail=detail)
    return f"pr_{key_id}_{secret}"


def name_of(connection: Connection, tenant: str, key_id: str) -> str | None:
    """What a key is for, if that was said."""
    query = select(_ROW.name).where(_ROW.tenant == tenant, _ROW.key_id == key_id)
    return connection.execute(query).scalar()


def id_of(key: str) -> str:
    """What the key is known by."""
    return key.split("_", 2)[1]


class Keys:
    """The keys of a store; those that were used lately are known without asking it.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._verified: dict[bytes, _Verified] = {}  # by digest: keys themselves are not kept
        self._one_at_a_time = threading.Lock()  # verifying takes tens of ms and 64 MiB

    def check(self, header: str) -> Access | None:
        """What the key of an `Authorization: Bearer KEY` is good for; None: it is no key."""
        kind, _, key = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        digest = hashlib.sha256(key.encode(errors="replace")).digest()
        known = self._known(digest)
        if known is not None:
            return known
        with self._one_at_a_time:
            return self._known(digest) or self._verify(key, digest)

    def revoke(self, tenant: str, key_id: str, at: int, *, by: str = audit.BY_COMMAND) -> None:
        """Make a key worthless: at once here, elsewhere within some seconds.

        Raises
        ------
        UnknownIdError
            If the tenant has no such key, or not any more.
        """
        of_it = (_ROW.tenant == tenant, _ROW.key_id == key_id, _ROW.revoked_at.is_(None))
        with self._database.writing() as connection:
            if not connection.execute(update(KEYS).where(*of_it).values(revoked_at=at)).rowcount:
                raise UnknownIdError(f"there is no key {key_id!r} to be revoked")
            detail = {"done": "revoked"}
            audit.note(connection, tenant, by=by, at=at, what="key", about=key_id, detail=detail)
        for digest, one in list(self._verified.items()):
            if one.access.key_id == key_id:
                self._verified.pop(digest, None)

    def list(self, tenant: str) -> list[Key]:
        """All keys of a tenant, the oldest first."""
        columns = (KEYS.c[name] for name in Key._fields)
        query = select(*columns).where(_ROW.tenant == tenant).order_by(_ROW.made_at, _ROW.key_id)
        with self._database.reading() as connection:
            return [Key(*row) for row in connection.execute(query)]

    def _known(self, digest: bytes) -> Access | None:
        one = self._verified.get(digest)
        if one is None or time.monotonic() - one.looked_at > REMEMBERED_SECONDS:
            return None
        return one.access if one.access.holds() else None

    def _verify(self, key: str, digest: bytes) -> Access | None:
        known = self._verified.pop(digest, None)
        prefix, _, rest = key.partition("_")
        key_id, _, secret = rest.partition("_")
        found = self._valid(key_id, secret) if prefix == "pr" else None
        if found is None:
            return None
        access, hashed = found
        if (known is None or known.hashed != hashed) and not _is_hash_of(hashed, secret):
            return None
        self._verified[digest] = _Verified(access, hashed, time.monotonic())
        return access

    def _valid(self, key_id: str, secret: str) -> tuple[Access, str] | None:
        """The access and the hash of a key that holds, unless the secret is another's."""
        query = select(_ROW.tenant, _ROW.scope, _ROW.key_id, _ROW.expires_at, _ROW.hash, _ROW.trace)
        query = query.where(_ROW.key_id == key_id, _ROW.revoked_at.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None or row.trace not in (None, _trace(secret)):
            return None
        access = Access(*row[:4])
        return (access, row.hash) if access.holds() else None


def _trace(secret: str) -> str:
    """16 bits of a digest: who guesses can't keep the slow hash busy, and 240 are still unknown."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()[:4]


def _is_hash_of(hashed: str, secret: str) -> bool:
    try:
        return _HASHER.verify(hashed, secret)
    except (VerificationError, InvalidHashError):
        return False
