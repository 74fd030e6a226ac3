"""Named protocols: what sets them apart."""

import re

import pytest

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.protocols import (
    CAMPAIGN,
    COMMON,
    OFFICIAL,
    PAPER,
    PROTOCOLS,
    Protocol,
    protocol_of,
)
from proactrec.policies.foresight import ForesightOptions
from proactrec.worth import Worth


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_round_trips_through_json(name: str) -> None:
    protocol = protocol_of(name)
    assert protocol.name == name
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol


def test_unknown_protocol_names_the_known_ones() -> None:
    wanted = "protocol 'x' does not exist; there are campaign, common, paper, official"
    with pytest.raises(UnknownIdError, match=re.escape(wanted)):
        protocol_of("x")


def test_only_the_default_is_free_of_the_codes_peculiarities() -> None:
    assert Protocol(name="common") == COMMON
    assert (COMMON.world.receptivity, COMMON.world.owners, COMMON.rollout.padding) == (
        "constant",
        "drop",
        "left",
    )
    assert OFFICIAL.metrics.model_dump() == {
        "rounds": (5, 10, 15, 20),
        "timing": "before",
        "hr": "first_targets",
        "rank_cut": 200,
    }
    assert (OFFICIAL.rollout.padding, OFFICIAL.rollout.exclude) == ("right", "shown")
    assert (PAPER.itmprec.guidance, PAPER.itmprec.tiac) == ("dot", "literal")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=re.escape("Protocol.nosie does not exist")):
        Protocol(name="x", nosie=1)


def test_users_of_common_never_follow_the_policy() -> None:
    world = COMMON.world.model_copy(update={"receptivity": "policy"})
    wanted = "receptivity must belong to the world in the protocol common, got 'policy'"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        Protocol(**{**COMMON.model_dump(), "world": world})


def test_changes_to_a_named_protocol_are_listed() -> None:
    rollout = OFFICIAL.rollout.model_copy(update={"n_rounds": 7})
    assert OFFICIAL.changes() == {}
    assert OFFICIAL.model_copy(update={"rollout": rollout}).changes() == {"rollout.n_rounds": 7}


def test_a_campaign_ends_with_nobodys_success_and_is_for_what_a_provider_wants() -> None:
    assert CAMPAIGN.world == COMMON.world.model_copy(update={"after_success": "continue"})
    assert (CAMPAIGN.worth, COMMON.worth) == (Worth(), Worth.named["only-interest"])
    assert CAMPAIGN.measured == MetricOptions(worth=Worth())
    for protocol in (COMMON, PAPER, OFFICIAL):
        assert protocol.measured == protocol.metrics  # as when runs were first named


@pytest.mark.parametrize(("protocol", "goes_on"), [(CAMPAIGN, True), (COMMON, False)])
def test_a_planner_is_told_what_the_protocol_is_for(protocol: Protocol, goes_on: bool) -> None:
    given = protocol.policy_defaults(ForesightOptions)
    assert given == {"worth": protocol.worth.model_dump(), "goes_on": goes_on}
    assert ForesightOptions(**given).worth == protocol.worth
