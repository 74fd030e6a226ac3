"""Users: what they want, whom they belong to, and what they were shown."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from sqlalchemy import Connection, select
from starlette.convertors import PathConvertor, register_url_convertor

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
UserId = Annotated[str, InPath(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Decides = Annotated[Access, Depends(Needs("decide"))]
Reads = Annotated[Access, Depends(Needs("report"))]


class Whole(PathConvertor):
    """A user, and no part of one: nobody is looked at, or erased, who was not meant.

    Ids may hold any signs, newlines too, before which `.` and `$` of a pattern stop.
    """

    regex = r"(?s:(?!.*/(?:consent|groups|decisions|export)\Z).*)"


class Owner(PathConvertor):
    """A user, before the part of them that is meant."""

    regex = r"(?s:.*(?=/[a-z]+\Z))"


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
