"""Policies that arms may have."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from proactrec.serving.service import Needs, service_of
from proactrec.serving.studies import PoliciesSeen, PolicySeen
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1/policies", tags=["policies"])


@router.get("")
def get(request: Request, access: Annotated[Access, Depends(Needs("report"))]) -> PoliciesSeen:
    """All that the guide can build, its own first."""
    guides = service_of(request).instance.host.guides_of(access.tenant)
    own = guides.saved.recipe.policy
    return PoliciesSeen(
        policies=tuple(
            PolicySeen(name=name, about=about, own=name == own)
            for name, about in guides.policies.items()
        )
    )
