"""Files that pages offer: reports of campaigns, and users' data."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError
from proactrec.serving.client import Client

router = APIRouter(prefix="/download", include_in_schema=False)


@router.get("/campaigns/{campaign_id}.html")
async def report(request: Request, campaign_id: str) -> Response:
    """A campaign's page for those who have no console."""
    return await _file(
        request,
        lambda client: client.report_page(campaign_id),
        "text/html",
        f"campaign-{campaign_id}.html",
    )


@router.get("/users")
async def export(request: Request, id: str) -> Response:
    """All that is held of a user."""
    return await _file(
        request,
        lambda client: client.export(id).model_dump_json(indent=2),
        "application/json",
        "user-export.json",
    )


async def _file(request: Request, made: Callable[[Client], str], kind: str, name: str) -> Response:
    session: Session = request.state.session
    try:
        content = await session.ask(made)
    except ProactrecError as error:
        return PlainTextResponse(f"{error}\n", 502)
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type=kind, headers=headers)
