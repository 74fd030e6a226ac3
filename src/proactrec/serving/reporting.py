"""The page of a campaign, made of what the service tells of it."""

from proactrec.report.campaign_page import campaign_page
from proactrec.serving.measuring import measurement_of
from proactrec.serving.telling import campaign_now, course_now, outcomes_now, version_told
from proactrec.store import campaigns
from proactrec.store.database import Database

MOST_HOURS, MOST_DAYS = 72, 1000
"""A campaign of more hours is told by days."""


def page_of(database: Database, tenant: str, campaign_id: str, now: int) -> str:
    """All of a campaign as one HTML page that needs nothing else."""
    with database.reading() as connection:
        version = campaigns.current(connection, tenant, campaign_id)
        course = course_now(connection, version, now, by="day", last=MOST_DAYS)
        if len({one.at for one in course.bins}) <= MOST_HOURS // 24:
            course = course_now(connection, version, now, by="hour", last=MOST_HOURS)
        told = campaign_now(connection, version, now)
        outcomes = outcomes_now(connection, version, now)
        versions = campaigns.history(connection, tenant, campaign_id)
    # No transaction waits while it is drawn.
    brought = measurement_of(version, *outcomes)
    return campaign_page(told, course, brought, list(map(version_told, versions)))
