"""The audit log: who changed what, newest first, of one's own shop."""

import pytest

from proactrec.errors import UnknownIdError
from proactrec.store import audit, care, keys
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.items import say_items
from proactrec.store.keys import Keys

from ..conftest import kind as kind
from .shop import NOON, TENANT, begun, said

ITEM = {"item_id": "i", "title": "", "categories": (), "text": "", "available": True}


def entries(database: Database, tenant: str = TENANT, **asked: object) -> list[audit.Entry]:
    with database.reading() as connection:
        return audit.entries(connection, tenant, **asked)  # type: ignore[arg-type]


def test_what_changes_a_store_is_noted(database: Database) -> None:
    campaign = begun(database, said()).campaign_id
    with database.writing() as connection:
        key = keys.create(connection, TENANT, "report", NOON, by="boss")
        say_items(connection, TENANT, [ITEM, ITEM], by="k1", at=NOON + 1)
        care.change(connection, TENANT, Care(excluded_groups=("minors",)), by="k2", at=NOON + 2)
        care.change(connection, TENANT, Care(excluded_groups=("minors",)), by="k3", at=NOON + 3)
        keys.create(connection, "other", "admin", NOON)
    key_id = key.split("_")[1]
    Keys(database).revoke(TENANT, key_id, NOON + 4, by="boss")
    found = entries(database)
    assert [one.seq for one in found] == sorted((one.seq for one in found), reverse=True)
    assert [(one.what, one.about, one.by) for one in found] == [
        ("key", key_id, "boss"),
        ("care", TENANT, "k2"),
        ("items", TENANT, "k1"),
        ("key", key_id, "boss"),
        ("campaign", campaign, "test"),
        ("campaign", campaign, "test"),
    ]
    assert found[0].detail == {"done": "revoked"}
    assert found[2].detail == {"n_items": 1, "revision": 1}
    assert key not in repr(found)
    assert key.split("_", 2)[2] not in repr(found)
    assert len(entries(database, "other")) == 1


def test_a_page_goes_on_where_the_last_one_ended(database: Database) -> None:
    begun(database, said())
    begun(database, said())
    whole = entries(database)
    first = entries(database, limit=3)
    assert first + entries(database, before=first[-1].seq) == whole
    about = whole[0].about
    assert entries(database, about=about) == whole[:2]
    assert entries(database, what="key") == []


def test_a_key_that_is_not_revoked_is_not_noted(database: Database) -> None:
    with pytest.raises(UnknownIdError):
        Keys(database).revoke(TENANT, "nothing", NOON)
    assert entries(database) == []
