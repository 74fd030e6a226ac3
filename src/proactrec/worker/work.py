"""The worker: settles, steers, watches, learns and does jobs, while it has the store's lock."""

import logging
import math
import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proactrec.errors import StoreError
from proactrec.guidance.saved import guide_name
from proactrec.serving import metrics
from proactrec.serving.guides import Guides
from proactrec.serving.host import wall_clock
from proactrec.store import campaigns, jobs
from proactrec.store.database import Database
from proactrec.store.jobs import Job, LostJobError
from proactrec.store.leases import take_back
from proactrec.worker.counting import count
from proactrec.worker.expiry import settle
from proactrec.worker.job import KINDS, LEASE_SECONDS, begin
from proactrec.worker.learning import BATCH, Learning
from proactrec.worker.lock import Check, only_one
from proactrec.worker.ramps import steer
from proactrec.worker.watching import Watcher

logger = logging.getLogger(__name__)
REST = 10.0
"""A chore rests this many times as long as it took, so that others have the machine."""
MOST_REST = 2.0
"""Seconds that a chore rests at most which others wait for: it gives back what it finds."""
SETTLING_SECONDS = 1.0
"""What is due beyond it is settled at the next look."""
TICK_SECONDS = 0.2
COUNTING_SECONDS = 1.0
"""Of counts that are quick many are made at once."""


@dataclass
class Chore:
    """Something that is done again and again."""

    name: str
    every: float  # seconds, at least
    do: Callable[[], object]
    most_rest: float = math.inf  # unless `every` is more
    next_at: float = 0.0

    def look(self) -> None:
        """Do it if it is time; what fails is told, and tried again later.

        Raises
        ------
        StoreError
            If the store can't be reached.
        """
        began = time.monotonic()
        if began < self.next_at:
            return
        try:
            with metrics.CHORE_SECONDS.labels(self.name).time():
                self.do()
        except StoreError:
            metrics.CHORES_FAILED.labels(self.name).inc()
            raise
        except Exception:
            metrics.CHORES_FAILED.labels(self.name).inc()
            logger.exception("%s failed", self.name)
        else:
            metrics.CHORE_DONE.labels(self.name).set_to_current_time()
        took = time.monotonic() - began
        self.next_at = time.monotonic() + max(self.every, min(REST * took, self.most_rest))


class Worker:
    """What one process does beside the instances.

    Parameters
    ----------
    folder : Path
        Of the guide.
    clock : callable, optional
        Microseconds of UTC since 1970.
    batch : int, optional
        Decisions of the first batches that are learned from.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        clock: Callable[[], int] = wall_clock,
        batch: int = BATCH,
    ) -> None:
        self._database, self._folder, self._clock = database, folder, clock
        self._guides, self._batch = Guides(folder), batch
        self._learning, self._watcher = self._of_guide()
        self._errands = Errands(database, folder)
        self._leads = threading.Event()

    def run(self, ends: threading.Event) -> None:
        """Work until it is told to end; waits for another worker, and for a store that is away."""
        counting = threading.Thread(target=self._count, args=(ends,), name="counting", daemon=True)
        counting.start()
        while not ends.is_set():
            try:
                with only_one(self._database, ends) as check:
                    if check is not None:
                        self._go_on(ends, check)
            except StoreError as error:
                logger.warning("%s: tried again", error)
                ends.wait(1.0)
            finally:
                self._leads.clear()
                self._errands.leave()
        counting.join(1.0)

    def once(self) -> None:
        """Do all that is due.

        Raises
        ------
        StoreError
            If the store can't be reached, or another worker has it.
        """
        with only_one(self._database) as check:
            if check is None:
                raise StoreError("another worker is at this store: it does what is due")
            self._settle()
            self._take_back()
            self._steer()
            self._watch()
            self._learn()
            count(self._database, self._clock())
            self._errands.all()

    def _go_on(self, ends: threading.Event, check: Check) -> None:
        logger.info("the worker has the store's lock")
        self._leads.set()
        chores = [
            Chore("the lock", 1.0, check),
            Chore("settling", 1.0, partial(self._settle, SETTLING_SECONDS), MOST_REST),
            Chore("leases", 5.0, self._take_back, MOST_REST),
            Chore("steering", 5.0, self._steer),
            Chore("watching", 30.0, self._watch),
            Chore("learning", 30.0, self._learn),  # instances make guides anew for each lesson
            Chore("jobs", 0.5, self._errands.look),
        ]
        while not ends.wait(TICK_SECONDS):
            for chore in chores:
                chore.look()

    def _count(self, ends: threading.Event) -> None:
        """Count while this worker is the one that works, beside all that must not wait for it."""

        def some() -> int:
            return count(self._database, self._clock(), seconds=COUNTING_SECONDS)

        chore = Chore("counting", 1.0, some)
        while not ends.wait(TICK_SECONDS):
            try:
                if self._leads.is_set():
                    chore.look()
            except StoreError as error:
                logger.warning("%s: counted later", error)
                ends.wait(1.0)

    def _of_guide(self) -> tuple[Learning, Watcher]:
        whose = self._database, self._guides, self._clock
        return Learning(*whose, batch=self._batch), Watcher(*whose, batch=self._batch)

    def _take_guide(self) -> None:
        """Learn for the guide that decides by now."""
        if guide_name(self._folder) != self._guides.name:
            self._guides = Guides(self._folder)
            self._learning, self._watcher = self._of_guide()
            logger.info("guide %s is learned for", self._guides.name)

    def _settle(self, seconds: float = math.inf) -> None:
        found = settle(self._database, self._clock(), seconds=seconds)
        if any(found):
            logger.info("%d offers given back, %d not answered", found.n_expired, found.n_lapsed)

    def _take_back(self) -> None:
        if n := take_back(self._database):
            logger.info("%d leases were over: what they left is given back", n)

    def _steer(self) -> None:
        steer(self._database, self._clock())

    def _watch(self) -> None:
        self._take_guide()
        with self._database.reading() as connection:
            tenants = campaigns.tenants(connection)
        for tenant in tenants:
            self._watcher.look(tenant)

    def _learn(self) -> None:
        self._take_guide()
        with self._database.reading() as connection:
            tenants = campaigns.tenants(connection)
        for tenant in tenants:
            if n := self._learning.learn(tenant):
                logger.info("tenant %s: %d versions learned", tenant, n)


class Errands:
    """Jobs, one after the other, each in a process of its own."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._name = f"worker-{secrets.token_hex(4)}"
        self._job: Job | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def look(self) -> None:
        """Begin the next job when there is one and none is being done."""
        if self._process is not None and self._process.is_alive():
            return
        self._process = self._job = None
        job = jobs.claim(self._database, self._name, list(KINDS), LEASE_SECONDS)
        if job is not None:
            logger.info("job %s: %s, try %d", job.job_id, job.about, job.n_tries)
            self._job, self._process = job, begin(self._database, self._folder, job)

    def all(self) -> None:
        """Do all that wait."""
        while True:
            self.look()
            if self._process is None:
                return
            self._process.join()

    def leave(self) -> None:
        """Stop what is being done, and leave it to the next worker."""
        process, job = self._process, self._job
        self._process = self._job = None
        if process is None or job is None or not process.is_alive():
            return
        process.terminate()
        process.join()
        try:
            with self._database.writing() as connection:
                jobs.put_back(connection, job)
        except (StoreError, LostJobError) as error:
            logger.warning("job %s comes back when its lease is over: %s", job.job_id, error)
