"""A campaign is chosen, on pages that are about one; what the items of one are called."""

from collections.abc import Sequence
from typing import NamedTuple

from proactrec.console.elements import Field, attributes, box, link, note, text
from proactrec.serving.client import Client
from proactrec.serving.schemas import CampaignVersion
from proactrec.serving.studies import PolicySeen

MOST_TITLES = 200
"""Items whose titles are asked for at once."""


class Seen(NamedTuple):
    """What such a page is about."""

    campaigns: Sequence[CampaignVersion]
    policies: Sequence[PolicySeen]


def seen(client: Client) -> Seen:
    """Campaigns and policies."""
    return Seen(client.campaigns(), client.policies())


def chosen(
    campaigns: Sequence[CampaignVersion], campaign_id: str, path: str
) -> CampaignVersion | None:
    """Which one, by the page's address; the first one where it says none; None: there is none."""
    if not campaigns:
        note("There is no campaign yet.")
        link("Make the first campaign", "/new", "button")
        return None
    by_id = {one.id: one for one in campaigns}
    found = by_id.get(campaign_id, campaigns[0])
    choices = {one.id: f"{one.campaign.name} ({one.state})" for one in campaigns}
    with attributes(box("form", "row-of"), method="get", action=path):
        field = Field("Campaign", found.id, choices=choices)
        attributes(field.element, name="campaign")
        attributes(text("button", "Show", "act second"), type="submit")
    return found


def titles_of(client: Client, ids: Sequence[str]) -> dict[str, str]:
    """What items are called, by id, as far as that is known."""
    items = client.find_items(ids=ids, limit=MOST_TITLES).items if ids else ()
    return {one.item_id: one.title or one.item_id for one in items}
