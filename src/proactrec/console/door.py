"""Signing in by a key or by OpenID Connect, and out."""

import asyncio
from html import escape

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from proactrec.console.issuer import SignIns
from proactrec.console.sessions import COOKIE, Sessions
from proactrec.errors import ProactrecError
from proactrec.serving.rates import Buckets, Rate, address_of

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
BY_ISSUER = (
    '<p>or</p><p><a id="issuer" class="button" href="/sign-in/oidc">Sign in by {name}</a></p>'
)


STATE, STATE_SECONDS = "proactrec_sign_in", 600
WRONG, BEGINS = Rate(5, 60), Rate(30, 60)
"""Wrong keys and sign-ins by the issuer, of an address: the service takes all for the console's."""
TOO_OFTEN = "That was too often: try again in a minute."
EXPIRED = "This sign-in has expired, or was not begun here: begin it again."


class Door:
    """The routes of whoever is not signed in yet, or no longer wants to be.

    Parameters
    ----------
    sessions : Sessions
    sign_ins : SignIns, optional
        At an issuer; without it people sign in by keys alone.
    """

    def __init__(self, sessions: Sessions, sign_ins: SignIns | None = None) -> None:
        self._sessions, self._sign_ins = sessions, sign_ins
        self._wrong, self._begins = Buckets(WRONG), Buckets(BEGINS)
        self.router = router = APIRouter(include_in_schema=False)
        router.get("/sign-in")(self.seen)
        router.post("/sign-in")(self.by_key)
        router.post("/sign-out")(self.out)
        if sign_ins is not None:
            router.get("/sign-in/oidc")(self.by_issuer)
            router.get("/signed-in")(self.back)

    def seen(self) -> Response:
        """The form."""
        return self._page()

    async def by_key(
        self, request: Request, key: str = Form(), zone: str = Form("UTC")
    ) -> Response:
        """The form, filled in."""
        if not _is_own(request):
            return self._page("This form was sent by another site.", 403)
        address = address_of(request)
        if self._wrong.take(address):
            return self._page(TOO_OFTEN, 429)
        answer = await self._begun(request, key.strip(), zone)
        if answer.status_code == 303:
            self._wrong.give_back(address)
        return answer

    def out(self, request: Request) -> Response:
        """Sign out."""
        answer = RedirectResponse("/sign-in", 303)
        if _is_own(request):
            self._sessions.end(request)
            answer.delete_cookie(COOKIE)
        return answer

    async def by_issuer(self, request: Request, zone: str = "UTC") -> Response:
        """Send somebody to the issuer."""
        assert self._sign_ins is not None
        if self._begins.take(address_of(request)):
            return self._page(TOO_OFTEN, 429)
        try:
            url, state = await asyncio.to_thread(self._sign_ins.begin, _back(request), zone)
        except ProactrecError as error:
            return self._page(f"{error}.", 502)
        return _remembering(RedirectResponse(url, 303), request, STATE, state, STATE_SECONDS)

    async def back(
        self, request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        """Take somebody in whom the issuer sends back."""
        assert self._sign_ins is not None
        if error or not state or request.cookies.get(STATE) != state:
            return self._page(f"The issuer refused: {error}." if error else EXPIRED, 401)
        try:
            token, zone = await asyncio.to_thread(self._sign_ins.end, state, code, _back(request))
        except ProactrecError as refused:
            return self._page(f"{refused}.", 401)
        answer = await self._begun(request, token, zone)
        answer.delete_cookie(STATE)
        return answer

    async def _begun(self, request: Request, token: str, zone: str) -> Response:
        try:
            number = await asyncio.to_thread(self._sessions.begin, token, zone)
        except ProactrecError as error:
            return self._page(f"{error}.", 401)
        self._sessions.end(request)  # of who was signed in here before
        return _remembering(RedirectResponse("/", 303), request, COOKIE, number)

    def _page(self, said: str = "", status: int = 200) -> Response:
        told = f'<p class="wrong" role="alert">{escape(said)}</p>' if said else ""
        by = "" if self._sign_ins is None else BY_ISSUER.format(name=escape(self._sign_ins.name))
        content = PAGE.format(said=told, issuer=by)
        return HTMLResponse(content, status, headers={"cache-control": "no-store"})


def _remembering(
    answer: Response, request: Request, name: str, value: str, seconds: int | None = None
) -> Response:
    """With a cookie that no script and no other site can use."""
    is_safe = request.url.scheme == "https"
    answer.set_cookie(name, value, seconds, httponly=True, samesite="lax", secure=is_safe)
    return answer


def _back(request: Request) -> str:
    """Where the issuer sends people back to."""
    return str(request.url.replace(path="/signed-in", query=""))


def _is_own(request: Request) -> bool:
    """Whether a form comes from this site: browsers say so."""
    origin = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.url.netloc}"
