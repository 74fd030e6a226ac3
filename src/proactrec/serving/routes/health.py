"""Whether an instance lives, and whether it can decide."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, Request, Response

from proactrec.errors import StoreError
from proactrec.serving.schemas import Health
from proactrec.serving.service import service_of

router = APIRouter(tags=["operation"])
LOOKS = ThreadPoolExecutor(1, thread_name_prefix="ready")
"""One look at a time, beside all other routes: it takes a connection of those that decide."""


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(request: Request, response: Response) -> Health:
    """The guide is loaded, the database can be reached, and its schema is not too old."""
    service, why = service_of(request), None
    if service.instance.is_stopping:
        why = "this instance stops"
    else:
        try:
            look = service.instance.host.database.is_current
            is_current = await asyncio.get_running_loop().run_in_executor(LOOKS, look)
            why = None if is_current else "the database has an older schema: migrate it"
        except StoreError:
            why = "the database can't be reached"
    if why is None:
        return Health(status="ok")
    response.status_code = 503
    response.headers["Retry-After"] = "1"
    return Health(status="not ready", why=why)
