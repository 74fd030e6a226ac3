"""What `proactrec doctor` looks at of a service: its guide, database, worker, keys and address."""

import ipaddress
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import numpy as np
from sqlalchemy import func, select

from proactrec.cli.doctor import free_disk
from proactrec.cli.finding import Finding
from proactrec.cli.serve import default_database
from proactrec.errors import InvalidInputError, ProactrecError, StoreError
from proactrec.serving.calling import checked_url
from proactrec.serving.guides import Guides
from proactrec.serving.host import wall_clock
from proactrec.store import campaigns
from proactrec.store.database import Database, Hot
from proactrec.store.people import SECOND
from proactrec.store.tables import KEYS, LEASES
from proactrec.worker.lock import only_one

N_COMMITS, MOST_COMMIT_MS = 100, 100.0
MOST_SKEW_SECONDS = 1.0
OVERDUE = 300 * SECOND
"""Leases that are over for longer should have been given back."""
NOTHING = "SELECT pg_logical_emit_message(true, 'proactrec', 'doctor')"
"""Written and synced by PostgreSQL as any row is, into no table."""


def service_findings(guide: Path | None, url: str | None, api: str | None) -> list[Finding]:
    """All that can be seen of a service from here."""
    found: list[Finding] = []
    if guide is not None:
        found.append(_guide(guide))
        url = url or default_database(guide)
    if url is not None:
        found += _of_database(url)
    if api is not None:
        found += _of_api(api)
    return found


def _guide(folder: Path) -> Finding:
    try:
        guides = Guides(folder)
        guides.plain()
    except ProactrecError as error:
        return Finding("guide", str(error), "make one with `proactrec guide fit`")
    n_users = len(guides.saved.known.user_ids)
    return Finding("guide", f"{guides.name}: {len(guides.items):,} items, {n_users:,} users")


def _of_database(url: str) -> Iterator[Finding]:
    with closing(Database(url)) as database:
        yield from _of_opened(database)


def _of_opened(database: Database) -> Iterator[Finding]:
    try:
        database.check_there()
        is_current = database.is_current()
    except StoreError as error:
        yield Finding("database", str(error), "start it, or correct --database-url")
        return
    yield Finding("database", "it answers")
    if database.file is not None:
        yield free_disk("disk of the database", database.file.parent)
    if not is_current:
        todo = "start a service of this version: it brings it along"
        yield Finding("schema", "older than this version", todo)
        return
    yield Finding("schema", "of this version, or a newer one")
    yield _commits(database)
    yield _clock(database)
    yield _worker(database)
    yield _leases(database)
    yield _keys(database)


def _commits(database: Database) -> Finding:
    """How long a commit takes: each decision waits for one."""
    took = []
    for _ in range(N_COMMITS):
        start = time.perf_counter()
        with database.writing() as connection:
            if database.is_sqlite:
                number = connection.exec_driver_sql("PRAGMA user_version").scalar()
                connection.exec_driver_sql(f"PRAGMA user_version = {number}")
            else:
                connection.exec_driver_sql(NOTHING)
        took.append(1000 * (time.perf_counter() - start))
    p50, p99 = np.quantile(took, [0.5, 0.99])
    is_quick = p99 <= MOST_COMMIT_MS
    todo = "" if is_quick else "let the database's disk sync faster: each decision waits for it"
    return Finding("a commit", f"{p50:.1f} ms, p99 {p99:.1f} ms", todo)


def _clock(database: Database) -> Finding:
    with database.reading() as connection:
        before, at, after = wall_clock(), Hot(connection).clock(), wall_clock()
    skew = max(before - at, at - after, 0) / SECOND
    is_close = skew <= MOST_SKEW_SECONDS
    todo = "" if is_close else "synchronise both clocks (NTP)"
    return Finding("clock", f"{skew:.2f} s from the database's", todo)


def _worker(database: Database) -> Finding:
    with database.reading() as connection:
        n_running = sum(
            one.state == "running"
            for tenant in campaigns.tenants(connection)
            for one in campaigns.all_current(connection, tenant)
        )
    with only_one(database) as check:
        works = check is None
    todo = "" if works or not n_running else "start `proactrec serve` or `proactrec work`"
    who = "one has the store's lock" if works else "none has the store's lock"
    return Finding("worker", f"{who}, {n_running} campaigns are running", todo)


def _leases(database: Database) -> Finding:
    with database.reading() as connection:
        now = Hot(connection).clock()
        n_all = connection.execute(select(func.count()).select_from(LEASES)).scalar()
        late = select(func.count()).where(LEASES.c.expires_at < now - OVERDUE)
        n_late = connection.execute(late).scalar()
    todo = "start a worker, which gives them back to budgets" if n_late else ""
    return Finding("leases of budgets", f"{n_all}, {n_late} of them overdue", todo)


def _keys(database: Database) -> Finding:
    with database.reading() as connection:
        holding = select(func.count()).where(KEYS.c.revoked_at.is_(None))
        n = connection.execute(holding).scalar()
    return Finding("keys", f"{n} hold", "" if n else "make one with `proactrec keys create`")


def _of_api(api: str) -> Iterator[Finding]:
    try:
        answer = httpx2.get(f"{checked_url(api)}/readyz", timeout=5)
    except (httpx2.HTTPError, InvalidInputError) as error:
        yield Finding("service", f"{api}: {error}", "start `proactrec serve`, or correct --api")
        return
    is_ready = answer.status_code == 200
    why = "" if is_ready else f"it is not ready (status {answer.status_code}): see its log"
    yield Finding("service", f"{api} answers", why)
    is_private = urlsplit(api).scheme == "https" or _is_loopback(str(urlsplit(api).hostname))
    todo = "" if is_private else "keys cross the network as they are: put TLS in front"
    yield Finding("address", "of this machine or by TLS" if is_private else "of a network", todo)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
