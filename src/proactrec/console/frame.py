"""What every page has: who is signed in, the way to other pages, and what is shown of errors."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from fastapi import Request
from nicegui import ui
from nicegui.element import Element

from proactrec.console import words
from proactrec.console.elements import attributes, box, button, link, note, text
from proactrec.console.sessions import Session
from proactrec.errors import (
    AccessError,
    OverloadedError,
    ProactrecError,
    StoreError,
    UnknownIdError,
    UnknownKeyError,
)

PAGES = (
    ("/", "Overview", "report"),
    ("/new", "New campaign", "operate"),
    ("/users", "Users", "report"),
    ("/policies", "Policies", "report"),
    ("/worlds", "Worlds", "report"),
    ("/operation", "Operation", "report"),
)
"""Path, name, and the scope that a key needs to see it."""
TOUCH_SECONDS = 30.0
"""Of clicks and keys in so long one is told, so that who is there is known to be."""
T = TypeVar("T")


def session_of(request: Request) -> Session:
    """Of whom a page is; the gate lets nobody else come so far."""
    found: Session = request.state.session
    return found


@contextmanager
def page_of(
    request: Request, title: str, needs: str = "report", *, is_named: bool = False
) -> Iterator[Session | None]:
    """A page's head and main part; None, with a sentence, where the key does not reach so far.

    Parameters
    ----------
    is_named : bool
        The page says its first heading by itself, with what stands beside it.
    """
    session = session_of(request)
    ui.page_title(f"{title} · proactrec")
    _bar(request.url.path, session)
    with attributes(box("main", "page"), tabindex="-1") as main:
        for what in ("click", "keydown"):
            main.on(what, session.touch, [], throttle=TOUCH_SECONDS)
        ui.skip_link(target=main)
        if not is_named or not session.may(needs):
            text("h1", title)
        if session.may(needs):
            yield session
            return
        note(
            f"Your key has the scope “{session.access.scope}”, and this page needs “{needs}”: "
            "ask whoever runs the service for another key.",
            "bad",
        )
        yield None


async def shown(ask: Callable[[], Awaitable[T]], build: Callable[[T], object], busy: str) -> None:
    """Build a part of a page once it is answered; meanwhile, and if it isn't, say so."""
    place = box()
    with place:
        attributes(text("p", busy, "busy"), role="status")
    await ui.context.client.connected(timeout=30)
    await filled(place, ask, build)


async def filled(
    place: Element, ask: Callable[[], Awaitable[T]], build: Callable[[T], object]
) -> None:
    """Fill a place anew with what is answered, or with why it isn't."""
    try:
        found = await ask()
    except ProactrecError as error:
        place.clear()
        with place:
            problem(error, lambda: filled(place, ask, build))
        return
    if place.is_deleted:
        return
    place.clear()
    with place:
        build(found)


def part(
    title: str,
    ask: Callable[[], Awaitable[T]],
    build: Callable[[T], Callable[[T], object] | None],
    every: float | None = None,
) -> None:
    """A part of a page that is asked for once the page is there, and again.

    Parameters
    ----------
    title : str
        Its heading; nothing: what is built has its own.
    ask : callable
    build : callable
        Builds it of an answer. What it returns, if anything, shows later answers in what stands
        then; without it another answer is built anew, and the same one leaves all as it is.
    every : float, optional
        Seconds until it is asked for again; none: it is asked for once.
    """
    if title:
        text("h2", title)
    found = _Part(ask, build)
    ui.timer(0.05, found.look, once=True)
    if every is not None:
        ui.timer(every, found.look, immediate=False)


class _Part(Generic[T]):
    """What is shown of the last answer, or why there is none."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        build: Callable[[T], Callable[[T], object] | None],
    ) -> None:
        self._ask, self._build = ask, build
        self._go_on: Callable[[T], object] | None = None
        self._shown: object = object()  # equals nothing
        self._place = box()
        with self._place:
            attributes(text("p", "Asking …", "busy"), role="status")

    async def look(self) -> None:
        """Ask, and show what is new."""
        try:
            found = await self._ask()
        except ProactrecError as error:
            self._failed(error)
            return
        if self._place.is_deleted or found == self._shown:
            return
        self._shown = found
        if self._go_on is not None:
            self._go_on(found)
            return
        self._place.clear()
        with self._place:
            self._go_on = self._build(found)

    def _failed(self, error: ProactrecError) -> None:
        said = type(error), str(error)
        if self._place.is_deleted or said == self._shown:
            return
        self._shown, self._go_on = said, None
        self._place.clear()
        with self._place:
            problem(error, self.look)


def problem(error: ProactrecError, again: Callable[[], Awaitable[object]] | None = None) -> None:
    """What went wrong, in a sentence, and what can be done."""
    said = str(error.args[0] if isinstance(error, UnknownIdError) and error.args else error)
    note(f"{words.headed(said)}.", "bad")
    if isinstance(error, UnknownKeyError):
        link("Sign in again", "/sign-in", "button")
    elif again is not None and isinstance(error, StoreError | OverloadedError):
        button("Try again", again, "second")
    elif isinstance(error, AccessError):
        text("p", "A key with a wider scope can.", "hint")


def _bar(path: str, session: Session) -> None:
    with box("header", "bar"), box():
        link("proactrec", "/", "brand")
        with attributes(box("nav"), aria_label="Pages"):
            for to, name, needs in PAGES:
                if not session.may(needs):
                    continue
                found = link(name, to)
                if path == to:
                    attributes(found, aria_current="page")
                elif to == "/" and path.startswith("/campaigns/"):
                    attributes(found, aria_current="true")  # the way to campaigns
        text("span", f"{session.access.tenant} · {session.access.scope}", "hint whose")
        _theme(session)
        with attributes(box("form"), method="post", action="/sign-out"):
            attributes(text("button", "Sign out", "act"), type="submit")


def _theme(session: Session) -> None:
    """As the system, until somebody says otherwise."""
    dark = ui.dark_mode(session.dark)

    async def other() -> None:
        is_dark = await ui.run_javascript("return document.body.classList.contains('body--dark')")
        dark.value = session.dark = not is_dark

    attributes(button("Theme", other), title="Dark or light")
