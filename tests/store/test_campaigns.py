"""Campaigns are made once, changed by versions, and never by two at once."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert

from proactrec.errors import CampaignStateError, InvalidInputError, UnknownIdError
from proactrec.store import campaigns
from proactrec.store.campaign import GOES_TO, HOLD_OUT, Arm, Audience, Campaign, Goal, Ramp, State
from proactrec.store.campaigns import Version
from proactrec.store.care import heads
from proactrec.store.database import Database, Hot
from proactrec.store.tables import JOBS
from proactrec.worth import ONLY_INTEREST

from ..conftest import kind as kind
from .shop import NOON, TENANT, begun, rows, said

WAYS = [(one, other) for one in GOES_TO for other in GOES_TO if one != other]


def made(database: Database, campaign: Campaign, key: str | None = None) -> Version:
    with database.writing() as connection:
        return campaigns.create(connection, TENANT, campaign, by="ada", at=NOON, request_key=key)


def changed(database: Database, version: Version, **change: object) -> Version:
    with database.writing() as connection:
        return campaigns.changed(connection, version, by="ada", at=NOON, reason="so", **change)


def reach(database: Database, state: State) -> Version:
    """A campaign in a state."""
    ways: dict[State, tuple[State, ...]] = {
        "draft": (),
        "running": ("running",),
        "paused": ("running", "paused"),
        "finished": ("running", "finished"),
        "stopped": ("stopped",),
    }
    version = made(database, said())
    for step in ways[state]:
        version = changed(database, version, state=step)
    return version


def test_a_campaign_is_read_as_it_was_said(database: Database) -> None:
    campaign = said(
        audience=Audience(groups=("new", "old"), least_items=3),
        arms=(Arm(name="a", share=0.25), Arm(name="b", policy="itmprec", share=0.75)),
        worth="only-interest",
        label="a maker of lamps",
        ramp=Ramp(steps=(0.01, 1)),
    )
    version = made(database, campaign)
    with database.reading() as connection:
        assert campaigns.current(connection, TENANT, version.campaign_id) == version
    assert version.said == campaign
    assert campaign.worth == ONLY_INTEREST
    assert campaign.label.on_behalf_of == "a maker of lamps"


def test_a_worth_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="worth must be one of provider, only-interest"):
        said(worth="riches")


@pytest.mark.parametrize(("state", "other"), WAYS, ids=str)
def test_a_state_becomes_only_what_it_may(database: Database, state: State, other: State) -> None:
    version = reach(database, state)
    if other in GOES_TO[state]:
        after = changed(database, version, state=other)
        assert (after.state, after.version) == (other, version.version + 1)
    else:
        sentence = f"campaign {version.campaign_id} is {state}: it can't become {other}"
        with pytest.raises(CampaignStateError, match=re.escape(sentence)):
            changed(database, version, state=other)


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_what_has_ended_is_not_changed(database: Database, state: State) -> None:
    with pytest.raises(CampaignStateError):
        changed(database, reach(database, state), said=said(name="other"))


def test_arms_of_a_campaign_that_has_begun_stay(database: Database) -> None:
    one, other, third = (Arm(name=name) for name in ("one", "other", "third"))
    draft = made(database, said(arms=(one, other)))
    draft = changed(database, draft, said=said(arms=(one, third)))
    version = changed(database, draft, state="running")
    sentence = "its arms can't go or be renamed, since users are assigned to them, got none named "
    for arms in ((one,), (one, other)):
        with pytest.raises(CampaignStateError, match=f"{sentence}'third'"):
            changed(database, version, said=said(arms=arms))
    version = changed(database, version, state="paused")
    with pytest.raises(CampaignStateError, match=sentence):
        changed(database, version, said=said(arms=(other,)))
    shares = [Arm(name=name, share=n) for name, n in (("third", 0.01), ("one", 0.9), ("x", 0.09))]
    version = changed(database, version, said=said(arms=shares))
    assert list(version.said.shares) == [HOLD_OUT, "third", "one", "x"]
    with pytest.raises(UnknownIdError, match="there is no arm 'other'"):
        version.said.arm("other")


def test_every_version_is_kept_with_its_reason(database: Database) -> None:
    first = made(database, said(ramp=Ramp(steps=(0.1, 0.5, 1))))
    second = changed(database, first, state="running", ramp_step=2)
    third = changed(database, second, said=said(name="fewer", ramp=Ramp(steps=(0.5, 1))))
    with database.reading() as connection:
        assert campaigns.history(connection, TENANT, first.campaign_id) == [first, second, third]
        hot = Hot(connection)
        assert heads(hot, TENANT) == ({first.campaign_id: 3, "~care": 0}, 0)
        assert heads(hot, "other") == ({"~care": 0}, 0)
    assert (third.ramp_step, third.share) == (1, 1.0)
    noted = rows(database, "SELECT what, about, by FROM audit ORDER BY seq")
    assert noted == [("campaign", first.campaign_id, "ada")] * 3


def test_of_two_who_change_a_campaign_at_once_one_is_told(database: Database) -> None:
    version = begun(database, said())

    def change(number: int) -> str:
        try:
            return changed(database, version, said=said(name=f"name {number}")).said.name
        except CampaignStateError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(change, range(4)))
    names = [one for one in told if one.startswith("name")]
    assert len(names) == 1
    assert sum("changed meanwhile" in one for one in told) == 3
    with database.reading() as connection:
        now = campaigns.current(connection, TENANT, version.campaign_id)
    assert (now.said.name, now.version) == (names[0], version.version + 1)


def test_a_request_that_is_repeated_makes_one_campaign(database: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: made(database, said(), "key"), range(8)))
    assert len({version.campaign_id for version in found}) == 1
    assert rows(database, "SELECT COUNT(*) FROM campaigns") == [(1,)]
    assert made(database, said()).campaign_id != made(database, said()).campaign_id


def test_users_turns_go_by_priority_then_age(database: Database) -> None:
    last, first, second = (
        made(database, said(name=name, priority=priority))
        for name, priority in (("last", 0), ("first", 2), ("second", 1))
    )
    with database.reading() as connection:
        found = campaigns.all_current(connection, TENANT)
        assert found == [first, second, last]
        assert campaigns.all_current(connection, "other") == []
        with pytest.raises(UnknownIdError, match="there is no campaign"):
            campaigns.current(connection, "other", first.campaign_id)


def test_a_forecast_is_of_what_a_campaign_says_in_any_state(database: Database) -> None:
    draft = made(database, said())
    running = draft._replace(state="running", version=2)
    other = draft._replace(said=said(name="other"))
    with database.writing() as connection:
        about = campaigns.about_forecast(draft)
        for at, state in enumerate(("failed", "done")):
            row = {"job_id": str(at), "kind": "forecast", "about": about, "given": "{}"}
            job = {**row, "tenant": TENANT, "state": state, "n_tries": 1, "made_at": at}
            connection.execute(insert(JOBS).values(job))
        assert campaigns.forecast_of(connection, running) == "done"
        assert campaigns.forecast_of(connection, other) is None


def test_arms_are_drawn_by_their_shares_and_the_ramp_only_grows() -> None:
    campaign = said(
        hold_out=0.2,
        arms=(Arm(name="a", share=0.25), Arm(name="b", share=0.75)),
        ramp=Ramp(steps=(0.1, 0.5, 1)),
    )
    version = Version(TENANT, "c", 1, "running", campaign, 0, "", "", NOON)
    users = [f"user {n}" for n in range(5000)]
    arms = [version.arm_of(user) for user in users]
    # five standard errors of 5,000 draws
    for name, share in ((HOLD_OUT, 0.2), ("a", 0.2), ("b", 0.6)):
        assert abs(arms.count(name) / 5000 - share) < 5 * (share * (1 - share) / 5000) ** 0.5
    reached = [
        {user for user in users if version._replace(ramp_step=step).is_reached(user)}
        for step in range(3)
    ]
    assert reached[0] < reached[1] < reached[2] == set(users)
    assert abs(len(reached[0]) / 5000 - 0.1) < 5 * (0.09 / 5000) ** 0.5
    of_reached = [version.arm_of(user) for user in reached[1]]
    assert abs(of_reached.count(HOLD_OUT) / len(of_reached) - 0.2) < 5 * (0.16 / 2500) ** 0.5
    other = version._replace(campaign_id="d")
    assert [other.arm_of(user) for user in users] != arms


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"goal": {}}, "goal needs items or category"),
        ({"goal": {"items": ["a"], "n_targets": 2}}, "goal.n_targets needs goal.category"),
        ({"audience": {}}, "audience needs everybody"),
        ({"arms": [{"name": HOLD_OUT}]}, "say hold_out instead"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "arms must have names of their own"),
        ({"arms": [{"name": "a", "share": 0.5}]}, "sum to 1"),
        ({"rails": {"rounds_per_day": 3, "daily_cap": 1}}, "rails.rounds_per_day is of simulated"),
        ({"budget": {"pacing": "even"}}, "budget.pacing even needs budget.per_day"),
        ({"budget": {"time_zone": "Mars/Base"}}, "budget.time_zone must be of the IANA list"),
        ({"ramp": {"steps": [0.5, 0.1]}}, "ramp.steps must increase"),
    ],
)
def test_a_campaign_that_makes_no_sense_is_refused(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        said(**options)


def test_a_campaign_needs_no_more_than_a_name_and_a_goal() -> None:
    campaign = Campaign(name="x", goal={"category": "lamps"})
    assert campaign.goal == Goal(category="lamps")
    assert campaign.shares == {HOLD_OUT: 0.1, "guided": 0.9}
    assert campaign.rails.of_journey.daily_cap is None


@pytest.mark.parametrize(
    "said",
    [
        {"offer_seconds": 2**62},
        {"answer_seconds": 10**9},
        {"measure": {"window_hours": 1e308}},
        {"ramp": {"hold_hours": 1e308}},
    ],
)
def test_times_are_such_as_clocks_can_reach(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="must be at most "):
        Campaign(**{"name": "x", "goal": {"items": ("i",)}, **said})
