"""Keys of the tenant that asks: made, listed and revoked."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from proactrec.serving.keeping import KeyMade, KeySeen, KeysSeen, KeyWanted
from proactrec.serving.schemas import micros, moment
from proactrec.serving.service import Needs, service_of
from proactrec.store import keys
from proactrec.store.keys import Access, Key, Keys

router = APIRouter(prefix="/v1/keys", tags=["keys"])
Admin = Annotated[Access, Depends(Needs("admin"))]


@router.post("", status_code=201)
def create(request: Request, asked: KeyWanted, access: Admin) -> KeyMade:
    """A new key, told this once: nobody can read it again."""
    service = service_of(request)
    until = None if asked.expires_at is None else micros(asked.expires_at)
    with service.database.writing() as connection:
        made = keys.create(
            connection,
            access.tenant,
            asked.scope,
            service.clock(),
            by=access.key_id,
            name=asked.name,
            expires_at=until,
        )
    return KeyMade(key_id=keys.id_of(made), key=made)


@router.get("")
def list_all(request: Request, access: Admin) -> KeysSeen:
    """All keys, the oldest first, without what they open with."""
    found = Keys(service_of(request).database).list(access.tenant)
    return KeysSeen(keys=tuple(map(_seen, found)))


@router.delete("/{key_id}", status_code=204)
def revoke(request: Request, key_id: str, access: Admin) -> None:
    """Make a key worthless, in every instance within some seconds."""
    service = service_of(request)
    Keys(service.database).revoke(access.tenant, key_id, service.clock(), by=access.key_id)


def _seen(key: Key) -> KeySeen:
    return KeySeen(
        key_id=key.key_id,
        scope=key.scope,
        name=key.name,
        made_at=moment(key.made_at),
        expires_at=None if key.expires_at is None else moment(key.expires_at),
        revoked_at=None if key.revoked_at is None else moment(key.revoked_at),
    )
