"""How a campaign went: by the hour or by the day, and all of it on one page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from proactrec.serving.courses import By, Course
from proactrec.serving.service import Needs, service_of
from proactrec.serving.telling import course_now
from proactrec.store import campaigns
from proactrec.store.keys import Access

MOST_BINS = 1000
POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""The page is whole by itself: a browser need load and run nothing."""
router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
Reads = Annotated[Access, Depends(Needs("report"))]


@router.get("/{campaign_id}/course")
def course(
    request: Request,
    campaign_id: str,
    access: Reads,
    by: By = "hour",
    last: Annotated[int, Query(ge=1, le=MOST_BINS, description="hours or days")] = 48,
) -> Course:
    """What became of decisions, by hour or by day of the campaign's time zone, and by arm."""
    service = service_of(request)
    with service.database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        return course_now(connection, version, service.clock(), by=by, last=last)


@router.get("/{campaign_id}/report", response_class=HTMLResponse)
def report(request: Request, campaign_id: str, access: Reads) -> HTMLResponse:
    """The campaign as one HTML page that needs nothing else, to be kept or sent on."""
    from proactrec.serving.reporting import page_of  # what draws it is loaded when it is wanted

    service = service_of(request)
    page = page_of(service.database, access.tenant, campaign_id, service.clock())
    return HTMLResponse(page, headers=POLICY)
