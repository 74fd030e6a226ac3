"""Jobs that take long or must be done once, leased to workers: a killed one's comes back."""

import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Subquery,
    and_,
    func,
    or_,
    select,
    update,
)

from proactrec.errors import ProactrecError, RateError
from proactrec.store.database import Database, Hot
from proactrec.store.people import SECOND
from proactrec.store.tables import IS_OPEN, JOBS

MOST_TRIES = 3
"""A job whose worker died so often is not tried again."""
MOST_OPEN = 100
"""Jobs of a tenant that wait or are being done; of those who ask at once some more may."""
FULL_SECONDS = 60.0
"""After so long it is worth asking again."""
_ROW = JOBS.c


class LostJobError(ProactrecError, RuntimeError):
    """Another worker has the job by now: what this one did of it must not be committed."""


class Job(NamedTuple):
    """Something to do, and what came of it."""

    tenant: str
    job_id: str
    kind: str
    about: str
    given: dict[str, Any]
    state: str
    worker: str | None
    n_tries: int
    result: dict[str, Any] | None
    error: str | None
    made_at: int
    ended_at: int | None


def enqueue(
    connection: Connection, tenant: str, kind: str, about: str, given: Mapping[str, Any]
) -> str:
    """The id of the job that does this; one that has not ended yet is not doubled.

    Raises
    ------
    RateError
        If the tenant has too many that have not ended yet.
    """
    hot, job_id = Hot(connection), secrets.token_hex(6)
    what = (tenant, job_id, kind, about, json.dumps(dict(given)), "waiting")
    row = (*what, None, None, 0, None, None, hot.clock(), None)
    query = select(_ROW.job_id).where(_ROW.tenant == tenant, _ROW.about == about, IS_OPEN)
    while True:  # the other one may end before it is looked up
        found: str | None = connection.execute(query).scalar()
        if found is not None:
            return found
        _check_room(connection, tenant)
        hot.insert(JOBS, [row], "ON CONFLICT DO NOTHING")


def claim(
    database: Database, worker: str, kinds: Collection[str], lease_seconds: float
) -> Job | None:
    """The next job of these kinds that nobody does, for a worker; None: there is none.

    It is the oldest one of the tenant whose turn is longest ago, so that nobody's jobs hold up
    those of others.

    Parameters
    ----------
    worker : str
        Its name, that no other worker has.
    lease_seconds : float
        If it isn't renewed or ended by then, others may have the job.
    """
    with database.writing() as connection:
        now = Hot(connection).clock()
        has_died = and_(_ROW.state == "working", _ROW.leased_until <= now)
        _give_up(connection, and_(has_died, _ROW.n_tries >= MOST_TRIES), now)
        is_free = and_(_ROW.kind.in_(kinds), or_(_ROW.state == "waiting", has_died))
        last = _last_turns(is_free)
        query = (
            select(JOBS)
            .join(last, last.c.tenant == _ROW.tenant)
            .where(is_free)
            .order_by(last.c.until, _ROW.made_at, _ROW.job_id)
            .limit(1)
            .with_for_update(of=JOBS, skip_locked=True)
        )
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        until = now + int(lease_seconds * SECOND)
        mine = {"state": "working", "worker": worker, "n_tries": row["n_tries"] + 1}
        key = and_(_ROW.tenant == row["tenant"], _ROW.job_id == row["job_id"])
        connection.execute(update(JOBS).where(key).values(leased_until=until, **mine))
        return _job(row)._replace(**mine)


def renew(
    database: Database,
    job: Job,
    lease_seconds: float,
    so_far: Mapping[str, Any] | None = None,
) -> None:
    """Hold a job for longer.

    Parameters
    ----------
    so_far : mapping, optional
        What to tell of it until its result is there.

    Raises
    ------
    LostJobError
        If another worker has it by now; of :func:`done` and :func:`failed` too.
    """
    with database.writing() as connection:
        until = Hot(connection).clock() + int(lease_seconds * SECOND)
        told = {} if so_far is None else {"result": json.dumps(dict(so_far))}
        _change(connection, job, leased_until=until, **told)


def done(connection: Connection, job: Job, result: Mapping[str, Any]) -> None:
    """End a job, in the transaction that keeps what came of it."""
    _end(connection, job, state="done", result=json.dumps(dict(result)))


def failed(connection: Connection, job: Job, error: str) -> None:
    """End a job that can't be done; it isn't tried again."""
    _end(connection, job, state="failed", error=error)


def put_back(connection: Connection, job: Job) -> None:
    """Leave a job to the next worker, as if this one had not tried."""
    left = {"state": "waiting", "worker": None, "leased_until": None, "n_tries": job.n_tries - 1}
    _change(connection, job, **left)


def newest(connection: Connection, tenant: str, about: str) -> Job | None:
    """The last job that is about something, in whatever state."""
    query = select(JOBS).where(_ROW.tenant == tenant, _ROW.about == about)
    row = connection.execute(query.order_by(_ROW.made_at.desc()).limit(1)).mappings().first()
    return None if row is None else _job(row)


def _last_turns(is_free: ColumnElement[bool]) -> Subquery:
    """Until when a worker had a job of each tenant who has free ones; 0: none had any."""
    jobs = JOBS.alias()
    tenants = select(_ROW.tenant).where(is_free).correlate(None)
    until = func.max(func.coalesce(jobs.c.leased_until, 0)).label("until")
    found = select(jobs.c.tenant, until).where(jobs.c.tenant.in_(tenants))
    return found.group_by(jobs.c.tenant).subquery()


def _check_room(connection: Connection, tenant: str) -> None:
    query = select(func.count()).select_from(JOBS).where(_ROW.tenant == tenant, IS_OPEN)
    n = int(connection.execute(query).scalar() or 0)
    if n >= MOST_OPEN:
        raise RateError(f"{n} jobs wait already, at most {MOST_OPEN} may: ask later", FULL_SECONDS)


def _give_up(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    error = f"its worker died {MOST_TRIES} times"
    ended = {"state": "failed", "error": error, "ended_at": now}
    connection.execute(update(JOBS).where(which).values(ended))


def _end(connection: Connection, job: Job, **values: Any) -> None:
    now = Hot(connection).clock()
    _change(connection, job, ended_at=now, **values)  # whose turn it was tells leased_until


def _change(connection: Connection, job: Job, **values: Any) -> None:
    is_mine = (_ROW.state == "working", _ROW.worker == job.worker, _ROW.n_tries == job.n_tries)
    key = (_ROW.tenant == job.tenant, _ROW.job_id == job.job_id)
    if not connection.execute(update(JOBS).where(*key, *is_mine).values(values)).rowcount:
        raise LostJobError(f"job {job.job_id} is another worker's by now, or has ended")


def _job(row: RowMapping) -> Job:
    values = {name: row[name] for name in Job._fields}
    values["given"] = json.loads(row["given"])
    values["result"] = None if row["result"] is None else json.loads(row["result"])
    return Job(**values)
