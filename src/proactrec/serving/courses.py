"""How a campaign went, hour by hour or day by day, as the service tells it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from proactrec.serving.schemas import Schema

By = Literal["hour", "day"]


class Share(Schema):
    """A share of what was counted, with how sure it is."""

    n: int = Field(description="of so many")
    k: int = Field(description="so many are")
    value: float | None = Field(description="k / n; null: there are none yet")
    low: float | None = Field(
        description="lower end of an interval that holds the true share in 95 of 100 cases, at one "
        "look, however alike the answers of a user are; null: fewer than 30 users, or no two differ"
    )
    high: float | None = Field(description="the upper end")


class CourseBin(Schema):
    """What became of the decisions of one hour or day, in one arm."""

    at: datetime = Field(description="when it begins")
    arm: str
    decisions: int
    guided: int
    answered: int = Field(description="of the decisions, by now")
    accepted: int
    guided_answered: int = Field(description="of the guided ones alone")
    guided_accepted: int
    targets_accepted: int
    users: int = Field(description="who were decided for the first time in this campaign")


class Course(Schema):
    """How a campaign went so far."""

    by: By
    since: datetime | None = Field(
        description="begin of the first hour or day that is told; null: nothing was decided yet"
    )
    bins: tuple[CourseBin, ...] = Field(
        description="in the order of time and arms; those without decisions and users are left out"
    )
    arms: dict[str, Share] = Field(
        description="accepted of answered decisions since the campaign began; the interval is of "
        "users, each of whom may have answered often"
    )
    kept_at: datetime = Field(description="when this was counted")
