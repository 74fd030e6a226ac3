"""One user: how a journey went and why, what they want, and their rights."""

from urllib.parse import quote

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import (
    Cell,
    Field,
    attributes,
    box,
    button,
    facts,
    link,
    linked,
    note,
    table,
    text,
)
from proactrec.console.frame import filled, page_of, problem, shown
from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError
from proactrec.serving.keeping import ErasureReceipt
from proactrec.serving.looking import UserNow
from proactrec.serving.schemas import PastDecision, PastDecisions

MOST_DECISIONS = 30


def user_link(user_id: str) -> str:
    """The page of a user."""
    return f"/users?id={quote(user_id, safe='')}"


def build() -> None:
    """The page `/users`."""

    @ui.page("/users")
    async def users(request: Request, id: str = "") -> None:
        with page_of(request, "Users") as session:
            if session is None:
                return
            _search(id)
            if id:
                await shown(
                    lambda: session.ask(lambda client: client.user(id)),
                    lambda found: Person(session, found),
                    "Looking the user up …",
                )


def _search(user_id: str) -> None:
    with attributes(box("form", "row-of"), method="get", action="/users"):
        field = Field("Id of a user", user_id, kind="search", name="id", required=True)
        attributes(field.element, autocomplete="off")
        attributes(text("button", "Look up", "act"), type="submit")
    if not user_id:
        text("p", "Ids are the ones that your shop asks with; a campaign's page lists its users.")


class Person:
    """All that is known of a user, and what can be done for them."""

    def __init__(self, session: Session, found: UserNow) -> None:
        self._session, self._id = session, found.user_id
        self._before: int | None = None
        with box("h2"):
            text("span", "User ")
            text("span", found.user_id, "code")
        self._about(found)
        self._rights(found)
        text("h2", "Journeys")
        self._journeys(found)
        text("h2", "What they were shown, and why")
        self._decisions = attributes(box(), aria_live="polite")
        ui.timer(0.05, self._look, once=True)

    def _about(self, found: UserNow) -> None:
        zone = self._session.zone
        wants = "no" if found.guided is False else "yes"
        said = "they never said" if found.guided is None else "as they said"
        if found.excluded_because is not None:
            wants, said = "no", f"nobody of group {found.excluded_because} is"
        facts(
            [
                ("May be guided", wants, f"{said}; heeded from the next decision on"),
                ("Groups", ", ".join(found.groups) or "none", ""),
                (
                    "Decisions",
                    words.count(found.decisions),
                    f"last {words.when(found.last_at, zone)}",
                ),
                ("Items the guide knows", words.count(found.known_items), ""),
            ]
        )
        if found.newest_items:
            with box("details"):
                text("summary", "Newest items that the guide knows they had")
                with box("ul"):
                    for item in found.newest_items:
                        text("li", item.title or item.item_id)

    def _rights(self, found: UserNow) -> None:
        """Opt out, export and erase, as far as the key reaches."""
        with box("div", "row-of"):
            is_out = found.guided is False
            button(
                "Guide again" if is_out else "Opt out of guidance",
                lambda: self._consent(guided=is_out),
                "second",
            )
            if self._session.may("admin"):
                to = f"/download/users?id={quote(self._id, safe='')}"
                link("Export all data (JSON)", to, "button second")
                self._sure = Field("To erase, type the id again", autocomplete="off")
                button("Erase the user", self._erase, "danger")
        self._told = attributes(box(), aria_live="polite")

    async def _consent(self, *, guided: bool) -> None:
        try:
            await self._session.ask(lambda client: client.consent(self._id, guided=guided))
        except ProactrecError as error:
            self._say(error)
            return
        ui.navigate.reload()

    async def _erase(self) -> None:
        if self._sure.value.strip() != self._id.strip():
            self._told.clear()
            with self._told:
                note("Nothing was erased: type the user's id into the field first.", "bad")
            return
        try:
            receipt = await self._session.ask(lambda client: client.erase(self._id))
        except ProactrecError as error:
            self._say(error)
            return
        self._told.clear()
        with self._told:
            _show_receipt(receipt)
        await self._look()

    def _say(self, error: ProactrecError) -> None:
        self._told.clear()
        with self._told:
            problem(error)

    def _journeys(self, found: UserNow) -> None:
        if not found.journeys:
            text("p", "None yet.")
            return
        rows: list[list[Cell]] = [
            [
                linked(one.campaign_name, f"/campaigns/{one.campaign_id}"),
                one.target_title or one.target_id,
                one.arm,
                words.count(one.rounds),
                words.count(one.guided),
                f"{one.accepted} of {one.answered}",
                f"in round {one.target_accepted_in}" if one.target_accepted_in else "not yet",
            ]
            for one in found.journeys
        ]
        head = ("Campaign", "Target", "Arm", "#Rounds", "#Guided", "#Accepted", "Target taken")
        table("The one that went on last first", head, rows)

    async def _look(self) -> None:
        await filled(
            self._decisions,
            lambda: self._session.ask(
                lambda client: client.decisions_page(
                    self._id, before=self._before, limit=MOST_DECISIONS
                )
            ),
            self._show,
        )

    def _show(self, found: PastDecisions) -> None:
        if not found.decisions:
            text("p", "Nothing that is kept.")
            return
        with box("ol", "journey"):
            for one in found.decisions:
                self._step(one)
        if found.next is not None:
            button("Earlier ones", lambda: self._on(found.next), "second")

    async def _on(self, before: int | None) -> None:
        self._before = before
        await self._look()

    def _step(self, one: PastDecision) -> None:
        is_target = one.guided and one.item_id == one.target_id
        kind = "target" if is_target else ("guided" if one.guided else "")
        with box("li", kind):
            text("strong", one.title or one.item_id or "nothing")
            if one.item_id is not None:
                text("span", f" · {words.happened(one.reported)}", "soft")
            text("p", f"{words.headed(one.why)}.")
            at = words.when(one.at, self._session.zone)
            text("p", f"{at} · decision {one.number} of this user", "hint")
            _ids(one)


def _ids(one: PastDecision) -> None:
    """By what a decision is found again, in the log and in the folder of its guide."""
    guide = f" · guide {one.guide}" if one.guide else ""
    with box("details", "hint"):
        summary = text("summary", "Details")
        attributes(summary, aria_label=f"Details of decision {one.number}")
        text("p", f"id {one.decision_id} · knowledge {one.knowledge}{guide}", "code")


def _show_receipt(receipt: ErasureReceipt) -> None:
    note(f"Erased. Receipt {receipt.receipt_id}: keep it, the audit log has it too.", "good")
    rows = [
        [name, words.count(n), words.count(receipt.kept.get(name, 0))]
        for name, n in receipt.erased.items()
    ]
    table("Rows that held the user", ("Table", "#Rows", "#Kept as nobody's"), rows)
    if receipt.guides:
        text("p", f"Guides that still hold the history, unseen: {', '.join(receipt.guides)}.")
    if not receipt.scrubbed:
        text("p", "Freed room in the database's files is overwritten by `proactrec users scrub`.")
