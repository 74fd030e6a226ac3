"""What exactly the metrics are."""

from typing import Annotated, Literal

from pydantic import Field

from proactrec.config import Options

ROUNDS = (5, 10, 15, 20)


class MetricOptions(Options):
    """What exactly HR, IoI and IoR are; defaults as in the protocol `common`."""

    rounds: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        ROUNDS, min_length=1, description="rounds P at which figures are given"
    )
    timing: Literal["after", "before"] = Field(
        "after", description="state after P rounds, or as the code logs it: after P - 1 (D22)"
    )
    hr: Literal["rounds", "first_targets"] = Field(
        "rounds",
        description="clicks of the first P rounds, or of all rounds for the first P targets (D23)",
    )
    rank_cut: int | None = Field(
        None, ge=1, description="ranks from this on count as the last one before it (D24)"
    )

    def up_to(self, n_rounds: int) -> "MetricOptions":
        """The same for guidance of so many rounds: no round that was not played."""
        rounds = tuple(p for p in self.rounds if p <= n_rounds) or (n_rounds,)
        return self.model_copy(update={"rounds": rounds})
