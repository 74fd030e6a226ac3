"""Work that the service does in the background: begun, watched and shown."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui
from nicegui.element import Element

from proactrec.console.elements import button, note, text
from proactrec.console.frame import problem
from proactrec.errors import ProactrecError
from proactrec.serving.schemas import Forecast
from proactrec.serving.studies import Study

LOOK_SECONDS = 2.0
Job = Forecast | Study
Show = Callable[[Mapping[str, Any]], object]
GOES_ON = ("waiting", "working")


class Work:
    """A job in its place on a page.

    Parameters
    ----------
    place : Element
    ask : callable
        How far it is; None: nobody asked for it.
    begin : callable, optional
        Ask for it, if the key may.
    show : callable
        Builds what came of it.
    """

    def __init__(
        self,
        place: Element,
        ask: Callable[[], Awaitable[Job | None]],
        begin: Callable[[], Awaitable[object]] | None,
        show: Show,
    ) -> None:
        self._place, self._ask, self._begin, self._show = place, ask, begin, show
        self._timer = ui.timer(LOOK_SECONDS, self.look)

    async def look(self) -> None:
        """See how far it is; once it has ended nobody asks any more."""
        try:
            found = await self._ask()
        except ProactrecError as error:
            self._timer.deactivate()
            self._tell(error, self.look)
            return
        if self._place.is_deleted:
            return
        if found is None or found.state not in GOES_ON:
            self._timer.deactivate()
        self._place.clear()
        with self._place:
            self._told(found)

    async def again(self) -> None:
        """Begin it (once more), and watch it."""
        assert self._begin is not None
        try:
            await self._begin()
        except ProactrecError as error:
            self._tell(error, self.again)
            return
        self._timer.activate()
        await self.look()

    def _tell(self, error: ProactrecError, again: Callable[[], Awaitable[object]]) -> None:
        self._place.clear()
        with self._place:
            problem(error, again)

    def _told(self, found: Job | None) -> None:
        if found is None:
            text("p", "Nobody has asked for it yet.")
            self._offer("Work it out")
        elif found.state == "done" and found.result is not None:
            self._show(found.result)
        elif found.state == "failed":
            note(f"It can't be worked out: {found.error}.", "bad")
            self._offer("Try again")
        else:
            text("p", f"Being worked out – {_how_far(found)}.", "busy")

    def _offer(self, label: str) -> None:
        if self._begin is not None:
            button(label, self.again, "second")


def _how_far(found: Job) -> str:
    so_far = (found.result or {}).get("progress") or {}
    stage, done, total = (so_far.get(name) for name in ("stage", "done", "total"))
    return f"{stage}: {done} of {total}" if total else "waiting for the worker"
