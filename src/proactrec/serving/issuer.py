"""Who issues people's tokens (OpenID Connect): its keys, and what its claims open here."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from proactrec.errors import AccessError, IssuerError, UnknownKeyError
from proactrec.serving.safety import OidcOptions, is_safe
from proactrec.store.keys import Access, Scope

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519"),
)
"""Of signatures: by a private key alone. What is none, or made with what all may read, is not."""
LEEWAY_SECONDS = 60
"""By which clocks may differ."""
FRESH_SECONDS, PAUSE_SECONDS = 3600.0, 30.0
"""Keys are asked for again after the first; those of an unknown name no sooner than the second."""
TIMEOUT_SECONDS, MOST_BYTES = 5.0, 1 << 18
"""Of an answer of the issuer."""
MOST_SUBJECT = 255
SCOPES: Sequence[Scope] = ("admin", "operate", "report")
"""That people may have, the widest first."""


class Issuer:
    """Tells what people's tokens open.

    Parameters
    ----------
    options : OidcOptions
    """

    def __init__(self, options: OidcOptions) -> None:
        self._options = options
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": options.issuer},
            aud={"essential": True, "value": options.client_id},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._asked_at = 0.0
        self._lock = threading.Lock()

    def check(self, header: str) -> Access | None:
        """What the token of an `Authorization: Bearer TOKEN` is good for; None: it is no token.

        Raises
        ------
        UnknownKeyError
            If the token is not the issuer's, or does not hold (any more).
        AccessError
            If it is, and opens nothing here.
        IssuerError
            If the issuer does not tell its keys.
        """
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        try:
            claims = self._signed(token)
            self._claims.validate(claims)
        except (JoseError, ValueError) as error:
            raise UnknownKeyError(f"this token does not hold: {_told(error)}") from error
        return self._access(claims)

    def _signed(self, token: str) -> dict[str, Any]:
        """The claims of a token that the issuer has signed."""
        keys = self._keys_now(FRESH_SECONDS)
        try:
            return jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):
            newer = self._keys_now(PAUSE_SECONDS)  # they may have been rotated
            if newer is keys:
                raise
            return jwt.decode(token, newer, algorithms=ALGORITHMS).claims

    def _keys_now(self, age: float) -> KeySet:
        """The issuer's keys, no older than that; old ones if it does not answer."""
        with self._lock:
            if self._keys is not None and time.monotonic() - self._asked_at < age:
                return self._keys
            try:
                self._keys = self._fetched()
            except IssuerError:
                if self._keys is None:
                    raise
            self._asked_at = time.monotonic()
            return self._keys

    def _fetched(self) -> KeySet:
        url = self._options.issuer
        about = _read(f"{url.rstrip('/')}/.well-known/openid-configuration")
        if about.get("issuer") != url:
            raise IssuerError(f"the issuer calls itself {about.get('issuer')!r}, not {url!r}")
        where = str(about.get("jwks_uri"))
        if not is_safe(where):
            raise IssuerError(f"the issuer's jwks_uri must begin with https://, got {where!r}")
        try:
            return KeySet.import_key_set(_read(where))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise IssuerError("the issuer's keys are none") from error

    def _access(self, claims: Mapping[str, Any]) -> Access:
        options, subject = self._options, claims["sub"]
        if not 0 < len(subject) <= MOST_SUBJECT or not subject.isprintable():
            raise UnknownKeyError("this token does not hold: its subject is no name")
        tenant = claims.get(options.tenant_claim)
        if not isinstance(tenant, str) or not tenant or "\0" in tenant:
            raise AccessError(f"the claim {options.tenant_claim} of this token names no tenant")
        scope = _widest(claims.get(options.scope_claim))
        if scope is None:
            raise AccessError(
                f"the claim {options.scope_claim} of this token must name one of "
                f"{', '.join(SCOPES)}"
            )
        until = int(claims["exp"] + LEEWAY_SECONDS) * 1_000_000
        return Access(tenant, scope, f"oidc:{subject}", until)


def _widest(claim: Any) -> Scope | None:
    """Of a scope, or a list of them among other words."""
    said = claim if isinstance(claim, list) else [claim]
    return next((scope for scope in SCOPES if scope in said), None)


def _read(url: str) -> dict[str, Any]:
    """The JSON object at a URL, which ends in time, and is bounded."""
    end, body = time.monotonic() + TIMEOUT_SECONDS, b""
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT_SECONDS) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                body += part
                if len(body) > MOST_BYTES or time.monotonic() > end:
                    raise IssuerError(f"the issuer's answer at {url} does not end")
        told = json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        raise IssuerError(f"the issuer of tokens does not answer at {url}") from error
    if not isinstance(told, dict):
        raise IssuerError(f"the issuer's answer at {url} is no JSON object")
    return told


def _told(error: Exception) -> str:
    """Never what the token says, which may be any text."""
    return getattr(error, "description", "") or type(error).__name__
