"""Calls of a service: what it answers, typed; what it refuses, raised.

A call that may be repeated is, when the service asks for patience.
"""

import ssl
import time
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from proactrec.errors import (
    AccessError,
    CampaignStateError,
    InvalidInputError,
    OverloadedError,
    ProactrecError,
    StoreError,
    UnknownIdError,
    UnknownKeyError,
)
from proactrec.serving.schemas import Problem

T = TypeVar("T", bound=BaseModel)
MOST_TRIES, MOST_PATIENCE = 6, 10.0
PATIENCE = (429, 503)
RECONNECT_SECONDS, CONNECT_SECONDS = 0.5, 5.0
ERRORS: Mapping[int, type[ProactrecError]] = {
    401: UnknownKeyError,
    403: AccessError,
    404: UnknownIdError,
    409: CampaignStateError,
    429: OverloadedError,
    503: StoreError,
}


@cache
def trusted() -> ssl.SSLContext:
    """Whom this machine trusts, for all clients: reading its list takes longer than a call."""
    return httpx2.create_ssl_context()


class Caller:
    """The service at a URL.

    Parameters
    ----------
    url : str
        Of the service, e.g. `http://127.0.0.1:8080`.
    key : str
        As `proactrec keys create` prints it.
    timeout : float, optional
        Seconds that an answer may take.
    tries : int, optional
        How often a call that may be repeated is sent, if the service has no time for it.
    transport : httpx2.BaseTransport, optional
        Instead of the network.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 30.0,
        tries: int = MOST_TRIES,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if not (key and key.isascii() and key.isprintable()):  # no header could hold it
            raise UnknownKeyError("a key must be as `proactrec keys create` prints it")
        within = httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._tries, self._url = tries, checked_url(url)
        self._http = httpx2.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=within,
            transport=transport,
            verify=trusted(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()

    def _said(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        given = dumped(body) if isinstance(body, BaseModel) else body
        return kind.model_validate_json(self._sent(method, path, given, key, query).content)

    def _sent(
        self,
        method: str,
        path: str,
        body: Any,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> httpx2.Response:
        """What is answered, once the service has time for it."""
        headers = {} if key is None else {"Idempotency-Key": key}
        n_tries = 0
        while True:
            n_tries += 1
            try:
                answer = self._http.request(
                    method, path, json=body, headers=headers, params=query or {}
                )
            except httpx2.TransportError as error:
                if n_tries >= self._tries:
                    raise StoreError(
                        f"the service at {self._url} can't be reached: {error}"
                    ) from error
                time.sleep(RECONNECT_SECONDS)
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in PATIENCE or n_tries >= self._tries:
                raise _error(answer)
            time.sleep(min(MOST_PATIENCE, _seconds(answer.headers.get("retry-after", ""))))


def checked_url(url: str) -> str:
    """A URL without slashes at its end.

    Raises
    ------
    InvalidInputError
        If it is none of HTTP.
    """
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL:
        found = httpx2.URL("")
    is_port = found.port is None or 0 < found.port < 2**16
    if found.scheme not in ("http", "https") or not found.host or not is_port:
        raise InvalidInputError(f"a URL must begin with http:// or https://, got {url!r}")
    return url.rstrip("/")


def dumped(model: BaseModel) -> Any:
    """What is sent of a model: what differs from its defaults."""
    return model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0


def _error(answer: httpx2.Response) -> ProactrecError:
    """What a problem is here."""
    try:
        problem = Problem.model_validate_json(answer.content)
        detail, name = problem.detail, problem.type
    except ValidationError:  # of something in between
        detail, name = f"the service answered {answer.status_code}", ""
    kind = ERRORS.get(answer.status_code, InvalidInputError)
    if name.endswith(":overloaded"):
        kind = OverloadedError
    if answer.status_code >= 500 and kind is InvalidInputError:
        kind = StoreError
    return kind(detail)
