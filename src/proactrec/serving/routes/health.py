"""Whether an instance lives, and whether it can decide."""

from fastapi import APIRouter, Request, Response

from proactrec.errors import StoreError
from proactrec.serving.schemas import Health
from proactrec.serving.service import service_of

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """The guide is loaded, the database can be reached, and its schema is not too old."""
    service, why = service_of(request), None
    if service.instance.is_stopping:
        why = "this instance stops"
    else:
        try:
            is_current = service.database.is_current()
            why = None if is_current else "the database has an older schema: migrate it"
        except StoreError:
            why = "the database can't be reached"
    if why is None:
        return Health(status="ok")
    response.status_code = 503
    response.headers["Retry-After"] = "1"
    return Health(status="not ready", why=why)
