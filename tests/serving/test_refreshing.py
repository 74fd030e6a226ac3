"""What was learned is taken up while an instance works, and named by the decisions after it."""

import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save
from sqlalchemy import Connection, insert

from proactrec.guidance.learned import tensors_of
from proactrec.policies.base import Learner
from proactrec.serving.guides import Guides
from proactrec.serving.schemas import Item
from proactrec.store.backup import backup, restore
from proactrec.store.campaign import Campaign, CampaignRails
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.tables import KNOWLEDGE

from .hosting import Shop
from .live import TENANT, Live, live, until


def learned(database: Database, guides: Guides, version: int) -> None:
    """Publish knowledge in which the first item is accepted by everybody."""
    with database.writing() as connection:
        learned_in(connection, guides, version, surplus=50.0 * version)


def learned_in(
    connection: Connection, guides: Guides, version: int, *, surplus: float, evidence: str = ""
) -> None:
    policy = guides.saved.guide.policy
    assert isinstance(policy, Learner)
    knowledge = policy.knowledge._replace(shrinkage=1.0)
    knowledge.surplus[1] = surplus
    knowledge.information[1] = 50
    content = save(tensors_of(knowledge))
    row = {"tenant": TENANT, "guide": guides.name, "version": version, "parent": version - 1}
    of = {"after_seq": 0, "up_to_seq": 0, "evidence": evidence, "n_answers": 0, "at": 0}
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


def test_a_restored_store_takes_back_what_was_learned(
    database: Database, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = guide_folder("foresight")
    with live(database, folder) as service:
        service.running()
        guides, opened = service.service.instance.host.guides_of(TENANT), Guides(folder)
        backup(database, tmp_path / "nothing learned")
        learned(database, opened, 1)
        until(lambda: version_of_next(service, "u01") == 1)
        restore(database, tmp_path / "nothing learned", force=True)
        until(lambda: version_of_next(service, "u01") == 0)
        assert guides.knowledge[TENANT] == (0, None)
        learned(database, opened, 1)
        until(lambda: version_of_next(service, "u01") == 1)
        backup(database, tmp_path / "once")
        # Another lesson of the same number, as a restored store makes it.
        with database.writing() as connection:
            connection.execute(KNOWLEDGE.delete())
            learned_in(connection, opened, 1, surplus=7.0, evidence="other")
        until(lambda: float(guides.knowledge[TENANT][1].surplus[1]) == 7)
        assert version_of_next(service, "u01") == 1
        restore(database, tmp_path / "once", force=True)
        until(lambda: float(guides.knowledge[TENANT][1].surplus[1]) == 50)


def test_a_guide_is_made_anew_by_what_it_is_made_of(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    """Numbers of versions are given again after a restore."""
    shop = Shop(database, guide_folder("foresight"))
    guides, version = shop.guides, shop.campaign()
    first = guides.of(version, "guided")
    again = Campaign.model_validate_json(version.said.model_dump_json())
    assert guides.of(version._replace(said=again), "guided") is first
    rails = CampaignRails(category_caps={"Comedy": 1})
    other = version._replace(said=version.said.model_copy(update={"rails": rails}))
    capped = guides.of(other, "guided").rails
    assert capped is not None
    assert capped.options.category_caps == {"Comedy": 1}
    assert guides.of(version, "guided").rails.options.category_caps == {}  # type: ignore[union-attr]
    n_ready = len(guides._ready)
    for number in range(1, 4):
        known = first.knowledge._replace(shrinkage=1.0 + number)
        ready = guides.knowing_all([version], Care(), known)
        guides.learned(TENANT, number, known, ready)
        assert guides.of(version, "guided") is next(iter(ready.values())).guide
        assert guides.of(version, "guided").knowledge is known
    assert len(guides._ready) == n_ready, "guides of lessons that are over are kept"
    guides.learned(TENANT, 0, None)
    assert guides.of(version, "guided").knowledge is first.knowledge
