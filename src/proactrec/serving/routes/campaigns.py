"""Campaigns: made, looked at, changed, started, paused and stopped."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from starlette.convertors import StringConvertor, register_url_convertor

from proactrec.errors import CampaignStateError, InvalidInputError
from proactrec.serving.brought import MeasurementNow
from proactrec.serving.counting import journeys_after
from proactrec.serving.schemas import (
    MOST_PAGE,
    OF_JSON,
    CampaignChange,
    CampaignNow,
    Campaigns,
    CampaignVersion,
    Forecast,
    Journeys,
    Start,
    Versions,
    Why,
)
from proactrec.serving.service import Needs, service_of
from proactrec.serving.telling import campaign_now, measurement_now, version_told
from proactrec.store import campaigns, jobs
from proactrec.store.campaign import Campaign, State
from proactrec.store.campaigns import Version
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
Reads = Annotated[Access, Depends(Needs("report"))]
Operates = Annotated[Access, Depends(Needs("operate"))]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]


class Made(StringConvertor):
    """A campaign that was made, and nothing else that lies beside campaigns."""

    regex = r"(?!look$)[^/]+"


register_url_convertor("made", Made())

EXAMPLE = {"name": "Jazz in May", "goal": {"category": "Jazz", "n_targets": 5}, "hold_out": 0.1}


@router.post("", status_code=201)
def create(
    request: Request,
    said: Annotated[Campaign, OF_JSON, Body(examples=[EXAMPLE])],
    access: Operates,
    idempotency_key: IdempotencyKey = None,
) -> CampaignVersion:
    """A new campaign, as a draft; the same Idempotency-Key gives the same one."""
    service = service_of(request)
    service.instance.host.guides_of(access.tenant).check(said)
    try:
        version = _created(request, said, access, idempotency_key)
    except IntegrityError:  # the same request came twice at once
        version = _created(request, said, access, idempotency_key)
    return version_told(version)


@router.get("")
def list_all(request: Request, access: Reads) -> Campaigns:
    """All campaigns as they are now, in the order in which they have users' turns."""
    with service_of(request).database.reading() as connection:
        found = campaigns.all_current(connection, access.tenant)
    return Campaigns(campaigns=tuple(map(version_told, found)))


@router.get("/{campaign_id:made}")
def get(request: Request, campaign_id: str, access: Reads) -> CampaignNow:
    """A campaign as it is now, and what happened in it so far."""
    service = service_of(request)
    with service.database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        return campaign_now(connection, version, service.clock())


@router.put("/{campaign_id:made}")
def change(
    request: Request, campaign_id: str, asked: CampaignChange, access: Operates
) -> CampaignVersion:
    """A new version, by which it is decided from the next decision on."""
    service = service_of(request)
    service.instance.host.guides_of(access.tenant).check(asked.campaign)
    with service.database.writing() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        if asked.campaign == version.said:  # a call that is repeated changes nothing
            return version_told(version)
        if asked.version not in (None, version.version):
            raise CampaignStateError(
                f"campaign {campaign_id} has version {version.version}, not {asked.version}: "
                "look at it again"
            )
        other = campaigns.changed(
            connection,
            version,
            by=access.key_id,
            at=service.clock(),
            reason=asked.reason,
            said=asked.campaign,
        )
    return version_told(other)


@router.get("/{campaign_id}/versions")
def versions(request: Request, campaign_id: str, access: Reads) -> Versions:
    """What it was, with who changed it, when and why."""
    with service_of(request).database.reading() as connection:
        found = campaigns.history(connection, access.tenant, campaign_id)
    return Versions(versions=tuple(map(version_told, found)))


@router.get("/{campaign_id}/journeys")
def journeys(
    request: Request,
    campaign_id: str,
    access: Reads,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE, description="users of a page")] = 100,
) -> Journeys:
    """The journeys of a page of users, in the order of their ids."""
    with service_of(request).database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        return journeys_after(connection, version, after, limit)


@router.get("/{campaign_id}/measurement")
def measurement(request: Request, campaign_id: str, access: Reads) -> MeasurementNow:
    """What it brought, by arm and segment: it may be looked at as often as one likes."""
    service = service_of(request)
    with service.database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        return measurement_now(connection, version, service.clock())


@router.post("/{campaign_id}/forecast", status_code=202)
def forecast(request: Request, campaign_id: str, access: Operates) -> Forecast:
    """Let the worker simulate what the campaign, as it is now, is going to bring."""
    with service_of(request).database.writing() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        found = _forecast_of(connection, version)
        if found is not None and found.state != "failed":
            return found
        given = {"campaign_id": campaign_id, "version": version.version}
        about = campaigns.about_forecast(version)
        jobs.enqueue(connection, access.tenant, "forecast", about, given)
    return Forecast(state="waiting")


@router.get("/{campaign_id}/forecast")
def forecast_seen(request: Request, campaign_id: str, access: Reads) -> Forecast:
    """What was found, or how far it is."""
    with service_of(request).database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        found = _forecast_of(connection, version)
    if found is None:
        raise CampaignStateError(
            f"no forecast was asked for of what campaign {campaign_id} says now: POST here first"
        )
    return found


@router.post("/{campaign_id}/start")
def start(
    request: Request, campaign_id: str, access: Operates, asked: Start | None = None
) -> CampaignVersion:
    """Begin, or go on; refused before a forecast of what it says now was made."""
    how = asked or Start()
    with service_of(request).database.writing() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        if not how.without_forecast:
            _check_forecast(connection, version)
        elif "reason" not in how.model_fields_set:
            raise InvalidInputError("reason must be given with without_forecast, got none")
        return version_told(_changed(request, connection, version, access, how.reason, "running"))


@router.post("/{campaign_id}/pause")
def pause(request: Request, campaign_id: str, asked: Why, access: Operates) -> CampaignVersion:
    """Guide nobody until it is started again."""
    return _set(request, campaign_id, access, asked.reason, "paused")


@router.post("/{campaign_id}/stop")
def stop(request: Request, campaign_id: str, asked: Why, access: Operates) -> CampaignVersion:
    """Guide nobody any more."""
    return _set(request, campaign_id, access, asked.reason, "stopped")


def _created(request: Request, said: Campaign, access: Access, key: str | None) -> Version:
    service = service_of(request)
    with service.database.writing() as connection:
        version = campaigns.create(
            connection,
            access.tenant,
            said,
            by=access.key_id,
            at=service.clock(),
            request_key=key,
        )
        if key is not None:
            first = campaigns.history(connection, access.tenant, version.campaign_id)[0]
            if first.said != said:
                raise InvalidInputError("Idempotency-Key was used for another campaign")
    return version


def _set(
    request: Request, campaign_id: str, access: Access, reason: str, state: State
) -> CampaignVersion:
    with service_of(request).database.writing() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        return version_told(_changed(request, connection, version, access, reason, state))


def _changed(
    request: Request,
    connection: Connection,
    version: Version,
    access: Access,
    reason: str,
    state: State,
) -> Version:
    """In another state; the one that it has already is no change, so that a call may be repeated"""
    if version.state == state:
        return version
    at = service_of(request).clock()
    return campaigns.changed(
        connection, version, by=access.key_id, at=at, reason=reason, state=state
    )


def _check_forecast(connection: Connection, version: Version) -> None:
    if campaigns.forecast_of(connection, version) != "done":
        raise CampaignStateError(
            f"campaign {version.campaign_id} has no forecast of what it says now: POST "
            "its forecast and look at it, or start with without_forecast and a reason"
        )


def _forecast_of(connection: Connection, version: Version) -> Forecast | None:
    job = jobs.newest(connection, version.tenant, campaigns.about_forecast(version))
    if job is None:
        return None
    return Forecast.model_validate({"state": job.state, "result": job.result, "error": job.error})
