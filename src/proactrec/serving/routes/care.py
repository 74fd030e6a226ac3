"""Care: what is known of a user is told or erased; whom nobody guides; who changed what.

What tells or erases all of a person needs an admin's key: those of shops and of whoever runs
campaigns neither give people's histories away nor destroy what can't be had back.
"""

from functools import partial
from typing import IO, Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from proactrec.serving.erasing import erased, items_known
from proactrec.serving.exporting import exported, gathered
from proactrec.serving.keeping import AuditEntries, AuditEntry, ErasureReceipt, UserExport
from proactrec.serving.routes.users import UserId
from proactrec.serving.schemas import MOST_PAGE, moment
from proactrec.serving.service import Needs, service_of
from proactrec.store import audit, care
from proactrec.store.care import Care
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1", tags=["care"])
Admin = Annotated[Access, Depends(Needs("admin"))]
CHUNK = 2**16
"""Bytes of a document that are sent at once."""


class Document(StreamingResponse):
    """What was gathered of a user, and is gone once it was sent or the reader has left."""

    def __init__(self, gathered: IO[bytes]) -> None:
        pieces = iter(partial(gathered.read, CHUNK), b"")
        super().__init__(pieces, media_type="application/json")
        self._gathered = gathered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._gathered:
            await super().__call__(scope, receive, send)


@router.get("/users/{user_id:owner}/export", responses={200: {"model": UserExport}})
def export(request: Request, user_id: UserId, access: Admin) -> StreamingResponse:
    """All that is held of a user, as one document."""
    service, tenant = service_of(request), access.tenant
    guides = [service.instance.host.guides_of(tenant)]
    with service.database.reading() as connection:
        items = items_known(connection, tenant, user_id, guides)
        document = gathered(exported(connection, tenant, user_id, {"guide_items": items}))
    return Document(document)


@router.delete("/users/{user_id:whole}")
def erase(request: Request, user_id: UserId, access: Admin) -> ErasureReceipt:
    """Erase a user everywhere; the log keeps what is needed, of nobody."""
    service = service_of(request)
    guides = [service.instance.host.guides_of(access.tenant)]
    at = service.clock()
    return erased(service.database, access.tenant, user_id, guides, by=access.key_id, at=at)


@router.get("/care")
def get_care(request: Request, access: Annotated[Access, Depends(Needs("report"))]) -> Care:
    """Whom nobody guides, and what nobody is guided to."""
    with service_of(request).database.reading() as connection:
        return care.current(connection, access.tenant)


@router.put("/care")
def put_care(request: Request, said: Care, access: Admin) -> Care:
    """Let it hold for all campaigns, from the next decision on in every instance."""
    service = service_of(request)
    with service.database.writing() as connection:
        care.change(connection, access.tenant, said, by=access.key_id, at=service.clock())
    return said


@router.get("/audit")
def list_audit(
    request: Request,
    access: Admin,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="a `seq`")] = None,
    what: Annotated[str | None, Query(max_length=200)] = None,
    about: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 100,
) -> AuditEntries:
    """Who changed what, the newest first."""
    with service_of(request).database.reading() as connection:
        found = audit.entries(
            connection, access.tenant, before=before, what=what, about=about, limit=limit + 1
        )
    page = tuple(AuditEntry(**{**one._asdict(), "at": moment(one.at)}) for one in found[:limit])
    return AuditEntries(entries=page, next=page[-1].seq if len(found) > limit else None)
