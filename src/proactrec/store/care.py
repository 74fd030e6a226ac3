"""Whom nobody guides, and what nobody is guided to, whatever campaigns say: by versions."""

from typing import NamedTuple

from pydantic import Field
from sqlalchemy import Connection, func, insert, select

from proactrec.config import Options
from proactrec.data.items import Items
from proactrec.errors import InvalidInputError
from proactrec.store import audit, turns
from proactrec.store.campaign import Campaign
from proactrec.store.database import Hot
from proactrec.store.tables import CARE
from proactrec.store.turns import Turn

HEADS = (
    "SELECT campaign_id, version FROM campaigns WHERE tenant = ? "
    "UNION ALL SELECT '~care', COALESCE(MAX(version), 0) FROM care WHERE tenant = ? "
    "UNION ALL SELECT '~erased', COALESCE(MAX(number), 0) FROM erased WHERE tenant = ?"
)
"""Ids of campaigns are hexadecimal digits."""


class Care(Options):
    """What holds for all campaigns of a tenant."""

    excluded_groups: tuple[str, ...] = Field(
        (), description="names of groups whose users are never guided, e.g. minors"
    )
    excluded_categories: tuple[str, ...] = Field(
        (),
        description="categories whose items nobody is guided to: no targets and no steps; a name "
        "that stands at several places of a tree means all of them",
    )

    def on(self, said: Campaign, items: Items) -> Campaign:
        """What a campaign says with it, where these are the items that there are."""
        groups = (*said.audience.except_groups, *self.excluded_groups)
        own = said.rails.protected_categories
        protected = (*own, *items.places_of(*self.excluded_categories))
        audience = said.audience.model_copy(update={"except_groups": groups})
        rails = said.rails.model_copy(update={"protected_categories": protected})
        return said.model_copy(update={"audience": audience, "rails": rails})


class Heads(NamedTuple):
    """How new all is that instances keep of a tenant in memory."""

    versions: dict[str, int]  # of campaigns, and of care
    erased: int  # number of the last erasure


def heads(hot: Hot, tenant: str) -> Heads:
    """In one look: every decision takes it."""
    found: dict[str, int] = dict(hot.rows(HEADS, (tenant,) * 3))
    return Heads(found, found.pop("~erased"))


def current(connection: Connection, tenant: str) -> Care:
    """What holds now."""
    row = CARE.c
    query = select(row.said).where(row.tenant == tenant).order_by(row.version.desc()).limit(1)
    said = connection.execute(query).scalar()
    return Care() if said is None else Care.model_validate_json(said)


def change(
    connection: Connection, tenant: str, care: Care, *, by: str, at: int, after: int = 0
) -> None:
    """Let something hold from the next decision on.

    Parameters
    ----------
    after : int
        Version that was given already, whether or not the store knows it.

    Raises
    ------
    InvalidInputError
        If a group or category has no name: nobody would be meant.
    """
    names = (*care.excluded_groups, *care.excluded_categories)
    if not after and not all(one.strip() for one in names):
        raise InvalidInputError("excluded_groups and excluded_categories must be names, got ''")
    turns.take(connection, Turn.CARE)
    if not after and care == current(connection, tenant):  # a call that is repeated
        return
    newest = select(func.max(CARE.c.version)).where(CARE.c.tenant == tenant)
    version = max(int(connection.execute(newest).scalar() or 0), after) + 1
    said = care.model_dump_json()
    values = {"tenant": tenant, "version": version, "said": said, "by": by, "at": at}
    connection.execute(insert(CARE).values(values))
    detail = {"version": version, **care.model_dump(mode="json")}
    audit.note(connection, tenant, by=by, at=at, what="care", about=tenant, detail=detail)
