"""Items: found by what they are called; those that came later are told, and what is sold out."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request

from proactrec.serving.finding import categories_seen, items_found
from proactrec.serving.looking import CategoriesSeen, ItemsSeen
from proactrec.serving.schemas import MOST_ITEMS, MOST_PAGE, Id, Item, ItemsTaken
from proactrec.serving.service import Needs, service_of
from proactrec.store.items import say_items
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1", tags=["items"])
Reads = Annotated[Access, Depends(Needs("report"))]
MOST_IDS = 200


@router.get("/categories")
def categories(request: Request, access: Reads) -> CategoriesSeen:
    """The 1,000 largest categories as goals, the most promising first, and why.

    By a rule of thumb, of what known users had: it promises no gain.
    """
    return categories_seen(service_of(request).instance.host.guides_of(access.tenant))


@router.get("/items")
def find(
    request: Request,
    access: Reads,
    search: Annotated[str, Query(max_length=200, description="part of title or id")] = "",
    category: Annotated[str | None, Query(max_length=200)] = None,
    ids: Annotated[
        tuple[Id, ...],
        Query(alias="id", max_length=MOST_IDS, description="only these; unknown ones are left out"),
    ] = (),
    after: Annotated[str | None, Query(max_length=200, description="`next` of a page")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 50,
) -> ItemsSeen:
    """Items as it is decided by now, those that most users had first."""
    guides = service_of(request).instance.host.guides_of(access.tenant)
    return items_found(guides, search, category, ids, after, limit)


@router.put("/items")
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
