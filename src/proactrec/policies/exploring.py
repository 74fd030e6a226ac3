"""Placeholder until the policy is merged."""

from pydantic import Field

from proactrec.config import Options


class ExploringOptions(Options):
    """How often another item than the best is shown."""

    loss: float = Field(0.0, ge=0, description="most worth given up, in the policy's own score")
    share: float = Field(0.0, ge=0, le=1, description="chance that the item is drawn")
    most: int = Field(10, ge=1, description="items among which is drawn")
