"""What is told of a campaign: to the service's callers, and on the page of the command line."""

from typing import Any

from sqlalchemy import Connection

from proactrec.serving.brought import MeasurementNow
from proactrec.serving.counting import budget_used
from proactrec.serving.counts import counts
from proactrec.serving.courses import By, Course
from proactrec.serving.coursing import coursed
from proactrec.serving.measuring import measurement_of
from proactrec.serving.schemas import CampaignNow, CampaignVersion, moment
from proactrec.store import campaigns
from proactrec.store.campaigns import Version
from proactrec.store.course import Answers, Hour
from proactrec.store.outcomes import Outcomes


def version_told(version: Version) -> CampaignVersion:
    """A version as it is told."""
    return CampaignVersion(
        id=version.campaign_id,
        version=version.version,
        state=version.state,
        share=version.share,
        reason=version.reason,
        by=version.by,
        at=moment(version.at),
        campaign=version.said,
    )


def campaign_now(connection: Connection, version: Version, now: int) -> CampaignNow:
    """A campaign as it is now, and what happened in it so far."""
    found, at = counts(connection, version, "arms", now)
    nobody: dict[str, Any] = {arm: {} for arm in version.said.shares}
    return CampaignNow.model_validate(
        {
            **dict(version_told(version)),
            "forecast": campaigns.forecast_of(connection, version),
            "arms": nobody | found["arms"],
            "budget_used": budget_used(connection, version, now),
            "apprentice": found["apprentice"],
            "counted_at": moment(at),
        }
    )


def course_now(connection: Connection, version: Version, now: int, *, by: By, last: int) -> Course:
    """How it went, the last so many hours or days."""
    found, at = counts(connection, version, "hours", now)
    parts = [Hour(*one) for one in found["hours"]], [Answers(*one) for one in found["answers"]]
    return coursed(version.said, *parts, by=by, last=last, counted_at=at)


def outcomes_now(connection: Connection, version: Version, now: int) -> tuple[Outcomes, int]:
    """What became of its users, and as of when."""
    found, at = counts(connection, version, "sums", now)
    return Outcomes.of_json(found), at


def measurement_now(connection: Connection, version: Version, now: int) -> MeasurementNow:
    """What it brought."""
    return measurement_of(version, *outcomes_now(connection, version, now))
