"""Signing in by a key or by OpenID Connect, and out."""

import asyncio
from html import escape
from typing import Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from proactrec.console.issuer import SignIns
from proactrec.console.sessions import COOKIE, Sessions
from proactrec.errors import ProactrecError

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in · proactrec</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/console.css"></head>
<body class="door"><main>
<h1>proactrec</h1>
<p>Guide users toward what you want them to like, through what they accept anyway.</p>
{said}
<form method="post" action="/sign-in">
<label for="key">Key of the service</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus
 aria-describedby="about">
<p id="about" class="hint">It was printed when the service first started; further ones are made on
the page Operation, or by <code>proactrec keys create</code>.</p>
<input type="hidden" name="zone" id="zone" value="UTC">
<button type="submit">Sign in</button>
</form>
{issuer}
<script>
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
document.getElementById("zone").value = zone
const other = document.getElementById("issuer")
if (other) other.href += "?zone=" + encodeURIComponent(zone)
</script>
</main></body></html>"""
BY_ISSUER = '<p>or</p><p><a id="issuer" class="button" href="/sign-in/oidc">Sign in by {name}</a></p>'


def door(sessions: Sessions, sign_ins: SignIns | None) -> APIRouter:
    """The routes of whoever is not signed in yet, or no longer wants to be."""
    router = APIRouter(include_in_schema=False)

    def page(said: str = "", status: int = 200) -> HTMLResponse:
        told = f'<p class="wrong" role="alert">{escape(said)}</p>' if said else ""
        name = "" if sign_ins is None else BY_ISSUER.format(name=escape(sign_ins.name))
        content = PAGE.format(said=told, issuer=name)
        return HTMLResponse(content, status, headers={"cache-control": "no-store"})

    async def begun(request: Request, token: str, zone: str) -> Response:
        try:
            number = await asyncio.to_thread(sessions.begin, token, zone)
        except ProactrecError as error:
            return page(f"{error}.", 401)
        sessions.end(request)
        answer = RedirectResponse("/", 303)
        is_safe = request.url.scheme == "https"
        answer.set_cookie(COOKIE, number, httponly=True, samesite="lax", secure=is_safe)
        return answer

    @router.get("/sign-in")
    def seen() -> HTMLResponse:
        return page()

    @router.post("/sign-in")
    async def by_key(request: Request, key: str = Form(), zone: str = Form("UTC")) -> Response:
        if not _is_own(request):
            return page("This form was sent by another site.", 403)
        return await begun(request, key.strip(), zone)

    @router.post("/sign-out")
    def out(request: Request) -> Response:
        if _is_own(request):
            sessions.end(request)
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE)
        return answer

    if sign_ins is None:
        return router

    @router.get("/sign-in/oidc")
    async def by_issuer(request: Request, zone: str = "UTC") -> Response:
        try:
            url, state = await asyncio.to_thread(sign_ins.begin, _back(request), zone)
        except ProactrecError as error:
            return page(f"{error}.", 502)
        answer = RedirectResponse(url, 303)
        is_safe = request.url.scheme == "https"
        answer.set_cookie(STATE, state, 600, httponly=True, samesite="lax", secure=is_safe)
        return answer

    @router.get("/signed-in")
    async def back(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
        if error or not state or request.cookies.get(STATE) != state:
            return page(f"The issuer refused: {error}." if error else EXPIRED, 401)
        try:
            token, zone = await asyncio.to_thread(sign_ins.end, state, code, _back(request))
        except ProactrecError as refused:
            return page(f"{refused}.", 401)
        answer = await begun(request, token, zone)
        answer.delete_cookie(STATE)
        return answer

    return router


STATE = "proactrec_sign_in"
EXPIRED = "This sign-in has expired, or was not begun here: begin it again."


def _back(request: Request) -> str:
    """Where the issuer sends people back to."""
    return str(request.url.replace(path="/signed-in", query=""))


def _is_own(request: Request) -> bool:
    """Whether a form comes from this site: browsers say so."""
    origin: Any = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.url.netloc}"
