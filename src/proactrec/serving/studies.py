"""What is found out about a campaign without showing anybody anything."""

from typing import Any, Literal

from pydantic import Field

from proactrec.serving.schemas import Id, Schema

StudyKind = Literal["worlds", "rails", "off-policy"]
MOST_POLICIES = 10
"""That are compared in one study."""


class StudyWanted(Schema):
    """What a study is of."""

    policy: Id | None = Field(None, description="off-policy: the policy that would have chosen")
    policies: tuple[Id, ...] = Field(
        (),
        max_length=MOST_POLICIES,
        description="worlds: names of policies; by default those of its arms and the guide's own. "
        "Plain recommendation is played beside them, always",
    )


class Study(Schema):
    """What was found, or how far that is known."""

    kind: StudyKind
    state: Literal["waiting", "working", "done", "failed"]
    result: dict[str, Any] | None = Field(
        description="of worlds: value of each policy and its difference from plain; of rails: what "
        "would be gained without each; of off-policy: estimates, or why there are none. While it "
        "is worked on: how far it is"
    )
    error: str | None


class PolicySeen(Schema):
    """A policy that an arm of a campaign may have."""

    name: str
    about: str = Field(description="what it does, in a line")
    own: bool = Field(description="whether the guide was fitted for it")


class PoliciesSeen(Schema):
    """All that the guide can build."""

    policies: tuple[PolicySeen, ...]
