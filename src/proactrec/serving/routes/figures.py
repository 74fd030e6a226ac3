"""Figures for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from proactrec.serving.metrics import CONTENT_TYPE, exposition
from proactrec.serving.service import Needs
from proactrec.store.keys import Access

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(_: Annotated[Access, Depends(Needs("report"))]) -> Response:
    """How the service does, all instances together, in Prometheus's text format.

    No figure is of a tenant, a campaign, a user or an item.
    """
    return Response(exposition(), media_type=CONTENT_TYPE)
