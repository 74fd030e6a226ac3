"""The form of a campaign: what it warns of, what it refuses, and what copies and drafts keep."""

from typing import Any

import pytest
from playwright.sync_api import expect

from proactrec.console.pages.new import Draft
from proactrec.errors import StoreError
from proactrec.serving.schemas import CampaignVersion
from proactrec.store.campaign import Campaign

from .browsing import Mouse, Visit, save_draft
from .conftest import Site

pytestmark = pytest.mark.slow
BRIEF = {"rounds": 1}
"""Whatever is saved is forecast, beside the tests."""


def called(at: Site, name: str) -> list[CampaignVersion]:
    """Campaigns of this name."""
    return [one for one in at.client.campaigns() if one.campaign.name == name]


def test_nothing_is_saved_before_its_warnings_were_seen(visit: Visit, at: Site) -> None:
    visit.let_in(at.key)
    visit.page.goto("/new")
    hands = Mouse(visit.page)
    hands.fill("Name of the campaign", "Warned")
    hands.fill("Only users of these groups", "glod")
    hands.press("Save as a draft")
    expect(visit.page.get_by_text("knows nobody of the audience")).to_be_visible()
    expect(visit.page.get_by_text("nobody in these groups: 'glod'")).to_be_visible()
    hands.fill("Only users of these groups", "glod, sliver")
    hands.press("Save anyway")  # it is another audience, which nobody was warned of
    expect(visit.page.get_by_text("nobody in these groups: 'glod', 'sliver'")).to_be_visible()
    assert called(at, "Warned") == []
    hands.press("Save anyway")
    visit.page.wait_for_url("**/campaigns/*")
    (made,) = called(at, "Warned")
    assert made.campaign.audience.groups == ("glod", "sliver")


def test_what_is_wrong_is_said_by_its_label_and_pointed_out(visit: Visit, at: Site) -> None:
    visit.let_in(at.key)
    page, hands = visit.page, Mouse(visit.page)
    page.goto("/new")
    name = page.get_by_label("Name of the campaign")
    hands.press("Save as a draft")
    expect(page.get_by_text("'Name of the campaign' must not be empty.")).to_be_visible()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_be_focused()
    name.fill("Wrong")
    expect(name).not_to_have_attribute("aria-invalid", "true")
    hands.unfold("More limits")
    hands.fill("Guided items in all", "-1")
    hands.unfold("More limits")  # fold it again
    hands.press("Save as a draft")
    rule = "'Guided items in all, at most' must be 0 or more, got -1."
    expect(page.get_by_text(rule)).to_be_visible()
    expect(page.get_by_label("Guided items in all")).to_be_focused()
    assert called(at, "Wrong") == []


def test_a_copy_keeps_what_there_is_no_field_for(visit: Visit, at: Site) -> None:
    said: dict[str, Any] = {"name": "Rich", "goal": {"items": ["i05", "i04"]}, "priority": 3}
    said |= BRIEF
    said |= {"audience": {"users": ["u01", "u02"], "except_groups": ["minors"], "least_items": 1}}
    said |= {"arms": [{"name": "a", "share": 0.25}, {"name": "b", "share": 0.75}]}
    said |= {"hold_out": 0.125, "measure": {"metric": "taken", "users": 500}}
    said |= {"rails": {"plain_share": 0.07, "pause_after": 2, "pause_rounds": 5, "item_cap": 4}}
    said |= {"budget": {"per_day": 50, "pacing": "even", "time_zone": "Europe/Berlin"}}
    said |= {"ramp": {"steps": [0.15, 1], "hold_hours": 48}, "guardrails": {"errors": 0.5}}
    made = at.client.create(Campaign(**said))
    visit.let_in(at.key)
    visit.page.goto(f"/new?from={made.id}")
    expect(visit.page.get_by_label("Name of the campaign")).to_have_value("Copy of Rich")
    expect(visit.page.get_by_label("Users who are held out")).to_have_value("12.5")
    save_draft(Mouse(visit.page))
    (copy,) = called(at, "Copy of Rich")
    assert copy.id != made.id
    assert copy.campaign == made.campaign.model_copy(update={"name": "Copy of Rich"})


def test_a_draft_is_edited_and_nothing_that_has_started(visit: Visit, at: Site) -> None:
    made = at.client.create(Campaign(**{"name": "Draft", "goal": {"category": "Drama"}, **BRIEF}))
    visit.let_in(at.key)
    visit.page.goto(f"/new?edit={made.id}")
    visit.page.get_by_label("Users who are held out").fill("30")
    save_draft(Mouse(visit.page))
    (edited,) = called(at, "Draft")
    assert (edited.id, edited.version) == (made.id, 2)
    assert edited.campaign == made.campaign.model_copy(update={"hold_out": 0.3})
    assert at.client.campaign(made.id).forecast is not None
    at.client.start(made.id, without_forecast="a test of drafts")
    visit.page.goto(f"/new?edit={made.id}")
    expect(visit.page.get_by_text("only what has not started is edited")).to_be_visible()
    expect(visit.page.get_by_role("link", name="Make a copy of it")).to_be_visible()
    at.client.stop(made.id, "others use the service too")


@pytest.mark.parametrize("lost", ["create", "forecast"])
def test_what_is_saved_again_is_the_same_draft(
    at: Site, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"Saved though {lost} failed"
    said = Campaign(**{"name": name, "goal": {"category": "Drama"}, **BRIEF})
    draft, call = Draft(), getattr(at.client, lost)

    def answered_by_nobody(*given: Any, **options: Any) -> None:
        call(*given, **options)
        raise StoreError("no answer came")

    with monkeypatch.context() as patch:
        patch.setattr(at.client, lost, answered_by_nobody)
        with pytest.raises(StoreError):
            draft.save(said, at.client)
    made = draft.save(said, at.client)
    assert draft.save(said.model_copy(update={"hold_out": 0.2}), at.client) == made
    (found,) = called(at, said.name)
    assert (found.id, found.version, found.campaign.hold_out) == (made, 2, 0.2)
