"""A campaign before it is made: where it would lead, and how many users show what it brings."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request

from proactrec.measurement.effects import users_for_share
from proactrec.serving.looking import GoalLook, UsersNeeded
from proactrec.serving.planning import looked_at
from proactrec.serving.routes.campaigns import EXAMPLE
from proactrec.serving.schemas import OF_JSON
from proactrec.serving.service import Needs, service_of
from proactrec.store.campaign import Campaign
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1", tags=["campaigns"])
Reads = Annotated[Access, Depends(Needs("report"))]


@router.post("/campaigns/look")
def look(
    request: Request, said: Annotated[Campaign, OF_JSON, Body(examples=[EXAMPLE])], access: Reads
) -> GoalLook:
    """Where a campaign would lead and whom; nothing is made, and refused is what making it is."""
    service = service_of(request)
    guides = service.instance.host.guides_of(access.tenant)
    guides.check(said, keeps=False)
    with service.database.reading() as connection:
        return looked_at(connection, access.tenant, said, guides)


@router.get("/power")
def power(
    _: Reads,
    effect: Annotated[
        float, Query(ge=-1, le=1, allow_inf_nan=False, description="difference that is to be seen")
    ],
    rate: Annotated[
        float, Query(ge=0, le=1, allow_inf_nan=False, description="share without guidance")
    ],
    hold_out: Annotated[
        float, Query(ge=0.001, le=0.999, allow_inf_nan=False, description="share not guided")
    ] = 0.1,
) -> UsersNeeded:
    """How many users show an effect on a share of users in 4 of 5 cases."""
    users = users_for_share(effect, rate, hold_out)
    return UsersNeeded(users=users, effect=effect, rate=rate, hold_out=hold_out)
