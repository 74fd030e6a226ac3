"""A campaign is made, copied or edited: from a goal to a draft whose forecast is on its way."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request
from nicegui import ui

from proactrec.config import digest
from proactrec.console import words
from proactrec.console.elements import attributes, box, button, link, note, table, text
from proactrec.console.frame import filled, page_of, problem, shown
from proactrec.console.pages.choosing import MOST_TITLES, titles_of
from proactrec.console.pages.form_campaign import Form, beginning
from proactrec.console.pages.form_values import read
from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError
from proactrec.serving.client import Client
from proactrec.serving.looking import CategorySeen, GoalLook
from proactrec.serving.schemas import CampaignVersion
from proactrec.serving.studies import PolicySeen
from proactrec.store.campaign import Campaign

MOST_NAME = 200
WHY = "edited in the console"


def build() -> None:
    """The page `/new`; `?from=ID` begins with what a campaign says, `?edit=ID` changes a draft."""

    @ui.page("/new")
    async def new(request: Request) -> None:
        edited, copied = (request.query_params.get(name, "") for name in ("edit", "from"))
        with page_of(request, "Edit a draft" if edited else "New campaign", "operate") as session:
            if session is not None:
                text(
                    "p",
                    "Say where users are led, who takes part, and which limits hold. Nobody is "
                    "guided before you have seen a forecast and start it.",
                )
                await shown(
                    lambda: session.ask(lambda client: seen(client, edited or copied)),
                    lambda found: _page(session, found, edits=bool(edited)),
                    "Reading the guide …",
                )


class Seen(NamedTuple):
    """What there is to choose from, and what it begins with."""

    categories: Sequence[CategorySeen]
    policies: Sequence[PolicySeen]
    given: CampaignVersion | None
    titles: dict[str, str]  # of the items of its goal, by id


def seen(client: Client, campaign_id: str) -> Seen:
    """What the guide has, and a campaign if one is named."""
    given = client.campaign(quote(campaign_id, safe="")) if campaign_id else None
    ids = given.campaign.goal.items[:MOST_TITLES] if given is not None else ()
    return Seen(client.categories(), client.policies(), given, titles_of(client, ids))


def _page(session: Session, found: Seen, *, edits: bool) -> None:
    given = found.given
    if given is None:
        said = beginning(found.categories, str(session.zone))
    elif edits and given.state != "draft":
        note(f"This campaign is {words.STATES[given.state]}: only what has not started is edited.")
        link("Make a copy of it", f"/new?from={given.id}", "button")
        return
    else:
        text("p", "What there is no field for stays as it is in the campaign that it comes from.")
        name = given.campaign.name if edits else f"Copy of {given.campaign.name}"[:MOST_NAME]
        said = given.campaign.model_copy(update={"name": name})
    form = Form(session, said, found.titles, found.categories, found.policies)
    Steps(session, form, Draft(given if edits else None))


class Draft:
    """What is saved of a form: saved again, it is changed, and no second one is made.

    Parameters
    ----------
    made : CampaignVersion, optional
        The draft that is edited; a new one is made by default.
    """

    def __init__(self, made: CampaignVersion | None = None) -> None:
        self._made = made
        self._number = secrets.token_hex(8)

    def save(self, said: Campaign, client: Client) -> str:
        """Let it say this, and let its forecast be made: its id."""
        if self._made is None:
            # What is pressed twice, or sent again as no answer came, is the same request.
            key = f"{self._number}-{digest(said.model_dump(mode='json'))}"
            made = client.create(said, request_key=key)
        else:
            made = client.change(self._made.id, said, WHY, version=self._made.version)
        self._made = made
        client.forecast(made.id)
        return made.id


class Steps:
    """What can be done with the form: look where it leads, and save it."""

    def __init__(self, session: Session, form: Form, draft: Draft) -> None:
        self._session, self._form, self._draft = session, form, draft
        with box("div", "row-of"):
            button("Look at targets and audience", self._look, "second")
            button("Save as a draft and forecast it", self._save)
        self._told = attributes(box(), aria_live="polite")

    async def _look(self) -> None:
        said = read(self._form.said, self._told)
        if said is not None:
            await filled(self._told, partial(self._looked, said), _show_look)

    async def _looked(self, said: Campaign) -> GoalLook:
        return await self._session.ask(lambda client: client.look(said))

    async def _save(self, warned_of: Campaign | None = None) -> None:
        """Save what the form says, once all that is to be minded of it was shown."""
        said = read(self._form.said, self._told)
        if said is None:
            return
        warnings: tuple[str, ...] = ()
        try:
            if said != warned_of:
                warnings = (await self._looked(said)).warnings
            made = None if warnings else await self._session.ask(partial(self._draft.save, said))
        except ProactrecError as error:
            self._told.clear()
            with self._told:
                problem(error)
            return
        self._told.clear()
        with self._told:
            if made is not None:
                ui.navigate.to(f"/campaigns/{made}")
                return
            _show_warnings(warnings)
            button("Save anyway", partial(self._save, said))


def _show_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        note(f"{words.headed(warning)}.")


def _show_look(found: GoalLook) -> None:
    _show_warnings(found.warnings)
    text(
        "p",
        f"{words.count(found.n_targets)} targets; the guide knows "
        f"{words.count(found.audience_known)} users of this audience.",
    )
    rows = [
        [one.item.title or one.item.item_id, words.percent(one.share_who_have_it), one.reason]
        for one in found.targets
    ]
    table("Targets, the first ones", ("Item", "#Users who have it", "Why"), rows)
