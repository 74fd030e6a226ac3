"""Every page: readable by all, in both themes; said plainly where there is nothing, or no way."""

import re
import time

import pytest
from playwright.sync_api import Browser, Page, expect

from proactrec.store.campaign import Campaign

from .browsing import COLOURS, Visit, violations
from .conftest import Shoppers, Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def campaign(at: Site) -> str:
    """One that runs, with users on their way."""
    said = {"name": "axe", "goal": {"category": "Drama"}, "rails": {"daily_cap": 100}}
    said |= {"explore": {"share": 0.2}, "hold_out": 0.2}
    made = at.client.create(Campaign(**said))
    at.client.start(made.id, without_forecast="a test of pages")
    end = time.monotonic() + 120
    with Shoppers(at):
        while sum(arm.answered for arm in at.client.campaign(made.id).arms.values()) <= 60:
            assert time.monotonic() < end, "nobody came"
            time.sleep(0.1)  # whoever asks without a pause leaves shoppers no room
    return made.id


def pages(campaign: str) -> dict[str, str]:
    """Paths, with what is there once all is loaded."""
    return {
        "/": "axe",
        "/new": "Where it leads",
        f"/campaigns/{campaign}": "Versions, and who changed what",
        "/users?id=u01": "What they were shown",
        "/policies": "Had another policy chosen",
        "/worlds": "What they would bring",
        "/operation": "Work beside it",
    }


def test_no_page_keeps_anybody_out(browser: Browser, at: Site, campaign: str) -> None:
    """Elements are the same in the dark, where only colours are looked at once more."""
    visit = Visit(browser, at.url)
    visit.page.emulate_media(reduced_motion="reduce")  # no colour is looked at half-way
    visit.page.goto("/sign-in")
    wrong = [("/sign-in", *one) for one in in_both_themes(visit)]
    visit.sign_in(at.key)
    for path, seen in pages(campaign).items():
        visit.page.goto(path)
        expect(visit.page.get_by_text(seen).first).to_be_visible()
        expect(visit.page.locator(".busy")).to_have_count(0)
        if path == "/new":
            visit.page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        wrong += [(path, *one) for one in in_both_themes(visit)]
    assert wrong == []
    assert visit.complaints == []
    assert visit.hosts == {"127.0.0.1"}
    visit.close()


def in_both_themes(visit: Visit) -> list[tuple[str, str]]:
    """What keeps people out: by all rules, then by that of colours in the dark."""
    found = violations(visit.page)
    visit.page.emulate_media(color_scheme="dark")
    expect(visit.page.locator("body")).to_have_css("color-scheme", "dark")
    found += violations(visit.page, COLOURS)
    visit.page.emulate_media(color_scheme="light")
    return found


def test_a_key_shows_and_does_what_its_scope_says(visit: Visit, at: Site, campaign: str) -> None:
    visit.sign_in(at.client.create_key("report").key)
    page = visit.page
    expect(page.get_by_role("link", name="New campaign")).to_have_count(0)
    page.goto("/new")
    expect(page.get_by_text("this page needs “operate”")).to_be_visible()
    page.goto(f"/campaigns/{campaign}")
    expect(page.get_by_role("heading", name="What it brought")).to_be_visible()
    expect(page.get_by_role("link", name="Report")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.goto("/operation")
    expect(page.get_by_text("are shown to keys with the scope “admin”")).to_be_visible()
    assert "Make a key" not in page.content()


def test_on_a_phone_the_bar_has_two_lines(browser: Browser, at: Site, campaign: str) -> None:
    visit = Visit(browser, at.url, 390)
    visit.let_in(at.key)
    page = visit.page
    page.goto(f"/campaigns/{campaign}")
    bar = page.locator("header.bar").bounding_box()
    theme, out = (
        page.get_by_role("button", name=name).bounding_box() for name in ("Theme", "Sign out")
    )
    assert bar is not None
    assert theme is not None
    assert out is not None
    assert bar["height"] < 110
    assert theme["y"] == pytest.approx(out["y"], abs=2)
    here = page.get_by_role("navigation").locator("[aria-current]")
    expect(here).to_have_text("Overview")  # the way to campaigns
    visit.close()


def test_who_reads_figures_keeps_their_place(visit: Visit, at: Site) -> None:
    visit.let_in(at.key)
    page = visit.page
    page.goto("/operation")
    page.get_by_text("All routes", exact=True).click()
    routes = page.get_by_role("region", name=re.compile("the most asked first"))
    expect(routes).to_be_visible()
    routes.focus()
    answers = page.locator("small", has_text="by the service's fault")
    before = answers.inner_text()
    expect(answers).not_to_have_text(before)  # the page's own questions are answers too
    expect(routes).to_be_focused()


def test_a_wrong_key_is_told_so_and_nobody_comes_in(visit: Visit, at: Site) -> None:
    page = visit.page
    page.goto("/operation")
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.get_by_label("Key of the service").fill("pr_wrong_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("this key is unknown")


def test_who_signs_out_is_out_in_all_tabs(visit: Visit, at: Site, campaign: str) -> None:
    visit.sign_in(at.key)
    page = visit.page
    other = page.context.new_page()
    other.goto("/operation")
    expect(other.get_by_role("button", name="Make a key")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    n_before = len(at.client.list_keys())
    other.get_by_role("button", name="Make a key").click()
    expect(other.get_by_text("You have signed out")).to_be_visible()
    assert len(at.client.list_keys()) == n_before
    page.goto("/operation")
    expect(page).to_have_url(re.compile("/sign-in$"))


def test_a_campaign_that_nobody_knows_is_said_to_be_unknown(visit: Visit, at: Site) -> None:
    visit.let_in(at.key)
    visit.page.goto("/campaigns/nobody-knows-it")
    expect(visit.page.get_by_text("nobody-knows-it")).to_be_visible()
    expect(visit.page.locator(".busy")).to_have_count(0)


def test_what_is_typed_survives_what_arrives_meanwhile(
    visit: Visit, at: Site, campaign: str
) -> None:
    visit.let_in(at.key)
    page = visit.page
    page.goto(f"/campaigns/{campaign}")
    page.get_by_role("button", name="Stop").click()
    page.get_by_label("Reason").fill("half a sentence")
    page.get_by_text("What these words mean").click()
    n_decisions = decisions(page)
    with Shoppers(at):
        expect(page.locator("dd span", has_text=n_decisions)).to_have_count(0)
    assert page.get_by_label("Reason").input_value() == "half a sentence"
    expect(page.get_by_text("An arm is one way of guiding")).to_be_visible()


def decisions(page: Page) -> re.Pattern[str]:
    """What the page says of them now."""
    found = page.locator("dt", has_text=re.compile("^Decisions$")).locator("xpath=../dd/span")
    return re.compile(f"^{found.inner_text()}$")


def test_a_key_is_made_shown_once_and_revoked(visit: Visit, at: Site) -> None:
    visit.let_in(at.key)
    page = visit.page
    page.goto("/operation")
    page.get_by_label("What the key is for").fill("a shop")
    page.get_by_role("button", name="Make a key").click()
    told = page.get_by_text("The key, shown this once")
    expect(told).to_be_visible()
    key = told.inner_text().split()[-1].rstrip(".")
    page.get_by_role("button", name="Revoke the key a shop").click()
    expect(page.get_by_text("The key is worthless now")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Make a key")).to_be_visible()
    assert key not in page.content()
    made = [one for one in at.client.list_keys() if one.name == "a shop"]
    assert [one.revoked_at is not None for one in made] == [True]


def test_a_user_is_erased_with_a_receipt_only_if_it_is_meant(
    visit: Visit, at: Site, campaign: str
) -> None:
    visit.let_in(at.key)
    page = visit.page
    page.goto("/users?id=u05")
    page.get_by_role("button", name="Erase the user").click()
    expect(page.get_by_text("Nothing was erased")).to_be_visible()
    page.get_by_label("To erase, type the id again").fill("u05")
    page.get_by_role("button", name="Erase the user").click()
    expect(page.get_by_text(re.compile("Erased. Receipt"))).to_be_visible()
    assert at.client.export("u05").decisions == ()
