"""What whoever makes or watches a campaign looks at: items, categories, goals, users, and a key."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from proactrec.data.trees import within
from proactrec.serving.schemas import Journey, Schema
from proactrec.store.keys import ALLOWS, Scope


class AccessNow(Schema):
    """What the key of the request is good for."""

    tenant: str
    key_id: str = Field(description="of a person: `oidc:` and whom the issuer means")
    scope: Scope
    name: str | None = Field(description="of the key; null: it has none")

    def allows(self, scope: str) -> bool:
        """Whether it is good for what needs this scope."""
        return scope in ALLOWS[self.scope]


class ItemSeen(Schema):
    """An item as it is decided by now."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    available: bool = Field(description="false: sold out, shown to nobody")
    users: int = Field(description="whom the guide knows to have had it")


class ItemsSeen(Schema):
    """A page of items, those that most users had first."""

    items: tuple[ItemSeen, ...]
    next: str | None = Field(description="give it as `after` to go on; null: that was all")


class CategorySeen(Schema):
    """A category as a goal, by a rule of thumb that promises no gain."""

    name: str
    items: int
    available: int = Field(description="of these, the ones that are not sold out")
    reach: float = Field(description="share of known users who have an item of it")
    seen: float = Field(description="mean share of known users who have a target in it")
    distance: float | None = Field(
        description="how much lower users' interest in its targets is than in random items, in "
        "standard deviations; null: it is not known"
    )
    score: float = Field(description="from 0 to 1: how promising it is")
    reasons: tuple[str, ...] = Field(description="what speaks for it and against it")


class CategoriesSeen(Schema):
    """All categories, the most promising first."""

    categories: tuple[CategorySeen, ...]


def as_tree(categories: Sequence[CategorySeen]) -> list[CategorySeen]:
    """The same categories, each followed by those in it; else in the order that they have."""
    by_name = {one.name: one for one in categories}
    inside: dict[str, list[str]] = {}
    for name in by_name:
        above = next((one for one in within(name)[-2::-1] if one in by_name), "")
        inside.setdefault(above, []).append(name)
    found, rest = [], inside.get("", [])[::-1]
    while rest:
        name = rest.pop()
        found.append(by_name[name])
        rest += inside.get(name, [])[::-1]
    return found


class TargetSeen(Schema):
    """An item to which a campaign would lead."""

    item: ItemSeen
    share_who_have_it: float = Field(description="of all users whom the guide knows")
    reason: str = Field(description="why it is a target, in a sentence")


class GoalLook(Schema):
    """Where a campaign would lead and whom, before it is made."""

    targets: tuple[TargetSeen, ...] = Field(max_length=50, description="the first ones")
    n_targets: int = Field(description="all of them")
    audience_known: int = Field(description="users of the audience whom the guide knows")
    warnings: tuple[str, ...]


class UsersNeeded(Schema):
    """How many users show an effect, as planned."""

    users: int = Field(description="in all, those held out included")
    effect: float
    rate: float
    hold_out: float


class UserJourney(Journey):
    """A journey of a user, with what it is called by."""

    campaign_id: str
    campaign_name: str
    target_title: str


class UserNow(Schema):
    """What is known of a user; empty for one whom nobody knows."""

    user_id: str
    guided: bool | None = Field(description="what they said of being guided; null: nothing")
    groups: tuple[str, ...]
    excluded_because: str | None = Field(
        description="a group of theirs that nobody guides; null: none is"
    )
    known_items: int = Field(description="that the guide knows them to have had")
    newest_items: tuple[ItemSeen, ...] = Field(
        max_length=20, description="of these, the newest first"
    )
    decisions: int
    first_at: datetime | None = Field(description="of their decisions; null: there is none")
    last_at: datetime | None
    journeys: tuple[UserJourney, ...] = Field(description="the one that went on last first")
