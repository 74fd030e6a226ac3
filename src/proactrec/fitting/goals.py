"""Whether users have a journey to every target, or one to whichever suits."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.names import spelled
from proactrec.policies.base import PredictsAcceptance
from proactrec.policies.registry import POLICIES, policy_type


class GoalOptions(Options):
    """How many journeys a user has, and where they lead."""

    target: Literal["every", "chosen", "nearest", "prematched"] = Field(
        "every",
        description="every: a journey to each target, as published; chosen: one journey a user, to "
        "whichever item of the category (or of the targets named) suits, another once it was "
        "accepted, refused or closed; nearest, prematched: one to a fixed item, the user's nearest "
        "or everybody's best pre-match, of those that the user does not have",
    )
    chooser: str | None = Field(
        None, description="policy that says which suits; the one that guides by default"
    )
    reweigh: int | None = Field(
        None, ge=1, description="rounds after which all items are weighed anew; never by default"
    )

    @field_validator("chooser")
    @classmethod
    def _known_policy(cls, name: str | None) -> str | None:
        return None if name is None else spelled(name, POLICIES)

    @model_validator(mode="after")
    def _only_where_it_is_chosen(self) -> Self:
        for name in ("chooser", "reweigh"):
            value = getattr(self, name)
            if value is not None and self.target != "chosen":
                raise InvalidInputError(
                    f"goal.{name} needs goal.target chosen, got {value!r} with {self.target!r}"
                )
        return self

    @property
    def is_on(self) -> bool:
        """Whether every user has one journey."""
        return self.target != "every"

    def needs_encoder(self, policy: str) -> bool:
        """Whether an encoder says what suits: who chooses does not predict acceptance."""
        kind = policy_type(self.chooser or policy)
        return self.target == "chosen" and not issubclass(kind, PredictsAcceptance)
