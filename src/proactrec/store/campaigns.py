"""Campaigns and their versions: made, changed, started, paused and stopped, with reasons.

A change is a new version; decisions take it up between two transactions, and name the one they were
made under.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple, Required, TypedDict

import numpy as np
from sqlalchemy import Connection, and_, insert, select, update

from proactrec.errors import CampaignStateError, UnknownIdError
from proactrec.rng import keys_of, uniform_at
from proactrec.store import audit, log, recounts
from proactrec.store.campaign import GOES_TO, HOLD_OUT, Campaign, State
from proactrec.store.database import Hot
from proactrec.store.jobs import newest
from proactrec.store.tables import CAMPAIGN_VERSIONS, CAMPAIGNS


class Version(NamedTuple):
    """A campaign as it is, or was."""

    tenant: str
    campaign_id: str
    version: int
    state: State
    said: Campaign
    ramp_step: int
    reason: str
    by: str
    at: int

    @property
    def share(self) -> float:
        """Of the audience that the ramp has reached."""
        return self.said.ramp.steps[self.ramp_step]

    def is_reached(self, user_id: str) -> bool:
        """Whether the ramp has come to a user."""
        return self._drawn(user_id, "ramp") < self.share

    def arm_of(self, user_id: str) -> str:
        """The arm of a user who has none yet: by a salted hash of the id."""
        drawn, end = self._drawn(user_id, "arm"), 0.0
        for name, share in self.said.shares.items():
            end += share
            if drawn < end:
                return name
        return name if name != HOLD_OUT else self.said.arms[-1].name

    def _drawn(self, user_id: str, purpose: str) -> float:
        """A number in [0, 1) that is the user's for this campaign."""
        salt, user = keys_of((f"{self.tenant}\0{self.campaign_id}\0{purpose}", user_id))
        nothing = np.zeros(1, np.int64)
        return float(uniform_at(int(salt), np.array([user]), nothing, nothing)[0])


class Changes(TypedDict, total=False):
    """What a new version of a campaign has otherwise, and why."""

    reason: Required[str]
    state: State
    ramp_step: int


def create(
    connection: Connection,
    tenant: str,
    said: Campaign,
    *,
    by: str,
    at: int,
    request_key: str | None = None,
) -> Version:
    """A new campaign, as a draft; a request that is repeated gives the one that it made."""
    campaign_id = secrets.token_hex(6)
    row = (tenant, campaign_id, 1, at, request_key)
    Hot(connection).insert(CAMPAIGNS, [row], "ON CONFLICT DO NOTHING")
    if request_key is not None:
        same = and_(CAMPAIGNS.c.tenant == tenant, CAMPAIGNS.c.request_key == request_key)
        made = connection.execute(select(CAMPAIGNS.c.campaign_id).where(same)).scalar_one()
        if made != campaign_id:
            return current(connection, tenant, made)
    version = Version(tenant, campaign_id, 1, "draft", said, 0, "made", by, at)
    _write(connection, version)
    return version


def current(connection: Connection, tenant: str, campaign_id: str) -> Version:
    """A campaign as it is now.

    Raises
    ------
    UnknownIdError
        If the tenant has none of this id.
    """
    found = _read(connection, tenant, campaign_id)
    if not found:
        raise UnknownIdError(f"there is no campaign {campaign_id!r}")
    return found[0]


def of_version(connection: Connection, tenant: str, campaign_id: str, version: int) -> Version:
    """A campaign as it was in a version.

    Raises
    ------
    UnknownIdError
        If there is no such version.
    """
    row = CAMPAIGN_VERSIONS.c
    of_it = (row.tenant == tenant, row.campaign_id == campaign_id, row.version == version)
    found = connection.execute(select(CAMPAIGN_VERSIONS).where(*of_it)).first()
    if found is None:
        raise UnknownIdError(f"there is no version {version} of campaign {campaign_id!r}")
    return _version(found)


def all_current(connection: Connection, tenant: str) -> list[Version]:
    """All campaigns of a tenant as they are now, in the order in which they have users' turns."""
    found = _read(connection, tenant)
    made = select(CAMPAIGNS.c.campaign_id, CAMPAIGNS.c.made_at).where(CAMPAIGNS.c.tenant == tenant)
    at: dict[str, int] = dict(connection.execute(made).all())
    return sorted(found, key=lambda v: (-v.said.priority, at[v.campaign_id], v.campaign_id))


def history(connection: Connection, tenant: str, campaign_id: str, since: int = 1) -> list[Version]:
    """Every version of a campaign from one on, the oldest first."""
    current(connection, tenant, campaign_id)
    table = CAMPAIGN_VERSIONS.c
    rows = connection.execute(
        select(CAMPAIGN_VERSIONS)
        .where(table.tenant == tenant, table.campaign_id == campaign_id, table.version >= since)
        .order_by(table.version)
    )
    return [_version(row) for row in rows]


def changed(
    connection: Connection,
    version: Version,
    *,
    by: str,
    at: int,
    reason: str,
    state: State | None = None,
    said: Campaign | None = None,
    ramp_step: int | None = None,
) -> Version:
    """The next version of a campaign, which must be its current one.

    What was offered before counts against limits that come with it: until it is counted, whoever
    changes users waits.

    Raises
    ------
    CampaignStateError
        If the state can't become this one, an arm goes to which users may be assigned, or somebody
        else has changed the campaign meanwhile.
    """
    state = state or version.state
    is_same = state == version.state
    if (is_same and state in ("finished", "stopped")) or not (
        is_same or state in GOES_TO[version.state]
    ):
        raise CampaignStateError(
            f"campaign {version.campaign_id} is {version.state}: it can't become {state}"
        )
    other = version._replace(
        version=version.version + 1,
        state=state,
        said=said or version.said,
        ramp_step=version.ramp_step if ramp_step is None else ramp_step,
        reason=reason,
        by=by,
        at=at,
    )
    other = other._replace(ramp_step=min(other.ramp_step, len(other.said.ramp.steps) - 1))
    _check_arms(version, other)
    is_recounted = bool(recounts.came(version, other))
    if is_recounted:
        log.alone(connection)
    row = CAMPAIGNS.c
    done = connection.execute(
        update(CAMPAIGNS)
        .where(
            row.tenant == version.tenant,
            row.campaign_id == version.campaign_id,
            row.version == version.version,
        )
        .values(version=other.version)
    )
    if not done.rowcount:
        raise CampaignStateError(
            f"campaign {version.campaign_id} was changed meanwhile: look at it again"
        )
    _write(connection, other)
    if is_recounted:
        recounts.fill(connection, version, other)
    return other


def _check_arms(version: Version, other: Version) -> None:
    """Whoever was assigned to an arm stays in it."""
    gone = version.said.shares.keys() - other.said.shares.keys()
    if gone and version.state != "draft":
        raise CampaignStateError(
            f"campaign {version.campaign_id} has begun: its arms can't go or be renamed, since "
            f"users are assigned to them, got none named {', '.join(map(repr, sorted(gone)))}"
        )


def hold(connection: Connection, tenant: str) -> None:
    """Let nobody change campaigns of a tenant until the transaction ends; whoever does is awaited.

    They are held in the order of their ids, so that no two transactions wait for each other. SQLite
    has one writer anyway.
    """
    row = CAMPAIGNS.c
    query = select(row.campaign_id).where(row.tenant == tenant).order_by(row.campaign_id)
    connection.execute(query.with_for_update()).all()


def tenants(connection: Connection) -> list[str]:
    """Everybody who has a campaign."""
    query = select(CAMPAIGNS.c.tenant).distinct().order_by(CAMPAIGNS.c.tenant)
    return list(connection.execute(query).scalars())


def forecast_of(connection: Connection, version: Version) -> str | None:
    """The state of the newest forecast of what a campaign says now; None: there is none."""
    found = newest(connection, version.tenant, about_forecast(version))
    return None if found is None else found.state


def about_forecast(version: Version) -> str:
    """What a forecast is of: a campaign and what it says, in whatever state it is."""
    return about_study(version, "forecast")


def about_study(version: Version, kind: str, asked: str = "") -> str:
    """What a study is of: likewise, and what was asked."""
    said = version.said.model_dump_json() + asked
    return f"{kind}:{version.campaign_id}:{int(keys_of((said,))[0]):x}"


def _write(connection: Connection, version: Version) -> None:
    said = version.said.model_dump_json()  # whole: what is a default now may not be later
    connection.execute(insert(CAMPAIGN_VERSIONS).values({**version._asdict(), "said": said}))
    detail = {"version": version.version, "state": version.state, "reason": version.reason}
    audit.note(
        connection,
        version.tenant,
        by=version.by,
        at=version.at,
        what="campaign",
        about=version.campaign_id,
        detail=detail,
    )


def _read(connection: Connection, tenant: str, campaign_id: str | None = None) -> Sequence[Version]:
    row, newest = CAMPAIGN_VERSIONS.c, CAMPAIGNS.c
    is_newest = and_(
        newest.tenant == row.tenant,
        newest.campaign_id == row.campaign_id,
        newest.version == row.version,
    )
    query = select(CAMPAIGN_VERSIONS).join(CAMPAIGNS, is_newest).where(row.tenant == tenant)
    if campaign_id is not None:
        query = query.where(row.campaign_id == campaign_id)
    return [_version(found) for found in connection.execute(query)]


def _version(row: object) -> Version:
    found = row._asdict()  # type: ignore[attr-defined]
    return Version(**{**found, "said": Campaign.model_validate_json(found["said"])})
