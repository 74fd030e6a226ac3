"""One campaign: its forecast before it starts, what it does and brought, and how it is stopped."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fastapi import Request
from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from proactrec.console import words
from proactrec.console.elements import (
    Cell,
    Field,
    attributes,
    box,
    button,
    enable,
    link,
    linked,
    note,
    table,
    text,
)
from proactrec.console.frame import filled, page_of, part, problem, shown
from proactrec.console.pages.brought import Brought
from proactrec.console.pages.choosing import MOST_TITLES, titles_of
from proactrec.console.pages.forecast import show_forecast, show_prices
from proactrec.console.pages.jobs import Job, Show, Work
from proactrec.console.pages.live import LAST, Live
from proactrec.console.pages.overview import state
from proactrec.console.pages.users import user_link
from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError, UnknownKeyError
from proactrec.serving.brought import MeasurementNow
from proactrec.serving.client import Client
from proactrec.serving.courses import Course
from proactrec.serving.schemas import CampaignNow, CampaignVersion, Journeys

LIVE_SECONDS, BROUGHT_SECONDS = 5.0, 60.0
MOST_JOURNEYS = 20
GOES_ON = ("draft", "running", "paused")


class Step(NamedTuple):
    """What is done with a campaign that needs a reason."""

    name: str
    means: str


PAUSE = Step("Pause it", "Nobody is guided from the next decision on, until it goes on.")
STOP = Step(
    "Stop it for good",
    "Nobody is guided from the next decision on, and it can't be started again. What it brought is "
    "still measured.",
)


class Seen(NamedTuple):
    """A campaign as it is now, and how it went."""

    now: CampaignNow
    course: Course
    titles: dict[str, str]  # of the items that it leads to


def build() -> None:
    """The page `/campaigns/ID`."""

    @ui.page("/campaigns/{campaign_id}")
    async def campaign(request: Request, campaign_id: str) -> None:
        with page_of(request, "Campaign", is_named=True) as session:
            if session is not None:
                await shown(
                    lambda: session.ask(lambda client: seen(client, campaign_id)),
                    lambda found: Page(session, found),
                    "Counting what happened …",
                )


def seen(client: Client, campaign_id: str) -> Seen:
    """What the first look tells."""
    now = client.campaign(campaign_id)
    titles = titles_of(client, now.campaign.goal.items[: words.MOST_NAMED])
    return Seen(now, client.course(campaign_id), titles)


class Page:
    """Parts of the page, each of which is asked for again at its own pace."""

    def __init__(self, session: Session, found: Seen) -> None:
        self._session, self._id = session, found.now.id
        self._state = found.now.state
        self._waiting: tuple[Element, TextElement] | None = None  # Start, and why it can't be yet
        self._head(found)
        if found.now.state == "draft":
            self._forecast()
            self._prices()
        else:
            self._brought()
        text("h2", "What happens")
        self._live = Live(session.zone, self._look)
        self._live.show(found.now, found.course)
        ui.timer(LIVE_SECONDS, self._look, immediate=False)
        if found.now.state != "draft":
            self._journeys()
            self._foretold()
        self._said(found.now)
        self._versions()

    def _head(self, found: Seen) -> None:
        now = found.now
        text("h1", now.campaign.name)
        with box("p"):
            state(now)
        ui.page_title(f"{now.campaign.name} · proactrec")
        with box("p"):
            text("span", f"Leads {words.audience(now.campaign.audience)} to ")
            text("span", f"{words.goal(now.campaign.goal, found.titles)}. ")
            at = words.when(now.at, self._session.zone)
            text("span", f"Last change: {now.reason}, {at}, {self._who(now.by)}.", "soft")
        with attributes(box("section"), aria_label="What can be done with it"):
            with box("div", "row-of"):
                if self._session.may("operate"):
                    self._steps(now)
                link("Report (HTML)", f"/download/campaigns/{self._id}.html", "button second")
            self._done = attributes(box(), aria_live="polite")

    def _steps(self, now: CampaignNow) -> None:
        """Start, pause and stop; the last two with a reason, which everybody sees."""
        if now.state in ("draft", "paused"):
            name = "Start" if now.state == "draft" else "Go on"
            start = button(name, lambda: self._do(lambda c: c.start(self._id)))
            if now.state == "draft" and now.forecast != "done":
                enable(start, on=False)
                self._waiting = start, text("span", "once its forecast is there", "hint")
        if now.state == "running":
            button(
                "Pause", lambda: self._ask_why(PAUSE, lambda c, r: c.pause(self._id, r)), "second"
            )
        if now.state in GOES_ON:
            button("Stop", lambda: self._ask_why(STOP, lambda c, r: c.stop(self._id, r)), "danger")
        if now.state == "draft":
            link("Edit", f"/new?edit={self._id}", "button second")
        link("Copy", f"/new?from={self._id}", "button second")

    def _ask_why(self, step: Step, do: Callable[[Client, str], CampaignVersion]) -> None:
        """What the step means, and the reason for it."""
        self._done.clear()
        with self._done, attributes(box("fieldset"), aria_label=step.name):
            text("p", step.means)
            why = Field("Reason", hint="Kept with the version, for whoever asks.")
            said = attributes(box(), aria_live="polite")

            async def decided() -> None:
                reason = why.value.strip()
                if reason:
                    await self._do(lambda client: do(client, reason))
                    return
                said.clear()
                with said:
                    note("Say why: the reason is kept with the version.", "bad")

            with box("div", "row-of"):
                button(step.name, decided, "danger")
                button("Leave it as it is", self._done.clear, "second")
        ui.run_javascript(f"document.getElementById('{why.element.html_id}').focus()")

    async def _do(self, do: Callable[[Client], CampaignVersion]) -> None:
        try:
            await self._session.ask(do)
        except ProactrecError as error:
            self._done.clear()
            with self._done:
                problem(error)
            return
        ui.navigate.reload()

    async def _look(self) -> None:
        """Everything that moves; a new state is another page."""
        try:
            found = await self._session.ask(self._now)
        except UnknownKeyError:
            ui.navigate.to("/sign-in")
            return
        except ProactrecError:
            return  # the figures stay, with the time at which they were counted
        if found.now.state != self._state:
            ui.navigate.reload()
            return
        self._live.show(found.now, found.course)
        if self._waiting is not None and found.now.forecast == "done":
            start, why = self._waiting
            enable(start, on=True)
            why.set_text("")

    def _now(self, client: Client) -> Seen:
        by = self._live.by
        return Seen(client.campaign(self._id), client.course(self._id, by, LAST[by]), {})

    def _who(self, by: str) -> str:
        return words.who(by, self._session.access.key_id)

    def _brought(self) -> None:
        def build(found: MeasurementNow) -> Callable[[MeasurementNow], None]:
            brought = Brought(self._session.zone)
            brought.show(found)
            return brought.show

        def ask() -> Awaitable[MeasurementNow]:
            return self._session.ask(lambda client: client.measurement(self._id))

        part("What it brought", ask, build, BROUGHT_SECONDS)

    def _versions(self) -> None:
        def ask() -> Awaitable[tuple[CampaignVersion, ...]]:
            return self._session.ask(lambda client: client.versions(self._id))

        part("Versions, and who changed what", ask, self._show_versions)

    def _show_versions(self, found: tuple[CampaignVersion, ...]) -> None:
        rows = [
            [
                f"{one.version}",
                words.STATES[one.state],
                words.percent(one.share, 0),
                words.when(one.at, self._session.zone),
                self._who(one.by),
                one.reason,
            ]
            for one in reversed(found)
        ]
        head = ("#Version", "State", "#Of its audience", "When", "Who", "Why")
        table("The newest first", head, rows)

    def _foretold(self) -> None:
        """The forecast, once somebody unfolds it: charts can't be drawn where nobody sees them."""
        with box("details") as folded:
            text("summary", "What was foretold")
            place = box()

        def unfold() -> None:
            if not place.default_slot.children:
                with place:
                    self._forecast()

        folded.on("toggle", unfold, [])

    def _forecast(self) -> None:
        self._job(
            "Forecast",
            "What is going to happen, by simulated users in many plausible worlds. A campaign "
            "starts once it is there.",
            lambda: self._session.ask(lambda client: client.forecast_seen(self._id)),
            lambda: self._session.ask(lambda client: client.forecast(self._id)),
            show_forecast,
        )

    def _prices(self) -> None:
        self._job(
            "What the rails cost",
            "Each rail is taken away in turn, in the same worlds: what would be gained without it.",
            lambda: self._session.ask(lambda client: client.study_seen(self._id, "rails")),
            lambda: self._session.ask(lambda client: client.study(self._id, "rails")),
            show_prices,
        )

    def _job(
        self,
        title: str,
        about: str,
        ask: Callable[[], Awaitable[Job | None]],
        begin: Callable[[], Awaitable[object]],
        show: Show,
    ) -> None:
        text("h2", title)
        text("p", about)
        may_begin = self._session.may("operate")
        Work(attributes(box(), aria_live="polite"), ask, begin if may_begin else None, show)

    def _journeys(self) -> None:
        text("h2", "Users on their way")
        journeys = Paged(self._session, self._id)
        ui.timer(0.1, journeys.look, once=True)

    def _said(self, now: CampaignNow) -> None:
        said = now.campaign
        text("h2", "What it says")
        rails = said.rails.model_dump(exclude_defaults=True)
        with box("ul"):
            for name, value in rails.items():
                text("li", ": ".join(words.rail(name, value)))
            if not rails:
                text("li", "no rails")
            for sentence in words.budget(said.budget):
                text("li", sentence)
            behalf = f", on behalf of {said.label.on_behalf_of}" if said.label.on_behalf_of else ""
            text("li", f"marked as promoted: {'yes' if said.label.promoted else 'no'}{behalf}")
            steps = ", ".join(f"{step:.0%}" for step in said.ramp.steps)
            text("li", f"it grows: {steps} of the audience")
            for sentence in words.guardrails(said.guardrails):
                text("li", sentence)
            metric = words.FIGURES[said.measure.metric]
            text("li", f"judged by: {metric}, within {said.measure.window_hours:g} hours")
            for name, share in said.shares.items():
                policy = "" if name == "hold-out" else f", policy {said.arm(name).policy or 'own'}"
                text("li", f"arm {name}: {share:.0%} of users{policy}")


class Titled(NamedTuple):
    """A page of journeys, with what their targets are called."""

    page: Journeys
    titles: dict[str, str]


def titled(client: Client, campaign_id: str, after: str | None) -> Titled:
    """Journeys of some users."""
    page = client.journeys_page(campaign_id, after=after, limit=MOST_JOURNEYS)
    ids = list(dict.fromkeys(one.target_id for one in page.journeys))[:MOST_TITLES]
    return Titled(page, titles_of(client, ids))


class Paged:
    """Journeys, a page at a time, as the service pages them."""

    def __init__(self, session: Session, campaign_id: str) -> None:
        self._session, self._id = session, campaign_id
        self._after: list[str | None] = [None]
        self._place = attributes(box(), aria_live="polite")

    async def look(self) -> None:
        """Show the page that one is at."""
        after = self._after[-1]
        await filled(
            self._place,
            lambda: self._session.ask(lambda client: titled(client, self._id, after)),
            self._show,
        )

    def _show(self, seen: "Titled") -> None:
        found = seen.page
        if not found.journeys:
            text("p", "Nobody has been guided yet.")
            return
        rows: list[list[Cell]] = [
            [
                linked(one.user_id, user_link(one.user_id)),
                seen.titles.get(one.target_id, one.target_id),
                one.arm,
                words.count(one.rounds),
                words.count(one.guided),
                f"{one.accepted} of {one.answered}",
                f"in round {one.target_accepted_in}" if one.target_accepted_in else "not yet",
                words.when(one.last_at, self._session.zone),
            ]
            for one in found.journeys
        ]
        head = ("User", "Target", "Arm", "#Rounds", "#Guided", "#Accepted", "Target taken", "Last")
        table("Journeys, by the ids of users", head, rows)
        with box("div", "row-of"):
            if len(self._after) > 1:
                button("Earlier users", self._back, "second")
            if found.next is not None:
                button("Further users", lambda: self._on(found.next), "second")

    async def _on(self, after: str | None) -> None:
        self._after.append(after)
        await self.look()

    async def _back(self) -> None:
        self._after.pop()
        await self.look()
