"""Decisions and events: raw routes, since what frameworks add to them costs as much as they do."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from proactrec.errors import InvalidInputError
from proactrec.serving.problems import parsed
from proactrec.serving.requests import Answer, Ask, Outcome, Plain
from proactrec.serving.schemas import (
    MOST_DECISIONS,
    MOST_EVENTS,
    Decision,
    DecisionRequest,
    EventReport,
    micros,
)
from proactrec.serving.service import service_of
from proactrec.serving.words import report_of, taken, told

REQUEST = TypeAdapter(DecisionRequest)
REQUESTS = TypeAdapter(tuple[DecisionRequest, ...])
DECISIONS = TypeAdapter(tuple[Decision, ...])
EVENTS = TypeAdapter(tuple[EventReport, ...])
MOST_KEY = 200


async def decide(request: Request) -> Response:
    """What to show a user next."""
    service = service_of(request)
    access = await service.door.admit(request, "decide")
    asked: DecisionRequest = parsed(REQUEST, await request.body())
    ask = _ask(asked, idempotency_key(request))
    outcome = (await service.instance.handle(access.tenant, [ask]))[0]
    return _json(_decision(outcome).model_dump_json())


async def decide_batch(request: Request) -> Response:
    """The same for many users, in their order."""
    service = service_of(request)
    access = await service.door.admit(request, "decide")
    asked: tuple[DecisionRequest, ...] = parsed(REQUESTS, await request.body())
    _at_most(len(asked), MOST_DECISIONS, "decisions")
    key = idempotency_key(request)
    asks = [_ask(one, None if key is None else f"{key}#{n}") for n, one in enumerate(asked)]
    outcomes = await service.instance.handle(access.tenant, asks) if asks else []
    return _json(DECISIONS.dump_json(tuple(map(_decision, outcomes))))


async def report(request: Request) -> Response:
    """Take in what users did."""
    service = service_of(request)
    access = await service.door.admit(request, "decide")
    events: tuple[EventReport, ...] = parsed(EVENTS, await request.body())
    _at_most(len(events), MOST_EVENTS, "events")
    reports = list(map(report_of, events))
    outcomes = await service.instance.handle(access.tenant, reports) if reports else []
    return _json(taken([one.event_id for one in events], outcomes).model_dump_json())


HOT: Sequence[tuple[str, Callable[[Request], Awaitable[Response]]]] = (
    ("/v1/decisions", decide),
    ("/v1/decisions/batch", decide_batch),
    ("/v1/events", report),
)


class Raw(Route):
    """A route that says which one it was, as those of the framework do."""

    def matches(self, scope: Scope) -> tuple[Match, Any]:
        """Whether a request is for it."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}


ROUTES = [Raw(path, route, methods=["POST"]) for path, route in HOT]


def idempotency_key(request: Request) -> str | None:
    """The key by which a request may be repeated safely.

    Raises
    ------
    InvalidInputError
        If it is too long.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MOST_KEY:
        raise InvalidInputError(
            f"Idempotency-Key must have 1 to {MOST_KEY} characters, got {len(key)}"
        )
    return key


def _ask(asked: DecisionRequest, key: str | None) -> Ask:
    at = None if asked.at is None else micros(asked.at)
    return Ask(asked.user_id, asked.campaign_id, asked.candidates, at, key)


def _decision(outcome: Outcome) -> Decision:
    assert isinstance(outcome, Answer | Plain)
    return told(outcome)


def _at_most(n: int, most: int, what: str) -> None:
    if n > most:
        raise InvalidInputError(f"a request holds at most {most:,} {what}, got {n:,}")


def _json(body: str | bytes) -> Response:
    return Response(body, media_type="application/json")
