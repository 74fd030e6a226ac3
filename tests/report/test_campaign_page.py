"""The page of a campaign: whole by itself, escaped, and with what must be on it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proactrec.report.campaign_page import campaign_page
from proactrec.report.time_lines import BOTTOM, LEFT, RIGHT, TOP, Line, figure
from proactrec.serving.brought import (
    ArmMeasured,
    EffectNow,
    MeasurementNow,
    SampleRatio,
)
from proactrec.serving.courses import Course, CourseBin, Share
from proactrec.serving.schemas import BudgetUsed, CampaignNow, CampaignVersion
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.campaign import Campaign

from .test_html import Page

HOSTILE = "<script>alert('x')</script> & $co$t"
MAY = datetime(2026, 5, 1, 10, tzinfo=UTC)


def version(number: int, **more: Any) -> dict[str, Any]:
    said = {
        "name": HOSTILE,
        "goal": {"category": HOSTILE},
        "budget": {"total": 1000, "time_zone": "Asia/Tokyo"},
        "arms": ({"name": HOSTILE},),
        "audience": {"users": ("secret user", "another")},
        **more,
    }
    return {
        "id": "c1",
        "version": number,
        "state": "running",
        "share": 1.0,
        "reason": HOSTILE,
        "by": HOSTILE,
        "at": MAY,
        "campaign": Campaign(**said),  # type: ignore[arg-type]
    }


def effect(*, shown: bool) -> EffectNow:
    return EffectNow(
        value=0.25,
        baseline=0.2,
        difference=0.05,
        low=0.01,
        high=0.09,
        kind="sequence",
        alpha=0.05,
        detectable=0.02,
        shown=shown,
    )


@pytest.fixture
def parts() -> dict[str, Any]:
    arms = {
        "hold-out": {"users": 10, "decisions": 40, "not_guided_because": {"hold_out": 40}},
        HOSTILE: {
            "users": 90,
            "decisions": 1360,
            "guided": 1340,
            "answered": 1200,
            "accepted": 480,
            "not_guided_because": {"daily_cap": 15, "of another version": 5},
        },
    }
    now = CampaignNow.model_validate(
        {
            **version(2),
            "forecast": None,
            "arms": arms,
            "budget_used": BudgetUsed(total=400, today=None),
            "apprentice": {"decisions": 8, "agreed": 3},
            "counted_at": MAY,
        }
    )
    counts = {"decisions": 20, "guided": 18, "answered": 16, "accepted": 8, "users": 3}
    counts |= {"guided_answered": 16, "guided_accepted": 8, "targets_accepted": 1}
    bins = tuple(
        CourseBin(at=MAY + timedelta(hours=n), arm=arm, **counts) for n in range(3) for arm in arms
    )
    share = Share(n=1200, k=480, value=0.4, low=0.35, high=0.45)
    course = Course(by="hour", since=MAY, bins=bins, arms={HOSTILE: share}, kept_at=MAY)
    measured = [
        ArmMeasured(
            arm=arm,
            segment=segment,
            users=90,
            matured=60,
            sums={},
            effects={"target": effect(shown=True), "taken": effect(shown=False)} if segment else {},
            verdict=HOSTILE,
        )
        for arm, segment in (("hold-out", None), (HOSTILE, HOSTILE))
    ]
    brought = MeasurementNow(
        campaign_id="c1",
        version=2,
        at=MAY,
        metric="target",
        window_hours=168,
        planned_users=500,
        users=100,
        matured=70,
        compared_with="hold-out",
        kind="sequence",
        sample_ratio=SampleRatio(p_value=0.5, sound=True, epochs=()),
        arms=tuple(measured),
        verdict=HOSTILE,
    )
    versions = [
        CampaignVersion(**version(1, budget={"total": 900, "time_zone": "Asia/Tokyo"})),
        CampaignVersion(**version(2)),
    ]
    return {"now": now, "course": course, "brought": brought, "versions": versions}


def test_page_tells_what_happened_and_loads_nothing(parts: dict[str, Any]) -> None:
    text = campaign_page(**parts)
    page = Page(text)
    assert page.links == []
    assert "http" not in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(") > 10
    assert page.tags.count("svg") == 2
    for expected in (
        "2026-05-01 19:00 JST",  # in the campaign's time zone
        "400 of 1,000",
        "without a limit",
        "1,360",
        "40.0\u00a0%",
        "35.0\u00a0% to 45.0\u00a0%",
        "+0.01 to +0.09",
        "agreed with the caller in <b>3</b> of 8",
        "of another version",
        NOT_GUIDED["daily_cap"],
        "budget.total: 900 → 1000",
        "70 of 100 are measured; the planned end is at 500",
        "168 hours",
    ):
        assert expected in text, expected
    assert text.index(NOT_GUIDED["hold_out"]) < text.index(NOT_GUIDED["daily_cap"])
    assert text.count("not shown") == 1


def test_no_user_is_named(parts: dict[str, Any]) -> None:
    text = campaign_page(**parts)
    assert "secret user" not in text
    assert "2, not named here" in text


def test_no_share_is_drawn_of_few_answers(parts: dict[str, Any]) -> None:
    course = parts["course"]
    few = tuple(one.model_copy(update={"answered": 9}) for one in course.bins)
    text = campaign_page(**{**parts, "course": course.model_copy(update={"bins": few})})
    assert Page(text).tags.count("svg") == 1
    assert "Decisions, by hour" in text


def test_what_is_not_known_is_left_out(parts: dict[str, Any]) -> None:
    nothing = Course(by="hour", since=None, bins=(), arms={}, kept_at=MAY)
    now = parts["now"].model_copy(update={"apprentice": None, "arms": {}})
    text = campaign_page(**{**parts, "course": nothing, "now": now})
    Page(text)
    assert "<svg" not in text
    assert "Why users were not guided" not in text
    assert "agreed with the caller" not in text


def test_lines_reach_from_zero_to_a_round_number() -> None:
    values = [(MAY, 0.0), (MAY + timedelta(days=1), 0.43), (MAY + timedelta(days=2), 0.1)]
    drawn = figure("t", "c", [Line("a", values), Line("b", [])], by_day=True, is_share=True)
    assert drawn is not None
    assert [text for _, text in drawn.heights] == [f"{n}\u00a0%" for n in range(0, 60, 10)]
    assert [text for _, text in drawn.times] == ["01 May", "02 May", "03 May"]
    first, second, third = drawn.lines[0].dots
    assert first == (LEFT, BOTTOM)
    assert second == ((LEFT + RIGHT) / 2, round(BOTTOM - (BOTTOM - TOP) * 0.43 / 0.5, 1))
    assert third[0] == RIGHT
    assert drawn.lines[0].path.startswith(f"M{LEFT}.0 {BOTTOM}.0 L")
    assert drawn.lines[1].path == ""
    one = figure("t", "c", [Line("a", [(MAY, 1234.0)])], by_day=False, is_share=False)
    assert one is not None
    assert (one.times, one.heights[-1]) == ([(LEFT, "10:00")], (TOP, "2,500"))
    assert figure("t", "c", [Line("a", [])], by_day=True, is_share=True) is None
