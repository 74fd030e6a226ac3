"""The application: routes, keys and limits around one instance."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema
from starlette.middleware import Middleware

from proactrec.errors import StoreError
from proactrec.serving import problems
from proactrec.serving.limits import Bounded
from proactrec.serving.refreshing import Refresher
from proactrec.serving.routes import (
    access,
    campaigns,
    care,
    course,
    figures,
    health,
    hot,
    items,
    keys,
    knowledge,
    planning,
    policies,
    studies,
    users,
)
from proactrec.serving.schemas import (
    MOST_DECISIONS,
    MOST_EVENTS,
    Decision,
    DecisionRequest,
    EventReport,
    EventsTaken,
    Problem,
)
from proactrec.serving.service import Service
from proactrec.serving.watching import Watched
from proactrec.serving.words import NOT_GUIDED

logger = logging.getLogger(__name__)
TITLE = "proactrec"
REFS = "#/components/schemas/{model}"
PROBLEM = "application/problem+json"
OPEN = ("/healthz", "/readyz")
"""Routes that need no key."""
HOT = (
    ("/v1/decisions", hot.decide, DecisionRequest, None, Decision),
    ("/v1/decisions/batch", hot.decide_batch, DecisionRequest, MOST_DECISIONS, Decision),
    ("/v1/events", hot.report, EventReport, MOST_EVENTS, EventsTaken),
)
"""Path, route, what comes (a list of at most so many), what goes."""
PARTS = (
    *(planning, campaigns, course, studies, policies, users, care, items, knowledge),
    *(keys, access, health, figures),
)
"""In the order in which their paths are tried."""


def create_app(service: Service) -> FastAPI:
    """The application of an instance, which works while the application runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        own = service.instance.host.database
        refresher = Refresher(own, service.instance)
        service.instance.start()
        refresher.start()
        yield
        refresher.stop()
        await service.instance.stop()
        await asyncio.to_thread(refresher.join)
        try:
            service.instance.host.leave()
        except StoreError as error:
            logger.warning("what was leased comes back later: %s", error)
        own.close()
        service.database.close()
        service.instance.traces.close()

    app = FastAPI(
        title=TITLE,
        summary="What to show users next, on the way to what a campaign leads to",
        description=description(),
        lifespan=lifespan,
        middleware=[Middleware(Watched), Middleware(Bounded), Middleware(users.AsSent)],
        responses={"4XX": {"model": Problem}, 503: {"model": Problem}},
    )
    app.state.service = service
    problems.install(app)
    app.router.routes[:0] = hot.ROUTES  # tried first
    for part in PARTS:
        app.include_router(part.router)
    plain_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _secured(_with_hot(plain_openapi()))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def description() -> str:
    """What the whole is, with every reason for not guiding."""
    reasons = "\n".join(f"- `{code}`: {sentence}" for code, sentence in NOT_GUIDED.items())
    return (
        "Every request has the header `Authorization: Bearer KEY`. What goes wrong is told as "
        f"`application/problem+json` (RFC 9457).\n\nWhy a decision was not guided:\n\n{reasons}"
    )


def _with_hot(schema: dict[str, Any]) -> dict[str, Any]:
    """The raw routes added to the description."""
    models = (DecisionRequest, Decision, EventReport, EventsTaken)
    modes: list[Any] = [(model, "validation") for model in models]
    _, found = models_json_schema(modes, ref_template=REFS)
    schema["components"]["schemas"].update(found["$defs"])
    for path, route, comes, most, goes in HOT:
        is_batch = goes is Decision and most is not None
        given = _ref(comes.__name__, most)
        told = _ref(goes.__name__, most if is_batch else None)
        operation: dict[str, Any] = {
            "tags": ["decisions" if goes is Decision else "events"],
            "summary": str(route.__doc__).rstrip("."),
            "operationId": route.__name__,
            "requestBody": {"required": True, "content": {"application/json": {"schema": given}}},
            "responses": {
                "200": {
                    "description": "Successful Response",
                    "content": {"application/json": {"schema": told}},
                },
                **{
                    code: {
                        "description": what,
                        "content": {"application/json": {"schema": _ref("Problem")}},
                    }
                    for code, what in (("4XX", "Client Error"), ("503", "Service Unavailable"))
                },
            },
        }
        if goes is Decision:
            operation["parameters"] = [_IDEMPOTENCY]
        schema["paths"][path] = {"post": operation}
    return schema


def _secured(schema: dict[str, Any]) -> dict[str, Any]:
    """With the key that is needed, and the type that problems come as."""
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if path not in OPEN:
                operation["security"] = [{"key": []}]
            for answer in operation["responses"].values():
                told = answer.get("content", {}).values()  # of a page: as if it were one too
                if _ref("Problem") in [one.get("schema") for one in told]:
                    answer["content"] = {PROBLEM: {"schema": _ref("Problem")}}
    return schema


_IDEMPOTENCY: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": TypeAdapter(str).json_schema() | {"minLength": 1, "maxLength": hot.MOST_KEY},
    "description": "the same key and user get the same decision",
}


def _ref(name: str, most: int | None = None) -> dict[str, Any]:
    one = {"$ref": REFS.format(model=name)}
    return one if most is None else {"type": "array", "items": one, "maxItems": most}
