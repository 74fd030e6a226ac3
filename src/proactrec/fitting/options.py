"""What is to be trained, and what a protocol has to say of it."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, field_validator

from proactrec.config import Options, set_nested
from proactrec.content import ContentOptions
from proactrec.data.load import DatasetOptions
from proactrec.encoders.fitting import ENCODERS
from proactrec.fitting.goals import GoalOptions
from proactrec.graphau import GraphAUOptions
from proactrec.guidance.rails import RailsOptions
from proactrec.intents import IntentOptions
from proactrec.names import spelled
from proactrec.policies.registry import POLICIES, policy_type
from proactrec.targets import TargetOptions

FILMS = ("100k", "1m", "10m", "20m", "25m", "32m", "latest-small")
DEFAULT_CATEGORIES = {
    "demo": "Science Fiction",
    "lastfm": "hard rock",
    "movietweetings": "Sci-Fi",
    **{f"ml-{size}": "Sci-Fi" for size in FILMS},
}


class FittingOptions(Options):
    """Everything that decides a trained policy, its rails and its targets."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"goal"})

    dataset: DatasetOptions = Field(
        DatasetOptions(),
        description="its filter is used as it stands; commands take the protocol's by default",
    )
    category: str | None = Field(
        None, description="category to promote, e.g. Sci-Fi; published data sets have a default"
    )
    target_items: tuple[str, ...] = Field(
        (), description="id of an item to promote, instead of choosing"
    )
    policy: str = Field(
        "itmprec",
        description=f"who chooses the items: {', '.join(POLICIES)}, or a .py file of your own",
    )
    policy_options: dict[str, Any] = Field({}, description="changes to the policy's options")
    encoder: str = Field(
        "iclrec",
        description=f"sequence encoder: {', '.join(ENCODERS)}, or a .py file of your own",
    )
    encoder_options: dict[str, Any] = Field({}, description="changes to the encoder's defaults")
    target_encoder: str | None = Field(
        None,
        description="encoder whose space chooses the targets where the protocol wants an "
        "encoder's; the run's own by default",
    )
    target_encoder_options: dict[str, Any] = Field(
        {}, description="changes to the defaults of target_encoder"
    )
    graphau: GraphAUOptions = GraphAUOptions()
    content: ContentOptions = Field(
        ContentOptions(), description="how cold items are described, where the data set keeps them"
    )
    rails: RailsOptions = Field(
        RailsOptions(), description="what guidance may never do, whichever policy guides"
    )
    goal: GoalOptions = Field(
        GoalOptions(), description="whether users have a journey to every target, or one"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="decides everything random")

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, name: str) -> str:
        return spelled(name, POLICIES)

    @field_validator("encoder", "target_encoder")
    @classmethod
    def _known_encoder(cls, name: str | None) -> str | None:
        return None if name is None else spelled(name, ENCODERS)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These options with settings changed by their dotted names."""
        content = self.model_dump()
        for name, value in changes.items():
            set_nested(content, name, value)
        return type(self)(**content)

    @property
    def needs_encoder(self) -> bool:
        """Whether an encoder is to be trained: the policy stands on one, or rails or a goal ask."""
        asked = self.rails.is_on or self.goal.needs_encoder(self.policy)
        return policy_type(self.policy).needs_encoder or asked

    def choosing_targets(self) -> Self:
        """The options whose encoder chooses the targets, where the protocol wants an encoder's."""
        own = self.encoder, self.encoder_options
        if self.target_encoder is None or own == (self.target_encoder, self.target_encoder_options):
            return self
        return self.model_copy(
            update={
                "encoder": self.target_encoder,
                "encoder_options": self.target_encoder_options,
                "policy": "itmprec",
                "policy_options": {},
            }
        )


def no_defaults(kind: type[Options]) -> dict[str, Any]:
    """Every policy has the options that it has by itself."""
    return {}


class Conventions(NamedTuple):
    """What a protocol settles of fitting; by default what `common` does."""

    targets: TargetOptions = TargetOptions()
    intents: IntentOptions = IntentOptions()
    padding: Literal["left", "right"] = "left"
    policy_defaults: Callable[[type[Options]], Mapping[str, Any]] = no_defaults
    """Options of a policy that are not the policy's own defaults, by the type of its options."""
