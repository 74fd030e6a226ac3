"""Items: those that came after the guide was fitted, and what is sold out."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request

from proactrec.serving.schemas import MOST_ITEMS, Item, ItemsTaken
from proactrec.serving.service import Needs, service_of
from proactrec.store.items import say_items
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1/items", tags=["items"])


@router.put("")
def put(
    request: Request,
    items: Annotated[tuple[Item, ...], Body(max_length=MOST_ITEMS)],
    access: Annotated[Access, Depends(Needs("operate"))],
) -> ItemsTaken:
    """Say what items are now; every instance takes it up within some seconds."""
    service = service_of(request)
    with service.database.writing() as connection:
        say_items(
            connection,
            access.tenant,
            [one.model_dump() for one in items],
            by=access.key_id,
            at=service.clock(),
        )
    return ItemsTaken(accepted=len(items))
