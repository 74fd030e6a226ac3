"""What goes wrong, as problems by RFC 9457: the one place where errors become statuses."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from proactrec.config import told_of
from proactrec.errors import (
    AccessError,
    CampaignStateError,
    InvalidInputError,
    IssuerError,
    OverloadedError,
    ProactrecError,
    RateError,
    StoreError,
    UnknownIdError,
    UnknownKeyError,
)
from proactrec.serving.schemas import Problem, WrongField

TYPE = "urn:proactrec:problem:"
KINDS: Mapping[type[ProactrecError], tuple[int, str]] = {
    InvalidInputError: (422, "invalid-input"),
    UnknownIdError: (404, "unknown-id"),
    CampaignStateError: (409, "campaign-state"),
    UnknownKeyError: (401, "unknown-key"),
    AccessError: (403, "access"),
    RateError: (429, "rate"),
    OverloadedError: (503, "overloaded"),
    IssuerError: (503, "issuer"),
    StoreError: (503, "store"),
}
"""Status and name of every error that a caller may meet; the first that fits holds."""
TITLES = {
    400: "The body can't be read",
    401: "A key is needed",
    403: "This key may not do that",
    404: "There is no such thing",
    405: "Not with this method",
    408: "The request came too slowly",
    409: "The campaign's state does not allow it",
    413: "The body is too large",
    415: "Only JSON is understood",
    422: "A value breaks a rule",
    429: "Asked too often",
    500: "It failed here, and that was logged",
    503: "Not now: try again later",
}
HEADERS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
NOT_KEPT = {"Cache-Control": "no-store"}
"""What is personal is kept by no browser or proxy."""
PARTS = ("body", "query", "path", "header")
"""Of a request, in which a value may be wrong."""
RETRY_SECONDS = 1
LOG = logging.getLogger(__name__)


def problem(
    status: int,
    detail: str,
    *,
    name: str = "",
    errors: tuple[WrongField, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response that says what went wrong."""
    kind = f"{TYPE}{name}" if name else "about:blank"
    told = Problem(
        type=kind,
        title=TITLES.get(status, "Error"),
        status=status,
        detail=_utf8(detail),
        errors=errors,
    )
    retry = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Response(
        told.model_dump_json(),
        status,
        {**retry, **(headers or {})},
        media_type="application/problem+json",
    )


def parsed(adapter: TypeAdapter[Any], body: bytes) -> Any:
    """What a body says.

    Raises
    ------
    RequestValidationError
        With every value that breaks a rule.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in found]
        ) from error


def install(app: FastAPI) -> None:
    """Let an application answer with problems."""
    app.add_exception_handler(ProactrecError, _of_error)
    app.add_exception_handler(RequestValidationError, _of_values)
    app.add_exception_handler(HTTPException, _of_protocol)
    app.add_exception_handler(Exception, _of_bug)


async def _of_error(_: Request, error: Exception) -> Response:
    kind = next((one for one in KINDS if isinstance(error, one)), None)
    if kind is None:  # what a caller could not cause, e.g. a damaged artefact
        LOG.error("a request failed", exc_info=error)
        return problem(500, "the request failed for a reason that is not the caller's")
    status, name = KINDS[kind]
    headers = {"WWW-Authenticate": 'Bearer realm="proactrec"'} if status == 401 else {}
    if isinstance(error, RateError):
        headers["Retry-After"] = str(math.ceil(error.seconds))
    detail = "the database can't be reached" if kind is StoreError else str(error)
    return problem(status, detail, name=name, headers=headers)


async def _of_values(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = tuple(_wrong(one) for one in error.errors())
    first = wrong[0]
    is_said = isinstance(_own(error.errors()[0]), InvalidInputError)  # with its name
    detail = first.message if is_said else f"{first.field or 'the body'} {first.message}"
    return problem(422, detail, name=KINDS[InvalidInputError][1], errors=wrong)


async def _of_protocol(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods of the path that says most of the request's: a route knows its own alone."""
    found: dict[str, Any] = {
        path: operations
        for path, operations in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"{\w+}", ".+", path), request.url.path)
    }
    if not found:
        return ["GET", "HEAD"]  # of pages that describe
    return [method.upper() for method in found[max(found, key=_literal)]]


def _literal(path: str) -> int:
    """How much of a path stands for itself alone."""
    return len(re.sub(r"{\w+}", "", path))


async def _of_bug(_: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, which passes no middleware, and the server logs
    # it with its traceback.
    headers = {**HEADERS, **NOT_KEPT}
    return problem(500, "the request failed for a reason that is not the caller's", headers=headers)


def _own(error: Mapping[str, Any]) -> Exception | None:
    """What our own rule has said, where it was one."""
    inner = error.get("ctx", {}).get("error")
    return inner if isinstance(inner, Exception) else None


def _wrong(error: Mapping[str, Any]) -> WrongField:
    """A value that breaks a rule, in the words that the command line has too."""
    if error["type"] == "json_invalid":
        return WrongField(field="", message=f"must be JSON: {error['ctx']['error']}")
    first, *others = error["loc"] or ("",)
    place = [str(part) for part in (others if first in PARTS else error["loc"])]
    inner = _own(error)
    if not isinstance(inner, InvalidInputError):
        return _wrong_field(place, told_of(error))
    if isinstance(inner.__cause__, ValidationError):
        # Options tell their first error in a sentence; where it is their own error knows.
        place += map(str, inner.__cause__.errors(include_context=False)[0]["loc"])
    return _wrong_field(place, str(inner))


def _wrong_field(place: Sequence[str], message: str) -> WrongField:
    return WrongField(field=_utf8(".".join(place)), message=_utf8(message))


def _utf8(text: str) -> str:
    """A text without halves of signs, which JSON may name and no answer can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
