"""All processes replaced, and the schema moved on, while users go on asking: nothing fails."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from proactrec.store.database import Database, newest_schema
from proactrec.store.tables import DECISIONS, EVENTS
from proactrec.testing.databases import Kind, fresh_database

from .crowd import Crowd, crowd
from .starting import Started, started

PATIENCE = 90.0
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


def test_a_rolling_restart_and_a_migration_fail_nobody(
    kind: Kind, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    n_instances = "1" if kind == "sqlite" else "2"
    with fresh_database(kind, tmp_path) as database:
        url = database.url.set(drivername=kind).render_as_string(hide_password=False)
        flags = ("--guide", str(guide_folder()), "--database-url", url)
        with started(tmp_path, *flags, "--instances", n_instances) as service:
            key = service.printed()
            service.until_ready()
            with crowd(service.url, key) as users:
                if kind == "sqlite":
                    replaced(service, users)  # by those of the same schema
                moved_on(database)
                users.grows()
                assert service.is_ready()
                replaced(service, users)
            assert service.is_ready()
            assert kept(database) == (users.n_decisions, len(users.events))
            service.stop()
        with database.writing() as connection:  # as the tests after this one expect it
            connection.exec_driver_sql(
                f"UPDATE alembic_version SET version_num = '{newest_schema()}'"
            )
            connection.exec_driver_sql("ALTER TABLE decisions DROP COLUMN later")
            connection.exec_driver_sql("ALTER TABLE users DROP COLUMN later")
            connection.exec_driver_sql("DROP TABLE later_still")


def test_an_older_schema_is_not_ready_and_is_brought_along(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "store.db"))
    database.migrate("0001")
    assert not database.is_current()
    database.migrate()
    assert database.is_current()
    database.close()


def test_processes_that_dont_come_up_take_nobodys_place(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    guide, link = tmp_path / "guide", tmp_path / "current"
    shutil.copytree(guide_folder(), guide)
    link.symlink_to(guide)
    flags = ("--guide", str(link), "--database-url", str(tmp_path / "store.db"))
    with started(tmp_path, *flags) as service:
        key = service.printed()
        service.until_ready()
        before = service.instances()
        with crowd(service.url, key):
            link.unlink()
            service.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + PATIENCE
            while "does not work: the processes that run go on" not in service.told:
                assert time.monotonic() < end, service.told
                time.sleep(0.1)
        assert service.instances() == before
        service.stop()
