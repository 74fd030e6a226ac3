"""Protocols: named choices wherever the paper, the public code and a fair comparison differ."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.metrics import MetricOptions
from proactrec.evaluation.rollout import RolloutOptions
from proactrec.policies.itmprec import ITMPRecOptions
from proactrec.simulator.world import WorldOptions
from proactrec.targets import TargetOptions
from proactrec.types import FilterName


class IntentOptions(Options):
    """Prototypes that the policy's intention scores use."""

    n_intents: int = Field(32, ge=1, description="number of prototypes")
    source: Literal["kmeans", "random"] = Field(
        "kmeans", description="k-means of the final encoder, or never trained as in the code (D7)"
    )
    fitted_on: Literal["mean", "last"] = Field(
        "mean", description="mean-pooled states (ICLRec's own), or the last position's (D7)"
    )


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

    @model_validator(mode="after")
    def _common_users(self) -> Self:
        if self.name == "common" and self.world.receptivity == "policy":
            raise InvalidInputError(
                "receptivity must belong to the world in the protocol common, got 'policy'"
            )
        return self

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
"""The default: the same calibrated users for every policy; claims are made here."""

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

PROTOCOLS = {protocol.name: protocol for protocol in (COMMON, PAPER, OFFICIAL)}


def protocol_of(name: str) -> Protocol:
    """The protocol of a name, or :class:`UnknownIdError` with the known ones."""
    if name not in PROTOCOLS:
        raise UnknownIdError(f"protocol {name!r} does not exist; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
