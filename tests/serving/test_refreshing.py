"""What was learned is taken up while an instance works, and named by the decisions after it."""

import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save
from sqlalchemy import insert

from proactrec.guidance.saved import tensors_of
from proactrec.policies.base import Learner
from proactrec.serving.guides import Guides
from proactrec.serving.schemas import Item
from proactrec.store.database import Database
from proactrec.store.tables import KNOWLEDGE

from .live import TENANT, Live, live


def learned(database: Database, guides: Guides, version: int) -> None:
    """Publish knowledge in which the first item is accepted by everybody."""
    policy = guides.saved.guide.policy
    assert isinstance(policy, Learner)
    knowledge = policy.knowledge._replace(shrinkage=1.0)
    knowledge.surplus[1] = 50 * version
    knowledge.information[1] = 50
    content = save(tensors_of(knowledge))
    row = {"tenant": TENANT, "guide": guides.name, "version": version, "parent": version - 1}
    of = {"after_seq": 0, "up_to_seq": 0, "evidence": "", "n_answers": 0, "at": 0}
    with database.writing() as connection:
        connection.execute(insert(KNOWLEDGE).values(**row, **of, tensors=content))


def version_of_next(service: Live, user_id: str) -> int:
    service.client.decide(user_id)
    return next(service.client.decisions(user_id)).knowledge


def test_knowledge_is_taken_up_without_a_gap(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    folder = guide_folder("foresight")
    with live(database, folder) as service:
        service.running()
        assert version_of_next(service, "u01") == 0
        learned(database, Guides(folder), 3)
        end = time.monotonic() + 10
        while version_of_next(service, "u01") != 3:
            assert time.monotonic() < end
        guides = service.service.instance.host.guides_of(TENANT)
        _, knowledge = guides.knowledge[TENANT]
        assert float(knowledge.surplus[1]) == 150
        # Guides that are opened anew, for items that came later, know it from the start.
        service.client.items([Item(item_id="new", title="Film 99", categories=("Drama",))])
        while service.client.decide("u02", candidates=("new",)).title != "Film 99":
            assert time.monotonic() < end + 10
        assert version_of_next(service, "u02") == 3
        mine = service.service.instance.host.guides_of(TENANT)
        assert mine is not guides
        assert len(mine.knowledge[TENANT][1].surplus) == len(knowledge.surplus) + 1
