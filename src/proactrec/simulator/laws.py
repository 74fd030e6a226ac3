"""Laws of drift and response beyond the paper's: which there are, and how strong each is."""

from typing import ClassVar, Self

from pydantic import Field

from proactrec.config import Options


class LawOptions(Options):
    """How users differ from those of the paper; every law is off by default, and any may meet.

    See :mod:`.drifting` and :mod:`.leanings` for the equations and their sources.
    """

    later_fields: ClassVar[frozenset[str]] = frozenset(
        {
            *("returning", "reactance", "exposure", "diminishing", "wandering"),
            *("appeal", "user_bias", "user_slope", "day", "lapses", "ceiling"),
        }
    )

    returning: float = Field(
        0.0, ge=0, lt=1, description="share of the way back to their start that users go a round"
    )
    reactance: float = Field(
        0.0, ge=0, le=1, description="share of a step away from an item that a refusal means"
    )
    exposure: float = Field(
        0.0, ge=0, le=1, description="share of a step toward an item that is only seen"
    )
    diminishing: float = Field(
        0.0,
        ge=0,
        description="an accepted item moves by 1 / (1 + this times the items accepted before)",
    )
    wandering: float = Field(
        0.0, ge=0, description="length of users' own random step, a round (root mean square)"
    )
    appeal: float = Field(0.0, ge=0, description="deviation of items' own logits of acceptance")
    user_bias: float = Field(0.0, ge=0, description="deviation of users' own logits of acceptance")
    user_slope: float = Field(0.0, ge=0, description="deviation of the log of users' slopes")
    day: float = Field(
        0.0, ge=0, description="deviation of logits of acceptance by user, target and round"
    )
    lapses: float = Field(0.0, ge=0, lt=0.5, description="share accepted whatever it is")
    ceiling: float = Field(1.0, ge=0.5, le=1, description="share accepted at most, however liked")

    def times(self, factor: float) -> Self:
        """The same laws, so many times as strong."""
        weaker = {name: factor * value for name, value in self.model_dump().items()}
        return type(self)(**weaker | {"ceiling": 1 - factor * (1 - self.ceiling)})

    @property
    def names(self) -> list[str]:
        """Of the laws that are on."""
        return list(self.model_dump())

    @property
    def moves_by_time(self) -> bool:
        """Whether users move in every round, shown something or not."""
        return bool(self.returning or self.wandering)

    @property
    def moves_by_refusal(self) -> bool:
        """Whether a refused item moves users."""
        return self.reactance != self.exposure

    @property
    def moves_without_acceptance(self) -> bool:
        """Whether users move in rounds in which they accept nothing."""
        return self.moves_by_time or self.moves_by_refusal

    @property
    def changes_answers(self) -> bool:
        """Whether any law of response is on."""
        deviations = self.appeal or self.user_bias or self.user_slope or self.day
        return bool(deviations or self.lapses or self.ceiling < 1)
