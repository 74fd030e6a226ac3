"""How a campaign went, by the hour or by the day."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from proactrec.serving.counts import counts
from proactrec.serving.courses import By, Course
from proactrec.serving.coursing import coursed
from proactrec.serving.service import Needs, service_of
from proactrec.store import campaigns
from proactrec.store.course import Answers, Hour
from proactrec.store.keys import Access

MOST_BINS = 1000
router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])


@router.get("/{campaign_id}/course")
def course(
    request: Request,
    campaign_id: str,
    access: Annotated[Access, Depends(Needs("report"))],
    by: By = "hour",
    last: Annotated[int, Query(ge=1, le=MOST_BINS, description="hours or days")] = 48,
) -> Course:
    """What became of decisions, by hour or by day of the campaign's time zone, and by arm."""
    service = service_of(request)
    with service.database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        found, at = counts(connection, version, "hours", service.clock())
    parts = [Hour(*one) for one in found["hours"]], [Answers(*one) for one in found["answers"]]
    return coursed(version.said, *parts, by=by, last=last, counted_at=at)
