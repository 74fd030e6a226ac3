"""Signing in by OpenID Connect: the authorization code flow with a proof of who began it (PKCE)."""

import base64
import hashlib
import secrets
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx2

from proactrec.errors import IssuerError, UnknownKeyError

MOST_BEGUN, MOST_SECONDS = 1000, 600
TIMEOUT_SECONDS = 10.0


class Begun(NamedTuple):
    """Somebody who was sent to the issuer."""

    verifier: str
    zone: str
    at: float


class SignIns:
    """Sign-ins at an issuer; the service checks the tokens that come of them.

    Parameters
    ----------
    issuer : str
        Its URL.
    client_id : str
    secret : str, optional
        By which the issuer knows that it is the client who asks for a token, where it wants one.
    """

    def __init__(self, issuer: str, client_id: str, secret: str | None = None) -> None:
        self._issuer, self._client_id = issuer, client_id
        self._auth = None if secret is None else (client_id, secret)
        self.name = str(urlsplit(issuer).hostname)
        self._begun: dict[str, Begun] = {}
        self._lock = threading.Lock()

    def begin(self, back: str, zone: str) -> tuple[str, str]:
        """Where to send somebody, and by which state they come back.

        Raises
        ------
        IssuerError
            If the issuer does not say where.
        """
        state, begun = secrets.token_urlsafe(24), _begun(zone)
        with self._lock:
            fresh = {name: one for name, one in self._begun.items() if _is_fresh(one)}
            self._begun = dict(list(fresh.items())[1 - MOST_BEGUN :]) | {state: begun}
        digest = hashlib.sha256(begun.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": back,
            "scope": "openid profile",
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{self._about()['authorization_endpoint']}?{urlencode(query)}", state

    def end(self, state: str, code: str, back: str) -> tuple[str, str]:
        """The token of somebody who came back, and their time zone.

        Raises
        ------
        UnknownKeyError
            If nobody was sent by this state lately, or the issuer gives nothing for the code.
        IssuerError
            If the issuer does not answer.
        """
        with self._lock:
            begun = self._begun.pop(state, None)
        if begun is None or not _is_fresh(begun):
            raise UnknownKeyError("this sign-in has expired: begin it again")
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self._client_id,
            "code_verifier": begun.verifier,
        }
        where = self._about()["token_endpoint"]
        answer = self._asked("POST", where, data=given, auth=self._auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise UnknownKeyError("the issuer gave no ID token")
        return token, begun.zone

    def _about(self) -> dict[str, Any]:
        about = self._asked("GET", f"{self._issuer}/.well-known/openid-configuration")
        for name in ("authorization_endpoint", "token_endpoint"):
            if not isinstance(about.get(name), str):
                raise IssuerError(f"the issuer does not tell its {name}")
        return about

    def _asked(self, method: str, url: str, **given: Any) -> dict[str, Any]:
        try:
            answer = httpx2.request(method, url, timeout=TIMEOUT_SECONDS, **given)
            found = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise IssuerError(f"the issuer does not answer: {type(error).__name__}") from error
        if not answer.is_success or not isinstance(found, dict):
            raise UnknownKeyError(f"the issuer answered {answer.status_code}")
        return found


def _begun(zone: str) -> Begun:
    return Begun(secrets.token_urlsafe(48), zone, time.monotonic())


def _is_fresh(begun: Begun) -> bool:
    return time.monotonic() - begun.at < MOST_SECONDS
