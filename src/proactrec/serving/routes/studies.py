"""Studies of a campaign: what the worker finds out without showing anybody anything."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection

from proactrec.errors import CampaignStateError, InvalidInputError, UnknownIdError
from proactrec.serving.service import Needs, service_of
from proactrec.serving.studies import Study, StudyKind, StudyWanted
from proactrec.store import campaigns, jobs
from proactrec.store.campaigns import Version
from proactrec.store.keys import Access

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
TAKES = {"worlds": "policies", "rails": None, "off-policy": "policy"}
"""What each kind is asked for."""


@router.post("/{campaign_id}/studies/{kind}", status_code=202)
def study(
    request: Request,
    campaign_id: str,
    kind: StudyKind,
    access: Annotated[Access, Depends(Needs("operate"))],
    asked: StudyWanted | None = None,
) -> Study:
    """Let the worker play the campaign as it is now, or look at its log; once is enough.

    `worlds`: as each policy would guide it. `rails`: without each of its rails. `off-policy`: how
    often the next item had been accepted, had another policy chosen it; asked again, it looks at
    what was logged meanwhile.
    """
    service, wanted = service_of(request), asked or StudyWanted()
    policies = list(service.instance.host.guides_of(access.tenant).policies)
    _check(kind, wanted, policies)
    wanted = _in_order(wanted, policies)
    with service.database.writing() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        found = _found(connection, version, kind, wanted)
        if found is not None and _stands(found):
            return found
        given = {
            "campaign_id": campaign_id,
            "version": version.version,
            "asked": wanted.model_dump(mode="json"),
        }
        jobs.enqueue(connection, access.tenant, kind, _about(version, kind, wanted), given)
    return Study(kind=kind, state="waiting", result=None, error=None)


@router.get("/{campaign_id}/studies/{kind}")
def study_seen(
    request: Request,
    campaign_id: str,
    kind: StudyKind,
    access: Annotated[Access, Depends(Needs("report"))],
    asked: Annotated[StudyWanted, Query()],
) -> Study:
    """What was found of what was asked, or how far it is."""
    service = service_of(request)
    if asked.policies:
        asked = _in_order(asked, service.instance.host.guides_of(access.tenant).policies)
    with service.database.reading() as connection:
        version = campaigns.current(connection, access.tenant, campaign_id)
        found = _found(connection, version, kind, asked)
    if found is None:
        raise CampaignStateError(
            f"no such study was asked for of what campaign {campaign_id} says now: POST here first"
        )
    return found


def _check(kind: StudyKind, asked: StudyWanted, policies: list[str]) -> None:
    """Refuse what the kind is not asked for, and policies that the guide can't build."""
    given = asked.model_fields_set
    for name in given - {TAKES[kind]}:
        raise InvalidInputError(f"{name} is not of a study of {kind}: leave it out")
    if kind == "off-policy" and asked.policy is None:
        raise InvalidInputError("policy must be given, got none: the one that would have chosen")
    for name in (*asked.policies, *([asked.policy] if asked.policy else [])):
        if name not in policies:
            raise UnknownIdError(
                f"the guide can build no policy {name!r}; there are {', '.join(policies)}"
            )


def _in_order(asked: StudyWanted, policies: Iterable[str]) -> StudyWanted:
    """The same however its policies are listed: each once, in the order of these."""
    known = [name for name in policies if name in asked.policies]
    others = sorted(set(asked.policies).difference(known))
    return asked.model_copy(update={"policies": (*known, *others)})


def _stands(found: Study) -> bool:
    """Whether it need not be made again; only the log that off-policy looks at goes on."""
    is_made = found.state == "done" and found.kind != "off-policy"
    return is_made or found.state in ("waiting", "working")


def _found(
    connection: Connection, version: Version, kind: StudyKind, asked: StudyWanted
) -> Study | None:
    job = jobs.newest(connection, version.tenant, _about(version, kind, asked))
    if job is None:
        return None
    told = {"kind": kind, "state": job.state, "result": job.result, "error": job.error}
    return Study.model_validate(told)


def _about(version: Version, kind: StudyKind, asked: StudyWanted) -> str:
    return campaigns.about_study(version, kind, asked.model_dump_json(exclude_defaults=True))
