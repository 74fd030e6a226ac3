"""What a campaign brought, as the service and the command line tell it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from proactrec.serving.schemas import Schema


class EffectNow(Schema):
    """An arm less the arm that it is compared with, in one figure."""

    value: float = Field(description="of the arm, adjusted for what users did before")
    baseline: float
    difference: float
    low: float
    high: float
    kind: Literal["sequence", "final"] = Field(
        description="sequence: the interval holds at all looks together; final: at the planned end"
    )
    alpha: float = Field(description="chance that the interval is wrong")
    detectable: float = Field(description="difference that so many users show in 4 of 5 cases")
    shown: bool = Field(description="whether the interval leaves 0 out")


class ArmMeasured(Schema):
    """An arm, among all users or those of a segment."""

    arm: str
    segment: str | None = Field(description="a group of users; null: all of them")
    users: int = Field(description="who were assigned to it; of a segment: who are measured")
    matured: int = Field(description="users who are measured")
    sums: dict[str, int] = Field(description="over the users who are measured")
    effects: dict[str, EffectNow] = Field(description="by figure; empty while users are few")
    verdict: str


class SampleRatioEpoch(Schema):
    """Users who came while arms had these shares."""

    since_version: int
    shares: dict[str, float]
    users: dict[str, int]
    p_value: float


class SampleRatio(Schema):
    """Whether users came to arms in the shares that were meant."""

    p_value: float = Field(description="of all epochs; may be looked at any time")
    sound: bool
    epochs: tuple[SampleRatioEpoch, ...]


class MeasurementNow(Schema):
    """What a campaign brought so far."""

    campaign_id: str
    version: int
    at: datetime
    metric: str = Field(description="the figure by which it is decided")
    window_hours: float
    planned_users: int | None
    users: int
    matured: int
    compared_with: str
    kind: Literal["sequence", "final"]
    sample_ratio: SampleRatio
    arms: tuple[ArmMeasured, ...]
    verdict: str
