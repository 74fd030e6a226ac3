"""What a tenant's users have taught, from the store into the guides of a host."""

from typing import Any

from sqlalchemy import Connection

from proactrec.guidance.learned import from_bytes
from proactrec.serving.guides import Guides
from proactrec.store import knowledge


def take_up(connection: Connection, tenant: str, guides: Guides) -> bool:
    """Know the newest version from now on; whether it is another than before."""
    version = knowledge.newest_version(connection, tenant, guides.name)
    if version == guides.knowledge_of(tenant):
        return False
    guides.learned(tenant, version, known_at(connection, tenant, version, guides))
    return True


def known_at(connection: Connection, tenant: str, version: int, guides: Guides) -> Any:
    """What was known at a version; of another guide's: what this one was saved with."""
    own = guides.saved.guide.knowledge
    content = knowledge.tensors(connection, tenant, guides.name, version) if version else None
    return own if content is None else from_bytes(own, content)
