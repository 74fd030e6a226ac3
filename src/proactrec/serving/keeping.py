"""Keys, what is held of users, and who changed what: as the service tells them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from proactrec.serving.schemas import At, Id, Schema
from proactrec.store.keys import Scope


class KeyWanted(Schema):
    """A key to be made."""

    scope: Scope
    name: Annotated[Id | None, Field(description="what it is for")] = None
    expires_at: At | None = Field(None, description="until when it holds; for ever by default")


class KeyMade(Schema):
    """A key, which nobody can read again."""

    key_id: str
    key: str = Field(description="for the header `Authorization: Bearer KEY`")


class KeySeen(Schema):
    """What is known of a key."""

    key_id: str
    scope: Scope
    name: str | None
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeysSeen(Schema):
    """All keys of a tenant, the oldest first."""

    keys: tuple[KeySeen, ...]


class UserExport(Schema):
    """All that the store holds of a user, and what the guide knows; rows by table."""

    user_id: str
    guide_items: tuple[str, ...] = Field(description="that the guide knows the user to have had")
    audiences: tuple[str, ...] = Field(description="campaigns whose audience names the user")
    consents: tuple[dict[str, Any], ...]
    memberships: tuple[dict[str, Any], ...]
    assignments: tuple[dict[str, Any], ...]
    journeys: tuple[dict[str, Any], ...]
    decisions: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


class ErasureReceipt(Schema):
    """That a user was erased, without saying of whom."""

    receipt_id: str = Field(description="under which the audit log keeps it")
    at: datetime
    erased: dict[str, int] = Field(description="rows that held the user, by table")
    kept: dict[str, int] = Field(description="of these, rows that go on as nobody's")
    guides: tuple[str, ...] = Field(
        description="folders of guides that hold the user's history until they are written anew; "
        "decisions no longer see it"
    )
    scrubbed: bool = Field(
        description="whether no byte is left in the database's files (SQLite); false: the room was "
        "freed, and what is in it goes with `proactrec users scrub`"
    )


class AuditEntry(Schema):
    """A change."""

    seq: int
    at: datetime
    by: str = Field(description="id of the key, or what changed it without one")
    what: str = Field(description="its kind: campaign, key, items, care, erasure, ...")
    about: str
    detail: dict[str, Any]


class AuditEntries(Schema):
    """A page of the audit log, the newest first."""

    entries: tuple[AuditEntry, ...]
    next: int | None = Field(description="give it as `before` to go on; null: that was all")
