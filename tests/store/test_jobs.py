"""Jobs are done once, by one worker at a time, and come back when that dies."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from proactrec.errors import RateError
from proactrec.store.database import Database
from proactrec.store.jobs import Job, LostJobError, claim, done, enqueue, failed, newest, renew

from ..conftest import kind as kind
from .shop import TENANT, rows


def made(
    database: Database,
    about: str = "a",
    kind: str = "forecast",
    *,
    tenant: str = TENANT,
    **given: object,
) -> str:
    with database.writing() as connection:
        return enqueue(connection, tenant, kind, about, given)


def claimed(database: Database, worker: str = "w", *, seconds: float = 30) -> Job | None:
    return claim(database, worker, ["forecast"], seconds)


def ended(database: Database, job: Job, **result: object) -> None:
    with database.writing() as connection:
        done(connection, job, result)


def last(database: Database, about: str = "a") -> Job:
    with database.reading() as connection:
        found = newest(connection, TENANT, about)
    assert found is not None
    return found


def test_a_job_is_claimed_done_and_read(database: Database) -> None:
    job_id = made(database, n=3)
    assert last(database).state == "waiting"
    job = claimed(database)
    assert job is not None
    assert (job.job_id, job.given, job.n_tries) == (job_id, {"n": 3}, 1)
    assert last(database) == job
    assert claimed(database, "other") is None
    ended(database, job, mean=0.5)
    found = last(database)
    assert (found.state, found.result, found.error) == ("done", {"mean": 0.5}, None)
    assert found.ended_at >= found.made_at
    assert claimed(database) is None
    with database.reading() as connection:
        assert newest(connection, TENANT, "b") is None
        assert newest(connection, "other", "a") is None


def test_what_has_not_ended_is_not_doubled(database: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(lambda _: made(database), range(8)))
    assert len(ids) == 1
    job = claimed(database)
    assert made(database) == job.job_id
    assert made(database, "b") != job.job_id
    ended(database, job)
    again = made(database)
    assert again != job.job_id
    assert last(database).job_id == again


def test_the_oldest_of_the_kinds_comes_first_and_each_to_one(database: Database) -> None:
    made(database, "other", kind="learn")
    ids = []
    for n in range(20):
        time.sleep(0.002)  # SQLite tells milliseconds
        ids.append(made(database, str(n)))
    assert claimed(database).job_id == ids[0]
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda n: claimed(database, str(n)), range(24)))
    assert sorted(job.job_id for job in jobs if job) == sorted(ids[1:])
    assert claim(database, "w", ["learn"], 30).about == "other"


def test_nobody_s_jobs_hold_up_those_of_others(database: Database) -> None:
    for tenant, n_jobs in ((TENANT, 4), ("other", 2)):
        for n in range(n_jobs):
            time.sleep(0.002)
            made(database, str(n), tenant=tenant)
    turns = []
    for _ in range(6):
        job = claimed(database)
        assert job is not None
        turns.append((job.tenant, job.about))
        time.sleep(0.002)
        ended(database, job)
    both = [(tenant, about) for about in "01" for tenant in (TENANT, "other")]
    assert turns == [*both, (TENANT, "2"), (TENANT, "3")]
    assert claimed(database) is None


def test_a_tenant_has_so_many_jobs_that_have_not_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proactrec.store.jobs.MOST_OPEN", 3)
    ids = [made(database, str(n)) for n in range(3)]
    with pytest.raises(RateError, match="3 jobs wait already, at most 3 may"):
        made(database, "3")
    assert made(database, "2") == ids[2]
    job = claimed(database)
    assert job is not None
    with pytest.raises(RateError):
        made(database, "3")
    made(database, "3", tenant="other")
    ended(database, job)
    made(database, "3")


def test_a_killed_worker_s_job_comes_back_and_it_can_not_end_it(database: Database) -> None:
    made(database)
    first = claimed(database, "first", seconds=0.1)
    time.sleep(0.2)
    second = claimed(database, "second")
    assert (second.job_id, second.n_tries, second.worker) == (first.job_id, 2, "second")
    for late in (lambda: ended(database, first), lambda: renew(database, first, 30)):
        with pytest.raises(LostJobError, match="is another worker's by now"):
            late()
    ended(database, second, by="second")
    assert last(database).result == {"by": "second"}
    with pytest.raises(LostJobError):
        ended(database, second)


def test_what_is_renewed_does_not_come_back(database: Database) -> None:
    made(database)
    job = claimed(database, seconds=0.1)
    renew(database, job, 30)
    time.sleep(0.2)
    assert claimed(database, "other") is None
    ended(database, job)


def test_a_job_that_kills_its_workers_is_given_up(database: Database) -> None:
    job_id = made(database)
    for n_tries in (1, 2, 3):
        assert claimed(database, seconds=0).n_tries == n_tries
    assert claimed(database) is None
    found = last(database)
    assert (found.state, found.error) == ("failed", "its worker died 3 times")
    assert made(database) != job_id


def test_a_job_that_fails_is_not_tried_again(database: Database) -> None:
    made(database)
    job = claimed(database)
    with database.writing() as connection:
        failed(connection, job, "no guide")
    assert (last(database).state, last(database).error) == ("failed", "no guide")
    assert claimed(database) is None
    assert rows(database, "SELECT COUNT(*) FROM jobs") == [(1,)]
