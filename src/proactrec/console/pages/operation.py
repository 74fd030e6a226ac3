"""How the service itself is: instances, latency and errors, knowledge, keys, and the audit log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import (
    Cell,
    Field,
    attributes,
    box,
    button,
    note,
    table,
    text,
)
from proactrec.console.figures import read
from proactrec.console.frame import filled, page_of, part, problem
from proactrec.console.pages.service import show_service
from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError
from proactrec.serving.keeping import AuditEntries, KeySeen
from proactrec.serving.learned import Knowledge

LOOK_SECONDS = 10.0
MOST_ENTRIES, MOST_VERSIONS = 25, 10
SCOPES = {"decide": "decide", "report": "report", "operate": "operate", "admin": "admin"}
HOURS = {"": "for ever", "24": "a day", "720": "30 days", "8760": "a year"}


def build() -> None:
    """The page `/operation`."""

    @ui.page("/operation")
    async def operation(request: Request) -> None:
        with page_of(request, "Operation") as session:
            if session is not None:
                Page(session)


class Page:
    """Parts, each asked for by itself: one that fails leaves the others."""

    def __init__(self, session: Session) -> None:
        self._session = session
        part(
            "The service",
            lambda: session.ask(lambda client: read(client.figures())),
            show_service,
            LOOK_SECONDS,
        )
        part(
            "What was learned",
            lambda: session.ask(lambda client: client.knowledge()),
            self._knowledge,
        )
        if session.may("admin"):
            text("h2", "Keys")
            Keys(session)
            text("h2", "Who changed what")
            Audit(session)
        else:
            text("p", "Keys and the audit log are shown to keys with the scope “admin”.", "hint")

    def _knowledge(self, found: Knowledge) -> None:
        frozen = "frozen: nothing is learned" if found.watch.frozen else "learning goes on"
        text("p", f"Version {found.in_use} is in use; {frozen}.")
        for one in found.versions:
            if one.alarm:
                note(f"Version {one.version}: {one.alarm}.", "bad")
        rows = []
        for one in found.versions[:MOST_VERSIONS]:
            kept = one.calibration
            rows.append(
                [
                    str(one.version),
                    words.when(one.at, self._session.zone),
                    words.count(one.answers),
                    "–" if kept is None else words.percent(kept.foretold),
                    "–" if kept is None else words.percent(kept.accepted),
                    "–" if kept is None else f"{kept.log_loss:.3f}",
                ]
            )
        head = ("#Version", "When", "#Answers learned", "#Foretold", "#Accepted", "#Log loss")
        table("Acceptance as it was foretold with each version, and as it came", head, rows)


class Keys:
    """Keys of the tenant: listed, made and revoked."""

    def __init__(self, session: Session) -> None:
        self._session = session
        with box("div", "row-of"):
            self._name = Field("What the key is for")
            self._scope = Field("Scope", "decide", choices=SCOPES)
            self._until = Field("It holds", "720", choices=HOURS)
            button("Make a key", self._make)
        self._told = attributes(box(), aria_live="polite")
        self._place = box()
        ui.timer(0.05, self._look, once=True)

    async def _look(self) -> None:
        ask = lambda: self._session.ask(lambda client: client.list_keys())  # noqa: E731
        await filled(self._place, ask, self._show)

    def _show(self, found: tuple[KeySeen, ...]) -> None:
        zone = self._session.zone
        rows: list[list[Cell]] = []
        for one in found:
            until = words.when(one.expires_at, zone) if one.expires_at else "for ever"
            is_own = one.key_id == self._session.access.key_id
            rows.append(
                [
                    one.name or "–",
                    one.key_id,
                    one.scope,
                    words.when(one.made_at, zone),
                    until,
                    self._end(one, is_own=is_own),
                ]
            )
        table("The oldest first", ("For", "Id", "Scope", "Made", "Until", "Revoked"), rows)

    def _end(self, one: KeySeen, *, is_own: bool) -> Cell:
        if one.revoked_at is not None:
            return words.when(one.revoked_at, self._session.zone)
        if is_own:
            return "it is the one you signed in with"

        def build() -> None:
            found = button("Revoke", lambda: self._revoke(one.key_id), "danger")
            attributes(found, aria_label=f"Revoke the key {one.name or one.key_id}")

        return build

    async def _make(self) -> None:
        hours = self._until.value
        until = datetime.now(UTC) + timedelta(hours=int(hours)) if hours else None
        name, scope = self._name.value.strip() or None, self._scope.value
        await self._do(
            lambda client: client.create_key(scope, name=name, expires_at=until),
            lambda made: note(f"The key, shown this once: {made.key}", "good"),
        )

    async def _revoke(self, key_id: str) -> None:
        await self._do(
            lambda client: client.revoke_key(key_id), lambda _: note("The key is worthless now.")
        )

    async def _do(self, do: Callable[[Any], Any], tell: Callable[[Any], object]) -> None:
        self._told.clear()
        try:
            found = await self._session.ask(do)
        except ProactrecError as error:
            with self._told:
                problem(error)
            return
        with self._told:
            tell(found)
        await self._look()


class Audit:
    """The audit log, a page at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: int | None = None
        self._place = attributes(box(), aria_live="polite")
        ui.timer(0.05, self._look, once=True)

    async def _look(self) -> None:
        await filled(
            self._place,
            lambda: self._session.ask(
                lambda client: client.audit_page(before=self._before, limit=MOST_ENTRIES)
            ),
            self._show,
        )

    def _show(self, found: AuditEntries) -> None:
        rows = [
            [
                words.when(one.at, self._session.zone),
                words.who(one.by, self._session.access.key_id),
                one.what,
                one.about,
                ", ".join(f"{name}: {value}" for name, value in one.detail.items())[:200],
            ]
            for one in found.entries
        ]
        table("The newest first", ("When", "Who", "What", "About", "Detail"), rows)
        if found.next is not None:
            button("Earlier ones", lambda: self._on(found.next), "second")

    async def _on(self, before: int | None) -> None:
        self._before = before
        await self._look()
