"""Faults under load, one after the other, and what callers meet meanwhile."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from faults_parts.check import checked
from faults_parts.load import Load
from faults_parts.site import Postgres, Service, end, until
from proactrec.store.campaign import Campaign
from proactrec.store.database import Database

BUDGET, ITEM_CAP, DAILY_CAP = 150, 12, 3
"""Of a campaign that runs while one fault happens: they are reached about when it does."""
N_USERS, N_SHELF = 120, 24
AFTER_SECONDS = 1.5
"""For which the load goes on once the service is ready again."""


class Setting(NamedTuple):
    """What a run needs."""

    guide: Path
    folder: Path
    rng: random.Random
    times: int
    pause: float = 0.0  # seconds of a shop between two visits


class Stage:
    """A service under load, on a database."""

    def __init__(self, setting: Setting, service: Service, database: Database) -> None:
        self.service, self.database, self.rng = service, database, setting.rng
        items = pl.read_parquet(setting.guide / "items.parquet").sort("n_users", descending=True)
        self._targets = tuple(items["item_id"][N_SHELF : N_SHELF + 3])
        shelf = [*items["item_id"][:N_SHELF], *self._targets]
        self._known = pl.read_parquet(setting.guide / "users.parquet")["user_id"].to_list()
        self.load = Load(service.port, service.key, shelf, self._crowd(0), pause=setting.pause)
        self._n = 0

    @contextmanager
    def campaign(self) -> Iterator[None]:
        """A new campaign with limits, toward which a new crowd is led; stopped afterwards."""
        self._n += 1
        said = Campaign(
            name=f"fault {self._n}",
            goal={"items": self._targets},
            hold_out=0.1,
            rails={
                "daily_cap": DAILY_CAP,
                "daily_cap_counts": "campaign",
                "item_cap_total": ITEM_CAP,
            },
            budget={"total": BUDGET},
            offer_seconds=1,
        )
        with self.service.client() as client:
            made = client.create(said)
            client.start(made.id, without_forecast="a fault is tried")
            self.load.users = self._crowd(self._n)
            yield
            client.stop(made.id, "the fault is over")

    def until_ready(self, since: float) -> float:
        """Seconds from a fault until `/readyz` says 200 and a decision asked after it is kept."""
        until(self.service.is_ready, "ready again")
        until(lambda: self.load.seen.kept_since > since, "a decision is kept")
        return round(time.monotonic() - since, 2)

    def _crowd(self, number: int) -> list[str]:
        """Half are known to the guide, half come for the first time."""
        half = min(N_USERS // 2, len(self._known))
        known = random.Random(number).sample(self._known, half)
        return [*known, *(f"new-{number}-{n}" for n in range(N_USERS - half))]


@contextmanager
def stage(setting: Setting, url: str, **how: Any) -> Iterator[Stage]:
    """A service under load; everything is stopped at the end."""
    database = Database(url)
    service = Service(setting.guide, url, setting.folder / "service.log", **how)
    try:
        found = Stage(setting, service, database)
        until(service.is_ready, "ready")
        found.load.start()
        yield found
    finally:
        service.stop()
        database.close()


@contextmanager
def postgres(setting: Setting, **how: Any) -> Iterator[Postgres]:
    """A server in the folder of a run."""
    server = Postgres(setting.folder, **how)
    server.start()
    server.until_ready()
    try:
        yield server
    finally:
        server.stop()


def ended(on: Stage) -> dict[str, Any]:
    """Stop the load, and hold what it saw against the database."""
    on.load.stop()
    return checked(on.database, on.load.seen)


def struck(on: Stage, name: str, strike: Callable[[], None]) -> dict[str, Any]:
    """One fault at a random moment of a campaign, and what callers met until all was well."""
    with on.campaign():
        time.sleep(on.rng.uniform(0.2, 2.0))
        before = on.load.seen.since()
        begun = time.monotonic()
        strike()
        seconds = on.until_ready(begun)
        time.sleep(AFTER_SECONDS)
        told = {"fault": name, "ready_after": seconds, **on.load.seen.since()}
    print(told, flush=True)
    return {**told, "median_before": before["median"]}


def kill_instance(on: Stage) -> None:
    """SIGKILL for one instance."""
    end(on.rng.choice(on.service.pids("instance")), signal.SIGKILL)


def kill_worker(on: Stage) -> None:
    """SIGKILL for the worker, which is there again before this ends."""
    on.service.until_all("worker", 1)
    (pid,) = on.service.pids("worker")
    end(pid, signal.SIGKILL)
    until(lambda: on.service.pids("worker") not in ([], [pid]), "the worker is there again")


def kill_postgres(server: Postgres) -> None:
    """SIGKILL for all of PostgreSQL, started again at once on what it left."""
    server.kill()
    server.start()


def kills(setting: Setting, database: str) -> dict[str, Any]:
    """Instances, the worker and PostgreSQL killed under load, so many times each."""
    with ExitStack() as stack:
        url, server = f"sqlite:///{setting.folder / 'store.db'}", None
        if database == "postgresql":
            server = stack.enter_context(postgres(setting))
            url = server.url
        on = stack.enter_context(stage(setting, url))
        faults: list[tuple[str, Callable[[], None], int]] = [
            ("instance", lambda: kill_instance(on), setting.times),
            ("worker", lambda: kill_worker(on), max(1, setting.times // 4)),
        ]
        if server is not None:
            faults.append(("postgresql", lambda: kill_postgres(server), setting.times))
        rows = [struck(on, name, strike) for name, strike, n in faults for _ in range(n)]
        return {"faults": rows, **ended(on)}
