"""Another guide, while users go on asking: nothing fails, and decisions say which one made them."""

import gc
import shutil
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from proactrec.cli import guide as command
from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.guidance.saved import guide_name
from proactrec.serving.schemas import Item
from proactrec.store.database import Database

from .crowd import crowd
from .live import LOOK_SECONDS, TENANT, Live, live, made_key

PATIENCE = 60.0


def until_decided_by(service: Live, name: str) -> None:
    end = time.monotonic() + PATIENCE
    while guide_of_next(service) != name:
        assert time.monotonic() < end
        time.sleep(0.05)


def guide_of_next(service: Live, user_id: str = "u01") -> str | None:
    service.client.decide(user_id)
    return next(service.client.decisions(user_id)).guide


def test_guides_are_exchanged_without_a_gap(
    database: Database, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    old, new, link = guide_folder("itmprec"), guide_folder("foresight"), tmp_path / "current"
    command.activate(old, link)
    names = [guide_name(old), guide_name(new)]
    with live(database, link) as service:
        service.running(goal={"category": "Drama", "n_targets": 3})
        first = weakref.ref(service.service.instance.host.guides)
        with crowd(service.url, made_key(database, "decide")) as users:
            assert guide_of_next(service) == names[0]
            command.activate(new, link)
            until_decided_by(service, names[1])
        kept = [
            past
            for user, ids in users.decisions.items()
            for past in service.client.decisions(user)
            if past.decision_id in ids
        ]
        assert len(kept) == users.n_decisions
        kept.sort(key=lambda past: past.at)
        told = [past.guide for past in kept]
        assert told == sorted(told, key=names.index)  # the old one, then the new one
        assert set(told) == set(names)
        assert sum(len(past.reported) for past in kept) == len(users.events)
        gc.collect()
        assert first() is None, "the old guide is still in memory"


def test_a_tenants_own_items_are_shown_by_the_new_guide_from_its_first_decision_on(
    database: Database, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    link = tmp_path / "current"
    command.activate(guide_folder("itmprec"), link)
    with live(database, link) as service:
        service.client.items([Item(item_id="new", title="Film 99", categories=("Drama",))])
        end = time.monotonic() + PATIENCE
        while service.client.decide("u02", candidates=("new",)).title != "Film 99":
            assert time.monotonic() < end
        command.activate(guide_folder("foresight"), link)
        name = guide_name(guide_folder("foresight"))
        n_asked = 0
        while next(service.client.decisions("u02")).guide != name:
            assert service.client.decide("u02", candidates=("new",)).title == "Film 99"
            assert time.monotonic() < end + PATIENCE
            n_asked += 1
        assert n_asked
        assert service.service.instance.host.guides_of(TENANT).name == name


def test_a_guide_that_cant_be_opened_leaves_the_old_one(
    database: Database, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    old, link, damaged = guide_folder("itmprec"), tmp_path / "current", tmp_path / "damaged"
    shutil.copytree(guide_folder("foresight"), damaged)
    (damaged / "items.parquet").write_bytes(b"not a table")
    command.activate(old, link)
    with pytest.raises(ArtefactError, match="can't be opened"):
        command.activate(damaged, link)
    assert link.resolve() == old.resolve()
    with live(database, link) as service:
        link.unlink()
        link.symlink_to(damaged)
        time.sleep(8 * LOOK_SECONDS)
        assert guide_of_next(service) == guide_name(old)
        command.activate(guide_folder("foresight"), link)
        until_decided_by(service, guide_name(guide_folder("foresight")))


def test_only_a_link_is_led_elsewhere(guide_folder: Callable[..., Path], tmp_path: Path) -> None:
    place = tmp_path / "guide"
    place.mkdir()
    with pytest.raises(InvalidInputError, match="--as must name a link"):
        command.activate(guide_folder(), place)
