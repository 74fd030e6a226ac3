"""What is watched of what is learned, and what an alarm does."""

from typing import Literal

from pydantic import Field, StrictBool

from proactrec.config import Options


class Watch(Options):
    """How a tenant's learning is watched."""

    frozen: StrictBool = Field(False, description="learn nothing: what is known stays as it is")
    off: float = Field(
        0.1, gt=0, lt=1, description="alarm where chances are credibly further off than this"
    )
    alpha: float = Field(
        0.01, gt=0, lt=1, description="chance of an alarm for a version that is not"
    )
    window: int = Field(
        1000, ge=30, description="newest guided items, targets left out, whose variety is watched"
    )
    most_shown: float = Field(
        0.5, gt=0, le=1, description="alarm where one of them has a greater share"
    )
    least_items: float = Field(
        3.0,
        ge=1,
        description="alarm where they are as various as fewer items shown equally often",
    )
    on_alarm: Literal["tell", "go_back"] = Field(
        "tell",
        description="only tell, or also go back to the last version that foretold well, and freeze",
    )
