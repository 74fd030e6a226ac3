"""Protocols: named choices wherever the paper, the public code and a fair comparison differ."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.rollout import RolloutOptions
from proactrec.fitting.options import Conventions
from proactrec.intents import IntentOptions
from proactrec.names import spelled, unknown
from proactrec.policies.itmprec import ITMPRecOptions
from proactrec.simulator.world import WorldOptions
from proactrec.targets import TargetOptions
from proactrec.types import FilterName
from proactrec.worth import ONLY_INTEREST, Worth


class Protocol(Options):
    """What is compared how; D1-D26 in descriptions number divergences of paper and code."""

    name: str
    filter: FilterName = "k-core"
    targets: TargetOptions = TargetOptions()
    ablated_target_mode: Literal["random_category", "random_all"] = Field(
        "random_category", description="targets without P: other items of the category, or any (D3)"
    )
    intents: IntentOptions = IntentOptions()
    itmprec: ITMPRecOptions = ITMPRecOptions()
    replan: Literal["on_reject", "never"] = Field(
        "on_reject", description="LLM-IPP's path: anew after a refusal, or once, before round 1"
    )
    world: WorldOptions = WorldOptions()
    rollout: RolloutOptions = RolloutOptions()
    metrics: MetricOptions = MetricOptions()
    worth: Worth = Field(ONLY_INTEREST, description="what journeys are for")

    @model_validator(mode="after")
    def _common_users(self) -> Self:
        if self.name == "common" and self.world.receptivity == "policy":
            raise InvalidInputError(
                "receptivity must belong to the world in the protocol common, got 'policy'"
            )
        return self

    def policy_defaults(self, kind: type[Options]) -> dict[str, Any]:
        """What the protocol says of a policy's options of a type."""
        given = {
            "replan": self.replan,
            "n_rounds": self.rollout.n_rounds,
            "worth": self.worth.model_dump(),
            "goes_on": self.world.after_success == "continue",
        }
        if issubclass(ITMPRecOptions, kind):
            given |= self.itmprec.model_dump()
        return {name: value for name, value in given.items() if name in kind.model_fields}

    @property
    def measured(self) -> MetricOptions:
        """What the metrics are, with the worth that the policy is told."""
        return self.metrics.model_copy(update={"worth": self.worth})

    @property
    def conventions(self) -> Conventions:
        """What it settles of fitting."""
        padding = self.rollout.padding
        return Conventions(self.targets, self.intents, padding, self.policy_defaults)

    def changes(self) -> dict[str, Any]:
        """Settings that differ from the protocol of this name (else from `common`), dotted."""
        named = PROTOCOLS.get(self.name, COMMON)
        own, used = (_flat(protocol.model_dump(mode="json")) for protocol in (named, self))
        return {name: value for name, value in used.items() if value != own.get(name)}


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat


COMMON = Protocol(name="common")
"""The same calibrated users for every policy, whose journeys end with the target, as published."""

CAMPAIGN = Protocol(
    name="campaign",
    world=WorldOptions(after_success="continue"),
    worth=Worth(),
)
"""The same users as a provider has them: they go on being moved after they accepted the target, so
that success counts against nobody, and targets, steps and interest all have a worth."""

PAPER = Protocol(
    name="paper",
    filter="paper",
    itmprec=ITMPRecOptions(
        relevance_link="raw",
        intent_link="raw",
        guidance="dot",
        no_gain="product",
        tiac="literal",
        tiac_floor=None,
    ),
    replan="never",
    # The paper gives no slope and offset: those of the public code stand in.
    world=WorldOptions(
        world="official", receptivity="policy", owners="zero", after_success="freeze"
    ),
    rollout=RolloutOptions(exclude="accepted"),
)
"""The equations as printed."""

OFFICIAL = Protocol(
    name="official",
    filter="paper",
    targets=TargetOptions(pool=200, space="encoder", official_shuffle=True),
    ablated_target_mode="random_all",
    intents=IntentOptions(source="random"),
    itmprec=ITMPRecOptions(no_gain="product", tiac_decimals=3),
    replan="never",
    world=WorldOptions(
        world="official",
        receptivity="policy",
        owners="zero",
        after_success="freeze",
        noise="per_target",
        random_numbers="shared_stream",
    ),
    rollout=RolloutOptions(padding="right"),
    metrics=MetricOptions(timing="before", hr="first_targets", rank_cut=200),
)
"""What the public code computes, for parity with published numbers."""

PROTOCOLS = {protocol.name: protocol for protocol in (CAMPAIGN, COMMON, PAPER, OFFICIAL)}


def protocol_of(name: str) -> Protocol:
    """The protocol of a name, or :class:`UnknownIdError` with the known ones."""
    found = PROTOCOLS.get(spelled(name, PROTOCOLS))
    if found is None:
        raise unknown("protocol", name, PROTOCOLS)
    return found
