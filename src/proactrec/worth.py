"""What guidance is for: what an accepted target, an accepted step and interest are worth."""

from typing import Annotated, ClassVar

from pydantic import Field

from proactrec.config import Options

Share = Annotated[float, Field(ge=0, lt=1)]


class Worth(Options):
    """What a provider says of its goals; planner, forecasts and figures share it.

    Only ratios matter. A journey's worth is that of its target, if it was accepted, once; of every
    accepted item, the target among them; and of the interest in the target that it gained.
    """

    target: float = Field(1.0, ge=0, description="worth of an accepted target, once a journey")
    step: float = Field(0.004, ge=0, description="worth of any accepted item")
    interest: float = Field(
        0.2,
        ge=0,
        description="worth of one unit of interest in the target: a cosine, so that no user can "
        "gain more than 2",
    )
    leaving: Share = Field(
        0.05, description="share of users that are assumed to leave after each round"
    )
    leaving_refused: Share | None = Field(
        None, description="the same after a refusal; the same as after an acceptance by default"
    )
    learns_leaving: bool = Field(
        True, description="learn these shares from who came back; what is assumed is the prior"
    )

    @property
    def both_leaving(self) -> tuple[float, float]:
        """Assumed share that leaves after an acceptance and after a refusal."""
        return self.leaving, self.leaving if self.leaving_refused is None else self.leaving_refused

    named: ClassVar[dict[str, "Worth"]]
    """Choices that have a name: `provider`, the default, and `only-interest`."""


ONLY_INTEREST = Worth(target=0, step=0.02, interest=1, leaving=0, learns_leaving=False)
"""What the field's IoI measures: nothing is gained by the target itself, and nobody leaves."""
Worth.named = {"provider": Worth(), "only-interest": ONLY_INTEREST}
