"""The console's application: signing in, the gate before every page, and the pages."""

import logging
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from nicegui import app as pages_app
from nicegui import ui
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from proactrec.console.door import Door
from proactrec.console.headers import Guarded
from proactrec.console.issuer import SignIns
from proactrec.console.options import ConsoleOptions
from proactrec.console.pages import campaign, downloads, new, operation, overview, users
from proactrec.console.pages import policies as policies_page
from proactrec.console.pages import worlds as worlds_page
from proactrec.console.sessions import Sessions

logger = logging.getLogger(__name__)
OPEN = ("/sign-in", "/sign-in/oidc", "/signed-in", "/sign-out", "/healthz")
"""Paths of whoever is not signed in."""
WITHIN = ("/static/", "/_nicegui/", "/_nicegui_ws/")
"""The same of all below: a page's own channel has a number that only the page knows."""
PAGES = (overview, new, campaign, users, policies_page, worlds_page, operation)
HEAD = '<link rel="stylesheet" href="/static/console.css"><meta name="robots" content="noindex">'


def create_app(options: ConsoleOptions) -> FastAPI:
    """The console of a service; one a process, since its pages are the process's."""
    sessions = Sessions(options)
    sign_ins = None
    if options.oidc_issuer is not None and options.oidc_client_id is not None:
        sign_ins = SignIns(options.oidc_issuer, options.oidc_client_id, options.oidc_secret)
    app = FastAPI(title="proactrec console", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(Door(sessions, sign_ins).router)
    app.include_router(downloads.router)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    folder = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=folder), name="static")
    for page in PAGES:
        page.build()
    ui.add_head_html(HEAD, shared=True)
    ui.run_with(
        app,
        title="proactrec",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
    )
    pages_app.on_exception(lambda error: logger.error("a page failed", exc_info=error))
    app.add_middleware(Gate, sessions=sessions)
    app.add_middleware(Guarded)
    return app


class Gate:
    """Lets only those pass who are signed in; others are led to the door."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the session in the request's state."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        session = self._sessions.of(request)
        if session is None:
            await RedirectResponse("/sign-in", 303)(scope, receive, send)
            return
        scope.setdefault("state", {})["session"] = session
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(WITHIN)
