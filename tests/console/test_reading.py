"""What is read for people: figures, differences with their units, what needs attention."""

import asyncio
import inspect
import re
from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import HTTPConnection

from proactrec.console import words
from proactrec.console.figures import Chore, read
from proactrec.console.issuer import SignIns
from proactrec.console.options import ConsoleOptions
from proactrec.console.pages.brought import how_it_went
from proactrec.console.pages.live import steps
from proactrec.console.pages.overview import _row, attention
from proactrec.console.pages.service import CHORES, FIRST, findings
from proactrec.console.sessions import COOKIE, Session, Sessions
from proactrec.errors import InvalidInputError, UnknownKeyError
from proactrec.serving.brought import MeasurementNow
from proactrec.serving.client import Client
from proactrec.serving.looking import AccessNow
from proactrec.serving.routes.hot import HOT
from proactrec.serving.schemas import ArmCounts, BudgetUsed, CampaignNow
from proactrec.serving.words import figure
from proactrec.store.campaign import HOLD_OUT, Campaign
from proactrec.store.keys import Scope
from proactrec.store.people import EXPIRED, KINDS, LAPSED
from proactrec.worker import work

METRICS = """\
# TYPE proactrec_requests_total counter
proactrec_requests_total{method="GET",route="/a",status="200"} 8.0
proactrec_requests_total{method="GET",route="/a",status="503"} 2.0
# TYPE proactrec_request_seconds histogram
proactrec_request_seconds_bucket{le="0.01",route="/a"} 5.0
proactrec_request_seconds_bucket{le="0.1",route="/a"} 9.0
proactrec_request_seconds_bucket{le="+Inf",route="/a"} 10.0
proactrec_request_seconds_bucket{le="0.01",route="/b"} 0.0
proactrec_request_seconds_bucket{le="+Inf",route="/b"} 0.0
# TYPE proactrec_decisions_total counter
proactrec_decisions_total{because="",guided="true"} 7.0
proactrec_decisions_total{because="hold_out",guided="false"} 3.0
# TYPE proactrec_guide_instances gauge
proactrec_guide_instances{guide="g"} 2.0
proactrec_guide_instances{guide="old"} 0.0
# TYPE proactrec_store_out gauge
proactrec_store_out 1.0
"""


def test_figures_are_sums_and_bounds_within_which_requests_were() -> None:
    found = read(METRICS)
    assert (found.decisions, found.guided, found.errors, found.n_out) == (10, 7, 2, 1)
    assert (found.answers, found.makeshift) == (10, 0)
    assert found.guides == {"g": 2}
    (route,) = found.routes  # what nobody asked for is left out
    assert (route.route, route.n, route.median, route.p99) == ("/a", 10, 0.01, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"n_out": 1}, [("bad", "database: 1 of 2")]),
        ({"waiting": 1000.0}, []),
        ({"waiting": 1001.0}, [("bad", "1,001 requests wait")]),
        ({"errors": 2.0}, [("", "2 of 10 (20.0 %)")]),
        ({"makeshift": 3.0}, [("", "3 of 10")]),
        ({"chores": [Chore("settling", 9, 0), Chore("learning", 800, 0)]}, []),
        ({"chores": [Chore("settling", 121, 0)]}, [("bad", "“settling” is late")]),
        ({"chores": [Chore("learning", 901, 0)]}, [("bad", "“learning” is late")]),
        ({"chores": [Chore("jobs", None, 4)]}, [("bad", "failures: 4")]),
        ({"chores": [Chore("jobs", 1, 4)]}, [("", "failures: 4), and was done since")]),
        ({"n_out": 1, "errors": 2.0}, [("bad", "database"), ("", "5xx")]),
    ],
)
def test_what_is_not_well_is_said_first(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    well = read(METRICS)._replace(n_out=0, errors=0)
    found = findings(well._replace(**changes))
    assert [one.kind for one in found] == [kind for kind, _ in expected]
    for one, (_, part) in zip(found, expected, strict=True):
        assert part in one.sentence


def test_what_the_service_does_is_known_by_its_names() -> None:
    assert set(CHORES) == set(re.findall(r'Chore\("([^"]+)"', inspect.getsource(work)))
    assert list(FIRST) == [path for path, _ in HOT]
    assert set(words.EVENTS) == {*KINDS, EXPIRED, LAPSED}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ((), "offered"),
        (("accept", "impression"), "shown, accepted"),
        (("skip", "impression"), "shown, refused"),
        ((LAPSED, "impression"), "shown, no answer came in time"),
        (("another", "accept"), "accepted, another"),
    ],
)
def test_events_are_told_as_they_happen(reported: tuple[str, ...], expected: str) -> None:
    assert words.happened(reported) == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("7f", "you"),
        ("d0", "key d0"),
        ("oidc:ada", "ada"),
        ("worker", "the service itself"),
        ("command line", "the command line"),
    ],
)
def test_who_did_something_is_said_for_people(by: str, expected: str) -> None:
    assert words.who(by, "7f") == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("target", 0.0213, "+2.13 points"),
        ("taken", -0.5, "-0.500"),
        ("objections", 0, "+0.00 points"),
    ],
)
def test_differences_have_signs_and_units(name: str, value: float, expected: str) -> None:
    assert figure(name, value, signed=True) == expected


def brought(metric: str, *differences: float | None, sound: bool = True) -> MeasurementNow:
    """What arms brought; None: nothing is sure of it."""
    arms = [
        {
            "arm": f"arm {number}", "segment": None, "users": 9, "matured": 9, "sums": {},
            "verdict": "",
            "effects": {
                metric: {
                    "value": 1, "baseline": 1, "difference": difference or 0, "low": 0, "high": 0,
                    "kind": "final", "alpha": 0.05, "detectable": 1,
                    "shown": difference is not None,
                }
            },
        }
        for number, difference in enumerate(differences)
    ]  # fmt: skip
    return MeasurementNow.model_validate(
        {
            "campaign_id": "c", "version": 1, "at": datetime.now(UTC), "metric": metric,
            "window_hours": 1, "planned_users": None, "users": 9, "matured": 9,
            "compared_with": "hold-out", "kind": "final", "arms": arms, "verdict": "so",
            "sample_ratio": {"p_value": 1, "sound": sound, "epochs": []},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "how"),
    [
        (brought("target", 0.1), "good"),
        (brought("target", -0.1), "bad"),
        (brought("target", 0.1, -0.1), "bad"),
        (brought("target", 0.1, None), "good"),
        (brought("target", None), ""),
        (brought("objections", 0.1), "bad"),
        (brought("objections", -0.1), "good"),
        (brought("target", 0.1, sound=False), "bad"),
    ],
)
def test_harm_never_looks_like_success(found: MeasurementNow, how: str) -> None:
    assert how_it_went(found) == how


def test_hours_and_days_without_anything_are_there() -> None:
    begin = datetime(2026, 7, 1, 22, tzinfo=UTC)
    assert steps(begin, begin.replace(hour=22), "hour") == [begin]
    hours = steps(begin, datetime(2026, 7, 2, 2, tzinfo=UTC), "hour")
    assert [one.hour for one in hours] == [22, 23, 0, 1, 2]
    assert [one.day for one in steps(datetime(2026, 10, 24), datetime(2026, 10, 27), "day")] == [
        24, 25, 26, 27,
    ]  # fmt: skip


def test_times_are_of_a_zone() -> None:
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert words.when(at, ZoneInfo("Europe/Berlin")) == "2026-07-02 00:30"
    assert words.when(None, ZoneInfo("UTC")) == "–"


def now(state: str, by: str = "d0", forecast: str | None = None, **changes: Any) -> CampaignNow:
    said = {"name": "c", "goal": {"category": "Drama"}, "budget": {"total": 100}}
    return CampaignNow(
        id="c",
        version=1,
        state=state,  # type: ignore[arg-type]
        share=1,
        reason="why",
        by=by,
        at=datetime.now(UTC),
        campaign=Campaign(**said),
        forecast=forecast,
        arms={"guided": ArmCounts(decisions=200, guided=changes.pop("guided", 5))},
        budget_used=BudgetUsed(total=changes.pop("used", 0), today=0),
        apprentice=None,
        counted_at=datetime.now(UTC),
        **changes,
    )


@pytest.mark.parametrize(
    ("campaign", "why"),
    [
        (now("running"), []),
        (now("finished"), []),
        (now("running", guided=0), ["nobody was guided"]),
        (now("running", used=95), ["95% of its budget is used"]),
        (now("paused"), ["paused by key d0: why"]),
        (now("paused", by="7f"), ["paused by you: why"]),
        (now("stopped", by="worker"), ["a guardrail stopped it: why"]),
        (now("stopped"), []),
        (now("draft"), ["no forecast was made"]),
        (now("draft", forecast="done"), ["its forecast is ready"]),
        (now("draft", forecast="working"), ["is being made"]),
        (now("draft", forecast="failed"), ["forecast failed"]),
    ],
)
def test_what_needs_attention_is_said(campaign: CampaignNow, why: list[str]) -> None:
    found = attention(campaign, "7f")
    assert len(found) == len(why)
    for sentence, part in zip(found, why, strict=True):
        assert part in sentence


def test_figures_of_campaigns_leave_out_who_is_held_out() -> None:
    guided = ArmCounts(users=8, decisions=20, guided=5, answered=4, accepted=3)
    out = ArmCounts(users=2, decisions=9, answered=6, accepted=6)
    arms = {"a": guided, "b": guided, HOLD_OUT: out}
    row = _row(now("running").model_copy(update={"arms": arms}))
    assert row[3:6] == ["16", "10", "75.0 %"]
    assert row == _row(now("running").model_copy(update={"arms": arms}))  # nothing is built anew


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"api": "localhost:8080"}, "must begin with http"),
        ({"api": "http://a", "oidc_issuer": "https://i"}, "given together"),
        ({"api": "http://a", "idle_minutes": 0}, "idle_minutes"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        ConsoleOptions(**values)


def signed_in(sessions: Sessions, number: str, scope: Scope = "operate") -> Session:
    access = AccessNow(tenant="t", key_id="k", scope=scope, name=None)
    client = Client("http://127.0.0.1:9", "key")
    session = Session(client, access, ZoneInfo("UTC"), idle_seconds=60)
    sessions._by_number[number] = session
    return session


def asks(number: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"cookie", f"{COOKIE}={number}".encode())]})


def test_who_was_away_too_long_is_nobody() -> None:
    sessions = Sessions(ConsoleOptions(api="http://a", idle_minutes=1))
    session = signed_in(sessions, "7")
    assert sessions.of(asks("7")) is session
    assert sessions.of(asks("8")) is None
    session.used_at -= 61
    session.touch()
    assert sessions.of(asks("7")) is None
    with pytest.raises(UnknownKeyError, match="away for long"):
        asyncio.run(session.ask(lambda client: client.access()))


def test_what_asks_by_itself_is_nobody_who_is_there() -> None:
    session = signed_in(Sessions(ConsoleOptions(api="http://a")), "7")
    session.used_at -= 30
    before = session.used_at
    assert asyncio.run(session.ask(lambda _: "an answer")) == "an answer"
    assert session.used_at == before
    session.touch()
    assert session.used_at > before


@pytest.mark.parametrize(
    ("scope", "reaches"),
    [
        ("decide", (True, False, False, False)),
        ("report", (False, True, False, False)),
        ("operate", (True, True, True, False)),
        ("admin", (True, True, True, True)),
    ],
)
def test_scopes_reach_as_far_as_the_service_says(scope: Scope, reaches: tuple[bool, ...]) -> None:
    session = signed_in(Sessions(ConsoleOptions(api="http://a")), "7", scope)
    assert tuple(session.may(one) for one in get_args(Scope)) == reaches


def test_a_sign_in_that_nobody_began_is_refused() -> None:
    with pytest.raises(UnknownKeyError, match="has expired"):
        SignIns("http://127.0.0.1:9", "console").end("state", "code", "back")
