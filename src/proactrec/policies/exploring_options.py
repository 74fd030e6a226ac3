"""How far a campaign explores: what callers of the service say too, who need no torch for it."""

from pydantic import Field

from proactrec.config import Options


class ExploringOptions(Options):
    """How far, and how often, something else than the best is shown."""

    loss: float = Field(0.0, ge=0, description="most worth given up, in the policy's own score")
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of rounds in which all items within the loss are equally likely",
    )
    most: int = Field(10, ge=1, description="items among which is drawn, the best ones")
