"""The page of a campaign, made of what the service tells of it."""

from sqlalchemy import Connection

from proactrec.report.campaign_page import campaign_page
from proactrec.serving.telling import campaign_now, course_now, measurement_now, version_told
from proactrec.store import campaigns

MOST_HOURS, MOST_DAYS = 72, 1000
"""A campaign of more hours is told by days."""


def page_of(connection: Connection, tenant: str, campaign_id: str, now: int) -> str:
    """All of a campaign as one HTML page that needs nothing else."""
    version = campaigns.current(connection, tenant, campaign_id)
    course = course_now(connection, version, now, by="day", last=MOST_DAYS)
    if len({one.at for one in course.bins}) <= MOST_HOURS // 24:
        course = course_now(connection, version, now, by="hour", last=MOST_HOURS)
    return campaign_page(
        campaign_now(connection, version, now),
        course,
        measurement_now(connection, version, now),
        [version_told(one) for one in campaigns.history(connection, tenant, campaign_id)],
    )
