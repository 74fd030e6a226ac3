"""One job, done by a process of its own, so that what is due meanwhile is done meanwhile.

It holds its lease while it lives. Killed at any time, the job is begun again by another process,
which finds what was finished in the store beside the guide.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proactrec.errors import ProactrecError, StoreError
from proactrec.progress import Progress
from proactrec.serving.audience import audience_of
from proactrec.serving.logs import log_to_stderr
from proactrec.serving.opening import with_items
from proactrec.store import campaigns, care, jobs, knowledge
from proactrec.store.database import Database, Hot
from proactrec.store.erased import rows_of
from proactrec.store.jobs import Job, LostJobError
from proactrec.worker.evidence import known_at
from proactrec.worker.forecasts import Plan, forecast
from proactrec.worker.off_policy import NEEDED, acceptance_under, as_json
from proactrec.worker.studies import rails, worlds

logger = logging.getLogger(__name__)
LEASE_SECONDS = 30.0
NICENESS = 10
"""Who waits for an answer goes first."""


def begin(database: Database, folder: Path, job: Job) -> multiprocessing.process.BaseProcess:
    """The process that does a job, started."""
    url = database.url.render_as_string(hide_password=False)
    own = multiprocessing.get_context("spawn")
    process = own.Process(target=_main, args=(url, folder, job), name=job.kind, daemon=True)
    process.start()
    return process


def do(database: Database, folder: Path, job: Job) -> None:
    """Do a job, and keep what came of it; what can't be done is said in a sentence."""
    keeper = Keeper(database, job)
    keeper.start()
    try:
        result = KINDS[job.kind](database, folder, job, keeper.told)
    except (StoreError, LostJobError):
        raise
    except ProactrecError as error:
        with database.writing() as connection:
            jobs.failed(connection, job, str(error))
    else:
        with database.writing() as connection:
            jobs.done(connection, job, result)
    finally:
        keeper.stop()


class Keeper(threading.Thread):
    """Renews the lease of a job, and tells how far it is; ends the process if the job is lost."""

    def __init__(self, database: Database, job: Job) -> None:
        super().__init__(name="keeper", daemon=True)
        self._database, self._job = database, job
        self._ends, self._so_far = threading.Event(), {"stage": "", "done": 0, "total": 0}

    def told(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take note of one more step."""
        self._so_far = {"stage": stage, "done": done, "total": total}

    def stop(self) -> None:
        """End before anything else is told."""
        self._ends.set()
        self.join()

    def run(self) -> None:
        """Until the job has ended."""
        parent = multiprocessing.parent_process()
        while not self._ends.wait(1.0):
            try:
                jobs.renew(self._database, self._job, LEASE_SECONDS, {"progress": self._so_far})
            except StoreError as error:  # it may come back before the lease is over
                logger.warning("the lease of job %s can't be renewed: %s", self._job.job_id, error)
            except LostJobError as error:
                logger.warning("%s", error)
                os._exit(1)
            if parent is not None and not parent.is_alive():
                os._exit(1)


def _main(url: str, folder: Path, job: Job) -> None:
    log_to_stderr()
    os.nice(NICENESS)
    database = Database(url)
    try:
        do(database, folder, job)
    except ProactrecError as error:
        logger.warning("job %s is left to others: %s", job.job_id, error)
    finally:
        database.close()


def _plan(database: Database, folder: Path, job: Job) -> Plan:
    """The campaign that a job is about, with all that it is played from."""
    given = job.given
    with database.reading() as connection:
        guides = with_items(connection, folder, job.tenant)
        version = campaigns.of_version(
            connection, job.tenant, given["campaign_id"], given["version"]
        )
        knows = knowledge.newest_versions(connection, guides.name).get(job.tenant, 0)
        guides.learned(job.tenant, knows, known_at(connection, job.tenant, knows, guides))
        cares = care.current(connection, job.tenant)
        meant = cares.on(version.said, guides.items).audience
        erased = rows_of(Hot(connection), job.tenant, guides.name)
        audience = audience_of(connection, job.tenant, meant, guides.saved.known, erased)
    return Plan(version, guides, audience, cares)


def _forecast(database: Database, folder: Path, job: Job, progress: Progress) -> dict[str, Any]:
    return forecast(_plan(database, folder, job), _store(folder), progress=progress)


def _worlds(database: Database, folder: Path, job: Job, progress: Progress) -> dict[str, Any]:
    plan, asked = _plan(database, folder, job), job.given["asked"]
    return worlds(plan, _store(folder), asked["policies"], progress=progress)


def _rails(database: Database, folder: Path, job: Job, progress: Progress) -> dict[str, Any]:
    return rails(_plan(database, folder, job), _store(folder), progress=progress)


def _off_policy(database: Database, folder: Path, job: Job, progress: Progress) -> dict[str, Any]:
    with database.reading() as connection:
        guides = with_items(connection, folder, job.tenant)
    campaign_id, policy = job.given["campaign_id"], job.given["asked"]["policy"]
    found = acceptance_under(database, job.tenant, campaign_id, policy, guides)
    return {"policy": policy, **as_json(found), "needed": NEEDED}


def _store(folder: Path) -> Path:
    """Of what was finished, beside the guide."""
    return folder.with_name(f"{folder.name}.store")


KINDS: dict[str, Callable[[Database, Path, Job, Progress], dict[str, Any]]] = {
    "forecast": _forecast,
    "worlds": _worlds,
    "rails": _rails,
    "off-policy": _off_policy,
}
