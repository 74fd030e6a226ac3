"""All processes replaced, and the schema moved on, while users go on asking: nothing fails."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from proactrec.store.database import Database
from proactrec.store.tables import DECISIONS, EVENTS
from proactrec.testing.databases import fresh_database

from .crowd import Crowd, crowd
from .starting import Started, started

PATIENCE = 180.0
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.slow,
]


def kept(database: Database) -> tuple[int, int]:
    """Decisions and events of the log."""
    with database.reading() as connection:
        n_decisions = connection.execute(select(func.count()).select_from(DECISIONS)).scalar()
        told = select(func.count()).where(EVENTS.c.kind == "skip")
        return int(n_decisions or 0), int(connection.execute(told).scalar() or 0)


def replaced(service: Started, users: Crowd) -> None:
    """Have all processes replaced, and wait until they are."""
    before, n_times = set(service.instances()), service.told.count("were replaced")
    service.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while service.told.count("were replaced") == n_times:
        assert time.monotonic() < end, service.told
        assert not users.failed, users.failed[:3]
        time.sleep(0.1)
    after = set(service.instances())
    assert len(after) == len(before)
    assert not before & after


def moved_on(database: Database) -> None:
    """What a later version's migration does: it adds, to one table a transaction."""
    for sql in (
        "ALTER TABLE decisions ADD COLUMN later TEXT",
        "ALTER TABLE users ADD COLUMN later INTEGER",
        "CREATE TABLE later_still (a TEXT PRIMARY KEY)",
        "UPDATE alembic_version SET version_num = '9999'",
    ):
        with database.writing() as connection:
            connection.exec_driver_sql(sql)


def test_replaced_after_a_newer_schema_and_not_by_who_does_not_come_up(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """One instance on SQLite; who doesn't come up takes nobody's place.

    By those of the same schema: test_faults.py.
    """
    guide, link = tmp_path / "guide", tmp_path / "current"
    shutil.copytree(guide_folder(), guide)
    link.symlink_to(guide)
    with fresh_database("sqlite", tmp_path) as database:
        flags = ("--guide", str(link), "--database-url", str(database.url.database))
        with started(tmp_path, *flags) as service:
            key = service.printed()
            service.until_ready()
            with crowd(service.url, key) as users:
                moved_on(database)
                users.grows()
                assert service.is_ready()
                replaced(service, users)
                before = service.instances()
                link.unlink()
                service.process.send_signal(signal.SIGHUP)
                end = time.monotonic() + PATIENCE
                while "does not work: the processes that run go on" not in service.told:
                    assert time.monotonic() < end, service.told
                    time.sleep(0.1)
            assert service.instances() == before
            assert service.is_ready()
            assert kept(database) == (users.n_decisions, len(users.events))
            service.stop()


def test_an_older_schema_is_not_ready_and_is_brought_along(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "store.db"))
    database.migrate("0001")
    assert not database.is_current()
    database.migrate()
    assert database.is_current()
    database.close()
