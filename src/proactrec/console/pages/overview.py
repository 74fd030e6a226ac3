"""All campaigns: what each is doing, how far it is, and what needs attention."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import (
    Cell,
    Kept,
    Made,
    Table,
    attributes,
    box,
    link,
    linked,
    note,
    text,
)
from proactrec.console.frame import page_of, part
from proactrec.console.sessions import Session
from proactrec.serving.client import Client
from proactrec.serving.schemas import CampaignNow, CampaignVersion
from proactrec.store.campaign import HOLD_OUT, State

MOST = 40
"""Campaigns of a page: each is asked for by itself."""
AT_A_TIME = 4
LOOK_SECONDS = 10.0
IN_ORDER = ("running", "paused", "draft", "finished", "stopped")
NEARLY = 0.9
HEAD = (
    *("Campaign", "State", "Leads to", "#Users guided", "#Guided items"),
    *("#Accepted, guided", "#Budget used"),
)


class Seen(NamedTuple):
    """Campaigns of a page, and how many there are."""

    campaigns: list[CampaignNow]
    n_all: int


def build() -> None:
    """The page `/`."""

    @ui.page("/")
    async def overview(request: Request, start: int = 0) -> None:
        with page_of(request, "Overview", is_named=True) as session:
            if session is not None:
                _page(session, max(0, start))


def _page(session: Session, start: int) -> None:
    with box("div", "row-of"):
        text("h1", "Overview")
        if session.may("operate"):
            link("New campaign", "/new", "button")

    def build(found: Seen) -> Callable[[Seen], object] | None:
        if not found.n_all:
            _nothing_yet(session)
            return None
        campaigns = Campaigns(session.access.key_id, start)
        campaigns.show(found)
        return campaigns.show

    part("", lambda: session.ask(lambda client: seen(client, start)), build, LOOK_SECONDS)


def seen(client: Client, start: int) -> Seen:
    """A page of campaigns as they are now, those that run first."""
    everything = sorted(client.campaigns(), key=_order)
    page = everything[start : start + MOST]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        found = list(threads.map(lambda one: client.campaign(one.id), page))
    return Seen(found, len(everything))


def _order(one: CampaignVersion) -> tuple[int, float]:
    return IN_ORDER.index(one.state), -one.at.timestamp()


class Campaigns:
    """Those of a page: what changes is changed in its place.

    Parameters
    ----------
    own : str
        Id of the key of whoever looks.
    start : int
        How many come before those of this page.
    """

    def __init__(self, own: str, start: int) -> None:
        self._own, self._start = own, start
        self._urgent = Kept(_show_urgent)
        text("h2", "Campaigns")
        self._table = Table("Those that run first", HEAD)
        self._others = Kept(self._show_others)

    def show(self, found: Seen) -> None:
        """As they are now."""
        self._urgent.show(
            [
                (one.campaign.name, one.id, why)
                for one in found.campaigns
                for why in attention(one, self._own)
            ]
        )
        self._table.show(_row(one) for one in found.campaigns)
        self._others.show(found.n_all)

    def _show_others(self, n_all: int) -> None:
        if n_all > MOST:
            last = min(n_all, self._start + MOST)
            text("p", f"{self._start + 1} to {last} of {words.count(n_all)} campaigns.", "hint")
        with box("p", "row-of"):
            if self._start:
                link("Earlier ones", f"/?start={max(0, self._start - MOST)}", "button second")
            if self._start + MOST < n_all:
                link("Further ones", f"/?start={self._start + MOST}", "button second")


def _show_urgent(found: Sequence[tuple[str, str, str]]) -> None:
    if not found:
        return
    text("h2", "Needs attention")
    with box("ul"):
        for name, campaign_id, why in found:
            with box("li"):
                link(name, f"/campaigns/{campaign_id}")
                text("span", f" – {why}")


def _nothing_yet(session: Session) -> None:
    note("There is no campaign yet.")
    text("p", "A campaign leads users toward items, in steps that they would accept anyway.")
    if session.may("operate"):
        link("Make the first campaign", "/new", "button")


def _row(one: CampaignNow) -> list[Cell]:
    """Users who are held out are left out, as in the figures of the campaign's own page."""
    arms = [arm for name, arm in one.arms.items() if name != HOLD_OUT]
    answered, accepted = sum(arm.answered for arm in arms), sum(arm.accepted for arm in arms)
    return [
        linked(one.campaign.name, f"/campaigns/{one.id}"),
        Made(_state, (one.state, one.share)),
        words.goal(one.campaign.goal),
        words.count(sum(arm.users for arm in arms)),
        words.count(sum(arm.guided for arm in arms)),
        words.share_of(accepted, answered),
        Made(_budget, (one.budget_used.total, one.campaign.budget.total)),
    ]


def state(one: CampaignVersion) -> None:
    """A campaign's state, in a word."""
    _state(one.state, one.share)


def _state(state: State, share: float) -> None:
    kind = {"running": "good", "paused": "warn", "stopped": "bad"}.get(state, "soft")
    of_it = "" if share == 1 or state != "running" else f", {share:.0%} of its audience"
    text("span", words.STATES[state] + of_it, f"state {kind}")


def _budget(used: int | None, total: int | None) -> None:
    if used is None or not total:
        text("span", "no limit")
        return
    text("span", f"{words.count(used)} of {words.count(total)}")
    with attributes(box("span", "bar-of"), aria_hidden="true"):
        box("span").style(f"width: {min(100, 100 * used / total):.0f}%")


def attention(one: CampaignNow, own: str) -> list[str]:
    """What somebody should look at, whose key is `own`."""
    found = []
    guided = sum(arm.guided for arm in one.arms.values())
    decisions = sum(arm.decisions for arm in one.arms.values())
    if one.state == "draft":
        what = {
            None: "no forecast was made",
            "done": "its forecast is ready",
            "failed": "its forecast failed",
        }
        found.append(f"not started yet: {what.get(one.forecast, 'its forecast is being made')}")
    if one.state == "paused":
        found.append(f"it is paused by {words.who(one.by, own)}: {one.reason}")
    if one.state == "stopped" and one.by == "worker":
        found.append(f"a guardrail stopped it: {one.reason}")
    if one.state == "running" and decisions > 100 and not guided:
        found.append(f"nobody was guided in {words.count(decisions)} decisions")
    total, used = one.campaign.budget.total, one.budget_used.total or 0
    if one.state == "running" and total and used >= NEARLY * total:
        found.append(f"{used / total:.0%} of its budget is used")
    return found
