"""What goes over HTTP of what was learned; see also :mod:`proactrec.store.watch`."""

from datetime import datetime

from pydantic import Field, StrictBool

from proactrec.serving.schemas import Reason, Schema
from proactrec.store.watch import Watch


class Tenth(Schema):
    """Answers whose chance was foretold within a tenth, from 0 to 0.1 on."""

    answers: int
    foretold: float | None = Field(description="mean chance")
    accepted: float | None = Field(description="share that was")


class CalibrationTold(Schema):
    """What was foretold with a version, and what came."""

    answers: int
    foretold: float = Field(description="mean chance of acceptance")
    accepted: float = Field(description="share that was accepted")
    off_by_at_least: float = Field(
        description="how far chances are credibly off, over all answers or within a tenth"
    )
    log_loss: float = Field(description="mean; 0.693 is knowing nothing")
    tenths: tuple[Tenth, ...]


class KnowledgeVersion(Schema):
    """What was known at a version, and how well it foretold what came after."""

    version: int = Field(description="0: what the guide was saved with")
    parent: int | None = Field(description="that it goes on from")
    restores: int | None = Field(description="older version that it is the same as")
    answers: int = Field(description="of which it was learned, since the guide was saved")
    after_decision: int | None = Field(description="its own lesson is of decisions behind this")
    up_to_decision: int | None = Field(description="to this one, of all users")
    evidence: str | None = Field(description="digest of the answers of its lesson")
    at: datetime | None
    calibration: CalibrationTold | None = Field(description="null: no answer came yet")
    alarm: str | None


class Variety(Schema):
    """How various the newest guided items are, targets left out."""

    most_shown: float = Field(description="share of the item that is shown most")
    items: float = Field(description="number of items, shown equally often, of the same entropy")


class Knowledge(Schema):
    """All that was learned by a guide, the newest version first."""

    watch: Watch
    in_use: int
    variety: Variety | None = Field(description="null: fewer items than the window were shown")
    versions: tuple[KnowledgeVersion, ...]


class GoBack(Schema):
    """Why an older version is restored."""

    reason: Reason
    learns: StrictBool = Field(
        False, description="learn on from there, by what is decided from now on; else freeze"
    )
