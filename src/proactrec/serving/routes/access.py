"""The key of a request: whose it is, and what it may do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from proactrec.serving.looking import AccessNow
from proactrec.serving.service import Needs, service_of
from proactrec.store import keys
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1/access", tags=["keys"])


@router.get("")
def get(request: Request, access: Annotated[Access, Depends(Needs())]) -> AccessNow:
    """What the key of this request is good for, whatever it is."""
    with service_of(request).database.reading() as connection:
        name = keys.name_of(connection, access.tenant, access.key_id)
    return AccessNow(tenant=access.tenant, key_id=access.key_id, scope=access.scope, name=name)
