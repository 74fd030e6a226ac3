"""Users: what they want, whom they belong to, and what they were shown."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from sqlalchemy import select

from proactrec.serving.requests import Consent, Membership
from proactrec.serving.schemas import (
    MOST_PAGE,
    ConsentGiven,
    PastDecision,
    PastDecisions,
    UserGroups,
    moment,
)
from proactrec.serving.service import Needs, service_of
from proactrec.store.keys import Access
from proactrec.store.people import id_of
from proactrec.store.tables import DECISIONS, EVENTS

router = APIRouter(prefix="/v1/users", tags=["users"])
UserId = Annotated[str, InPath(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Decides = Annotated[Access, Depends(Needs("decide"))]


@router.put("/{user_id:path}/consent")
async def consent(
    request: Request, user_id: UserId, said: ConsentGiven, access: Decides
) -> ConsentGiven:
    """Heeded from the next decision on, whichever instance makes it."""
    instance = service_of(request).instance
    await instance.handle(access.tenant, [Consent(user_id, said.guided)])
    return said


@router.put("/{user_id:path}/groups")
async def groups(
    request: Request, user_id: UserId, said: UserGroups, access: Decides
) -> UserGroups:
    """The groups that a user is in, in place of earlier ones."""
    instance = service_of(request).instance
    await instance.handle(access.tenant, [Membership(user_id, said.groups)])
    return said


@router.get("/{user_id:path}/decisions")
def decisions(
    request: Request,
    user_id: UserId,
    access: Annotated[Access, Depends(Needs("report"))],
    before: Annotated[int | None, Query(ge=1, description="number of a decision")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 100,
) -> PastDecisions:
    """What a user was shown, the newest first; nothing for a user whom nobody knows."""
    row, event = DECISIONS.c, EVENTS.c
    query = select(DECISIONS).where(row.tenant == access.tenant, row.user_id == user_id)
    if before is not None:
        query = query.where(row.number < before)
    with service_of(request).database.reading() as connection:
        found = list(connection.execute(query.order_by(row.number.desc()).limit(limit + 1)))
        numbers = [one.number for one in found]
        kinds: dict[int, list[str]] = {}
        of_user = (event.tenant == access.tenant, event.user_id == user_id)
        reports = select(event.decision, event.kind).where(*of_user, event.decision.in_(numbers))
        for number, kind in connection.execute(reports.order_by(event.at, event.event_id)):
            kinds.setdefault(number, []).append(kind)
    page = tuple(_past(one, kinds.get(one.number, [])) for one in found[:limit])
    return PastDecisions(decisions=page, next=page[-1].number if len(found) > limit else None)


def _past(row: Any, kinds: list[str]) -> PastDecision:
    return PastDecision(
        decision_id=id_of(row.tenant, row.user_id, row.number),
        number=row.number,
        campaign_id=row.campaign_id or None,
        version=row.version or None,
        arm=row.arm or None,
        target_id=row.target_id or None,
        item_id=row.item_id or None,
        guided=bool(row.guided),
        not_guided_because=row.not_guided_because or None,
        among=None if row.among is None else tuple(json.loads(row.among)),
        knowledge=row.knowledge,
        guide=row.guide,
        at=moment(row.at),
        expires_at=moment(row.expires_at),
        reported=tuple(kinds),
    )
