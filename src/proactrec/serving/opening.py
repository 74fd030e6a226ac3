"""Guides as a store's tenant has them now: with its items, and what its users have taught."""

from pathlib import Path
from typing import Any

from safetensors.torch import load
from sqlalchemy import Connection

from proactrec.guidance.saved import knowledge_of
from proactrec.policies.base import Learner
from proactrec.serving.guides import Guides
from proactrec.store import items, knowledge
from proactrec.store.database import Database


def opened(database: Database, folder: Path, tenant: str) -> Guides:
    """The guides of a folder, for a tenant."""
    with database.reading() as connection:
        guides = with_items(connection, folder, tenant)
        version = knowledge.newest_versions(connection, guides.name).get(tenant, 0)
        if version:
            guides.learned(tenant, version, taught(connection, guides, tenant, version))
    return guides


def with_items(connection: Connection, folder: Path, tenant: str) -> Guides:
    """With the items that a tenant has now, if it said which."""
    if tenant not in items.revisions(connection):
        return Guides(folder)
    return Guides(folder, *items.catalogue_of(connection, tenant))


def taught(connection: Connection, guides: Guides, tenant: str, version: int) -> Any:
    """What a tenant's users had taught by a version."""
    saved, own = load(knowledge.tensors_of(connection, tenant, guides.name, version)), guides.saved
    policy = own.guide.policy
    assert isinstance(policy, Learner)
    return knowledge_of(policy.knowledge, saved, own.n_fitted_items, len(guides.items))
