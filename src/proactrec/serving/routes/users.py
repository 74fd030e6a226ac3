"""Users: what they want, whom they belong to, and what they were shown."""

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from sqlalchemy import Connection, select
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from proactrec.config import NO_NUL
from proactrec.data.items import Items
from proactrec.serving.looking import UserNow
from proactrec.serving.requests import Answer, Consent, Membership
from proactrec.serving.schemas import MOST_PAGE, ConsentGiven, PastDecisions, UserGroups
from proactrec.serving.service import Needs, service_of
from proactrec.serving.user_now import user_now
from proactrec.serving.words import past
from proactrec.store.campaigns import Version, of_version
from proactrec.store.keys import Access
from proactrec.store.log import Decided
from proactrec.store.people import Made
from proactrec.store.tables import DECISIONS, EVENTS

router = APIRouter(prefix="/v1/users", tags=["users"])
UserId = Annotated[str, InPath(min_length=1, max_length=200, pattern=NO_NUL)]
OF_USERS = "/v1/users/"
Decides = Annotated[Access, Depends(Needs("decide"))]
Reads = Annotated[Access, Depends(Needs("report"))]


class Whole(PathConvertor):
    """A user, and no part of one: nobody is looked at, or erased, who was not meant.

    It is matched as it was sent (:class:`AsSent`): `%2F` is of an id, and `/` may be.
    """

    regex = r"(?!.*/(?:consent|groups|decisions|export)\Z).*"

    def convert(self, value: str) -> str:
        """The id, which may hold any signs; what is no UTF-8 is refused, and is nobody else."""
        return unquote(value, errors="surrogateescape")


class Owner(Whole):
    """A user, before the part of them that is meant."""

    regex = r".*(?=/[a-z]+\Z)"


class AsSent:
    """An application whose paths of users are routed as they were sent, before `%2F` became `/`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["path"].startswith(OF_USERS):
            sent = scope.get("raw_path", b"").decode("latin-1")
            is_plain = sent.startswith(OF_USERS)
            scope["path"] = sent if is_plain else quote(scope["path"])  # in place: others look
        await self._app(scope, receive, send)


register_url_convertor("whole", Whole())
register_url_convertor("owner", Owner())


@router.put("/{user_id:owner}/consent")
async def consent(
    request: Request, user_id: UserId, said: ConsentGiven, access: Decides
) -> ConsentGiven:
    """Heeded from the next decision on, whichever instance makes it."""
    instance = service_of(request).instance
    await instance.handle(access.tenant, [Consent(user_id, said.guided)])
    return said


@router.put("/{user_id:owner}/groups")
async def groups(
    request: Request, user_id: UserId, said: UserGroups, access: Decides
) -> UserGroups:
    """The groups that a user is in, in place of earlier ones."""
    instance = service_of(request).instance
    await instance.handle(access.tenant, [Membership(user_id, said.groups)])
    return said


@router.get("/{user_id:owner}/decisions")
def decisions(
    request: Request,
    user_id: UserId,
    access: Reads,
    before: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="number of a decision")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 100,
) -> PastDecisions:
    """What a user was shown, the newest first; nothing for a user whom nobody knows."""
    service, row, event = service_of(request), DECISIONS.c, EVENTS.c
    items = service.instance.host.guides_of(access.tenant).items
    query = select(DECISIONS).where(row.tenant == access.tenant, row.user_id == user_id)
    if before is not None:
        query = query.where(row.number < before)
    with service.database.reading() as connection:
        found = list(connection.execute(query.order_by(row.number.desc()).limit(limit + 1)))
        numbers = [one.number for one in found]
        kinds: dict[int, list[str]] = {}
        of_user = (event.tenant == access.tenant, event.user_id == user_id)
        reports = select(event.decision, event.kind).where(*of_user, event.decision.in_(numbers))
        for number, kind in connection.execute(reports.order_by(event.at, event.event_id)):
            kinds.setdefault(number, []).append(kind)
        answers = _answers(connection, found[:limit], items)
    page = tuple(past(one, kinds.get(one.decided.made.number, [])) for one in answers)
    return PastDecisions(decisions=page, next=page[-1].number if len(found) > limit else None)


@router.get("/{user_id:whole}")
def get(request: Request, user_id: UserId, access: Reads) -> UserNow:
    """What is known of a user; empty for one whom nobody knows."""
    service = service_of(request)
    guides = service.instance.host.guides_of(access.tenant)
    with service.database.reading() as connection:
        return user_now(connection, access.tenant, user_id, guides)


def _answers(connection: Connection, rows: Sequence[Any], items: Items) -> list[Answer]:
    """Decisions of the log, with the versions of campaigns that guided, and titles."""
    versions: dict[tuple[str, int], Version] = {}
    for row in rows:
        made_under = row.campaign_id, row.version
        if row.guided and made_under not in versions:
            versions[made_under] = of_version(connection, row.tenant, *made_under)
    return [_answer(row, versions.get((row.campaign_id, row.version)), items) for row in rows]


def _answer(row: Any, version: Version | None, items: Items) -> Answer:
    made = Made(*(getattr(row, name) for name in Made._fields))
    decided = Decided(
        made,
        row.plain_id,
        row.proposed_id,
        row.reason,
        row.not_guided_because,
        None if row.among is None else json.loads(row.among),
        row.request_key,
        row.guide,
    )
    return Answer.of(row.tenant, row.user_id, decided, version, items)
