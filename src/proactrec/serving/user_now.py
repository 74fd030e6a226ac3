"""What is known of one user: of the guide, and of the log."""

import json

from sqlalchemy import Connection, func, select

from proactrec.serving.choosing import known_of
from proactrec.serving.counting import journey_of
from proactrec.serving.finding import item_seen
from proactrec.serving.guides import Guides
from proactrec.serving.looking import UserJourney, UserNow
from proactrec.serving.schemas import MOST_PAGE, moment
from proactrec.store import campaigns, care
from proactrec.store.database import Hot
from proactrec.store.erased import rows_of
from proactrec.store.tables import CONSENTS, DECISIONS, JOURNEYS, MEMBERSHIPS

MOST_ITEMS = 20
"""The newest ones."""


def user_now(connection: Connection, tenant: str, user_id: str, guides: Guides) -> UserNow:
    """A user; empty for one whom nobody knows, or who was erased."""
    erased = rows_of(Hot(connection), tenant, guides.name)
    items = known_of(user_id, guides, erased).items
    guided, groups = _said(connection, tenant, user_id)
    excluded = care.current(connection, tenant).excluded_groups
    row = DECISIONS.c
    query = select(func.count(), func.min(row.at), func.max(row.at))
    of_user = row.tenant == tenant, row.user_id == user_id
    n, first, last = connection.execute(query.where(*of_user)).one()
    return UserNow(
        user_id=user_id,
        guided=guided,
        groups=groups,
        excluded_because=next((name for name in excluded if name in groups), None),
        known_items=len(items),
        newest_items=tuple(item_seen(guides, one) for one in items[: -MOST_ITEMS - 1 : -1]),
        decisions=n,
        first_at=None if first is None else moment(first),
        last_at=None if last is None else moment(last),
        journeys=_journeys(connection, tenant, user_id, guides),
    )


def _said(connection: Connection, tenant: str, user_id: str) -> tuple[bool | None, tuple[str, ...]]:
    """What a user said last of being guided, and the groups that they are in."""
    said, of = CONSENTS.c, MEMBERSHIPS.c
    consent = select(said.guided).where(said.tenant == tenant, said.user_id == user_id)
    groups = select(of.groups).where(of.tenant == tenant, of.user_id == user_id)
    guided = connection.execute(consent.order_by(said.number.desc()).limit(1)).scalar()
    names = connection.execute(groups.order_by(of.number.desc()).limit(1)).scalar()
    return (None if guided is None else bool(guided)), tuple(json.loads(names or "[]"))


def _journeys(
    connection: Connection, tenant: str, user_id: str, guides: Guides
) -> tuple[UserJourney, ...]:
    """The newest ones, the one that went on last first."""
    row = JOURNEYS.c
    query = select(JOURNEYS).where(row.tenant == tenant, row.user_id == user_id)
    newest = query.order_by(row.last_at.desc(), row.campaign_id, row.target_id).limit(MOST_PAGE)
    found = list(connection.execute(newest))
    names = {
        campaign_id: campaigns.current(connection, tenant, campaign_id).said.name
        for campaign_id in {one.campaign_id for one in found}
    }
    return tuple(
        UserJourney(
            **dict(journey_of(one)),
            campaign_id=one.campaign_id,
            campaign_name=names[one.campaign_id],
            target_title=guides.items.title_of(one.target_id),
        )
        for one in found
    )
