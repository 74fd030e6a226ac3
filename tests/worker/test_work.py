"""The process beside the service: one at a time, whatever kills it, and all that is due once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proactrec.errors import StoreError
from proactrec.guidance.saved import guide_name
from proactrec.store import campaigns, care, jobs
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.erasing import erase
from proactrec.store.items import say_items
from proactrec.store.jobs import Job
from proactrec.worker.lock import only_one
from proactrec.worker.work import Chore, Errands, Worker

from ..serving.hosting import DAY, TENANT, Shop

PATIENCE = 60.0


@pytest.fixture(scope="module")
def folder(guide_folder: Callable[..., Path]) -> Path:
    return guide_folder("foresight")


def ask_forecast(shop: Shop) -> str:
    """What is asked for; gives what it is about."""
    version = shop.draft(hold_out=0.2, goal={"category": "Drama", "n_targets": 3}, rounds=2)
    about = campaigns.about_forecast(version)
    given = {"campaign_id": version.campaign_id, "version": version.version}
    with shop.database.writing() as connection:
        jobs.enqueue(connection, TENANT, "forecast", about, given)
    return about


def job(database: Database, about: str) -> Job:
    with database.reading() as connection:
        found = jobs.newest(connection, TENANT, about)
    assert found is not None
    return found


def until(is_so: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@contextmanager
def worker_process(database: Database, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", "from proactrec.cli.main import main; main()", "work"]
    own = os.environ | {"PROACTREC_DATABASE_URL": url, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--guide", str(folder)], env=own) as process:
        try:
            yield process
        finally:
            process.kill()


def test_all_that_is_due_is_done_once(database: Database, folder: Path) -> None:
    shop = Shop(database, folder)
    shop.campaign(hold_out=0, budget={"total": 1000})
    for _ in range(3):
        for user in range(10):
            shop.report(shop.ask(f"u{user:02}"), "impression", "skip")
    shop.ask("u20")
    shop.now += 2 * DAY
    about = ask_forecast(shop)
    Worker(database, folder, clock=shop.clock, batch=10).once()
    assert shop.rows("SELECT event_id FROM events WHERE kind = 'expired'") == [("~expired:1",)]
    assert shop.rows("SELECT COUNT(*) FROM knowledge") == [(3,)]
    found = job(database, about)
    assert (found.state, found.error) == ("done", None)
    assert found.result is not None
    assert found.result["rounds"] == [2]
    Worker(database, folder, clock=shop.clock, batch=10).once()
    assert shop.rows("SELECT COUNT(*) FROM knowledge") == [(3,)]


def test_what_is_learned_is_learned_for_the_guide_that_decides_now(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    other, link = tmp_path / "other", tmp_path / "current"
    shutil.copytree(folder, other)
    about = json.loads((other / "guide.json").read_text())
    (other / "guide.json").write_text(json.dumps({**about, "made": "later"}))
    link.symlink_to(folder)
    shop = Shop(database, folder)
    shop.campaign(hold_out=0)
    for user in range(10):
        shop.report(shop.ask(f"u{user:02}"), "impression", "skip")
    shop.now += DAY
    worker = Worker(database, link, clock=shop.clock, batch=10)
    worker.once()
    link.unlink()
    link.symlink_to(other)
    worker.once()
    names = [name for (name,) in shop.rows("SELECT guide FROM knowledge ORDER BY version")]
    assert names == [guide_name(folder), guide_name(other)]


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_job_that_is_impossible_fails_with_a_sentence(database: Database, folder: Path) -> None:
    shop = Shop(database, folder)
    version = shop.draft(audience={"users": ("nobody knows",)})
    about = campaigns.about_forecast(version)
    given = {"campaign_id": version.campaign_id, "version": 1}
    with database.writing() as connection:
        jobs.enqueue(connection, TENANT, "forecast", about, given)
    Errands(database, folder).all()
    found = job(database, about)
    assert found.state == "failed"
    assert found.error == "the guide knows nobody of the audience: nothing can be forecast"


def test_one_at_a_time_has_the_lock(database: Database) -> None:
    with only_one(database) as first:
        assert first is not None
        with only_one(database) as second:
            assert second is None
        first()
    for _ in range(50):  # let go of at once, not when the server notices
        with only_one(database) as next_one:
            assert next_one is not None


def test_who_waits_has_it_when_the_other_lets_go(database: Database) -> None:
    got = threading.Event()

    def wait() -> None:
        with only_one(database, threading.Event()) as check:
            assert check is not None
            got.set()

    waiting = threading.Thread(target=wait)
    with only_one(database):
        waiting.start()
        assert not got.wait(1.5)
    assert got.wait(PATIENCE)
    waiting.join()


def test_a_second_worker_is_refused_where_only_what_is_due_is_wanted(
    database: Database, folder: Path
) -> None:
    with only_one(database), pytest.raises(StoreError, match="another worker is at this store"):
        Worker(database, folder).once()


def test_who_changes_something_does_not_wait_for_the_worker(database: Database) -> None:
    items = [{"item_id": "i", "title": "", "categories": (), "text": "", "available": True}]
    with only_one(database), database.writing() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        care.change(connection, TENANT, Care(excluded_groups=("minors",)), by="t", at=DAY)
        say_items(connection, TENANT, items, by="t", at=DAY)
        erase(connection, TENANT, "somebody", by="t", at=DAY)


def test_a_lost_connection_is_a_lost_lock(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("a file is not lost")
    with only_one(database) as check:
        assert check is not None
        with database.writing() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(StoreError, match="the worker's lock is lost"):
            check()


def test_what_others_wait_for_never_rests_long() -> None:
    for every, takes, rests in ((0.01, 0.05, 0.1), (0.3, 0.0, 0.3)):
        chore, begun = Chore("it", every, partial(time.sleep, takes), 0.1), time.monotonic()
        chore.look()
        assert begun + takes + rests <= chore.next_at <= time.monotonic() + rests


def test_a_chore_that_fails_is_tried_again() -> None:
    done: list[int] = []

    def fails_once() -> None:
        done.append(1)
        if len(done) == 1:
            raise ValueError

    chore = Chore("it", 0.0, fails_once)
    chore.look()
    while len(done) < 2:  # it rests for some time
        time.sleep(0.01)
        chore.look()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_killed_worker_is_followed_by_the_next(database: Database, folder: Path) -> None:
    """Killed in the middle of a forecast, as is the process that makes it; stopped in another.

    On PostgreSQL see tests/serving/test_faults.py.
    """
    shop = Shop(database, folder)
    about = ask_forecast(shop)
    with worker_process(database, folder) as process:
        until(lambda: job(database, about).state == "working")
        process.send_signal(signal.SIGKILL)
    with database.writing() as connection:  # as if the lease had run out
        connection.exec_driver_sql("UPDATE jobs SET leased_until = 0 WHERE state = 'working'")
    with worker_process(database, folder) as process:
        until(lambda: job(database, about).state == "done")
        second = ask_forecast(shop)
        until(lambda: job(database, second).state in ("working", "done"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert job(database, second).state in ("waiting", "done")
