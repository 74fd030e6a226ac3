"""All campaigns: what each is doing, how far it is, and what needs attention."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import Cell, attributes, box, link, note, table, text
from proactrec.console.frame import filled, page_of, shown
from proactrec.console.sessions import Session
from proactrec.serving.client import Client
from proactrec.serving.schemas import CampaignNow, CampaignVersion

MOST = 40
"""Campaigns of a page: each is asked for by itself."""
AT_A_TIME = 4
LOOK_SECONDS = 10.0
IN_ORDER = ("running", "paused", "draft", "finished", "stopped")
NEARLY = 0.9


class Seen(NamedTuple):
    """Campaigns of a page, and how many there are."""

    campaigns: list[CampaignNow]
    n_all: int


def build() -> None:
    """The page `/`."""

    @ui.page("/")
    async def overview(request: Request, start: int = 0) -> None:
        with page_of(request, "Overview") as session:
            if session is not None:
                await _page(session, max(0, start))


async def _page(session: Session, start: int) -> None:
    place = box()

    async def ask() -> Seen:
        return await session.ask(lambda client: seen(client, start))

    def show(found: Seen) -> None:
        _show(found, session, start)

    with place:
        await shown(ask, show, "Asking the service for its campaigns …")
    ui.timer(LOOK_SECONDS, lambda: filled(place, ask, show), immediate=False)


def seen(client: Client, start: int) -> Seen:
    """A page of campaigns as they are now, those that run first."""
    everything = sorted(client.campaigns(), key=_order)
    page = everything[start : start + MOST]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        found = list(threads.map(lambda one: client.campaign(one.id), page))
    return Seen(found, len(everything))


def _order(one: CampaignVersion) -> tuple[int, float]:
    return IN_ORDER.index(one.state), -one.at.timestamp()


def _show(found: Seen, session: Session, start: int) -> None:
    if not found.n_all:
        _nothing_yet(session)
        return
    urgent = [(one, why) for one in found.campaigns for why in attention(one)]
    if urgent:
        text("h2", "Needs attention")
        with box("ul"):
            for one, why in urgent:
                with box("li"):
                    link(one.campaign.name, f"/campaigns/{one.id}")
                    text("span", f": {why}")
    text("h2", "Campaigns")
    head = ("Campaign", "State", "Leads to", "#Users", "#Guided items", "#Accepted", "#Budget used")
    n = found.n_all
    told = f"{words.count(n)} campaigns, those that run first" if n > 1 else "One campaign"
    table(told, head, [_row(one) for one in found.campaigns])
    _pages(found, start)


def _nothing_yet(session: Session) -> None:
    note("There is no campaign yet.")
    text("p", "A campaign leads users toward items, in steps that they would accept anyway.")
    if session.may("operate"):
        link("Make the first campaign", "/new", "button")


def _pages(found: Seen, start: int) -> None:
    with box("p", "row-of"):
        if start:
            link("Earlier ones", f"/?start={max(0, start - MOST)}", "button second")
        if start + MOST < found.n_all:
            link("Further ones", f"/?start={start + MOST}", "button second")


def _row(one: CampaignNow) -> list[Cell]:
    arms = one.arms.values()
    answered, accepted = sum(arm.answered for arm in arms), sum(arm.accepted for arm in arms)
    return [
        lambda: link(one.campaign.name, f"/campaigns/{one.id}"),
        lambda: state(one),
        words.goal(one.campaign.goal),
        words.count(sum(arm.users for arm in arms)),
        words.count(sum(arm.guided for arm in arms)),
        words.share_of(accepted, answered),
        lambda: _budget(one),
    ]


def state(one: CampaignVersion) -> None:
    """A campaign's state, in a word."""
    kind = {"running": "good", "paused": "warn", "stopped": "bad"}.get(one.state, "soft")
    share = "" if one.share == 1 or one.state != "running" else f", {one.share:.0%} of its audience"
    text("span", words.STATES[one.state] + share, f"state {kind}")


def _budget(one: CampaignNow) -> None:
    total = one.campaign.budget.total
    if not total:
        text("span", "no limit")
        return
    used = one.budget_used.total / total
    text("span", f"{words.count(one.budget_used.total)} of {words.count(total)}")
    with attributes(box("span", "bar-of"), aria_hidden="true"):
        box("span").style(f"width: {min(100, 100 * used):.0f}%")


def attention(one: CampaignNow) -> list[str]:
    """What somebody should look at."""
    found = []
    guided = sum(arm.guided for arm in one.arms.values())
    decisions = sum(arm.decisions for arm in one.arms.values())
    if one.state == "draft":
        what = {None: "no forecast was made", "done": "its forecast is ready, look at it"}
        found.append(f"it has not started: {what.get(one.forecast, 'its forecast is being made')}")
    if one.state == "paused":
        found.append(f"it is paused by {words.who(one.by)}: {one.reason}")
    if one.state == "stopped" and one.by == "worker":
        found.append(f"a guardrail stopped it: {one.reason}")
    if one.state == "running" and decisions > 100 and not guided:
        found.append(f"nobody was guided in {words.count(decisions)} decisions")
    total = one.campaign.budget.total
    if one.state == "running" and total and one.budget_used.total >= NEARLY * total:
        found.append(f"{one.budget_used.total / total:.0%} of its budget is used")
    return found
