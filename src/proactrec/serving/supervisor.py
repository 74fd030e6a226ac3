"""The parent of a service's processes: starts them, starts again what dies, replaces them one by
one when it is told to, and stops them all.
"""

import ctypes
import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

from proactrec.errors import LostWorkersError

DATABASE = "PROACTREC_DATABASE_URL"
"""Environment variable of the URL, which may hold a password: all may see a command line."""
FIGURES = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of the folder in which processes keep their figures."""
INSTANCE = "PROACTREC_INSTANCE"
"""Environment variable of a process's name, which log lines, figures and spans bear."""
READY = "PROACTREC_READY"
"""Environment variable of the file descriptor by which a process says that it works."""
GRACE_SECONDS = 25.0
"""Who has not ended by then is killed."""
READY_SECONDS = 120.0
"""Who does not work by then takes nobody's place."""
LEAST_SECONDS, MOST_PAUSE = 5.0, 2.0
"""Who lives no longer than the first is started again after pauses that double up to the second."""
MOST_STARTS = 3
"""Who has ended so often, and has never worked, is not started again."""
TICK_SECONDS = 0.1
DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG
LOG = logging.getLogger(__name__)


@dataclass
class Child:
    """A process that is to run."""

    name: str
    command: Sequence[str]
    fds: Sequence[int] = ()
    says_ready: bool = False
    may_end: bool = False  # it has done its work when it ends without an error
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    pause: float = 0.0  # before the next start
    starts_at: float = 0.0
    reader: int | None = None  # where it says that it works
    has_said: bool = False  # since it was started
    has_worked: bool = False  # since it was started first
    n_starts: int = 0

    def start(self) -> None:
        """Start it (again)."""
        self.since, self.has_said = time.monotonic(), False
        self.n_starts += 1
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            self.command,
            pass_fds=(*self.fds, writer),
            stdin=subprocess.DEVNULL,
            env={**os.environ, INSTANCE: self.name, READY: str(writer)},
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        os.close(writer)
        self.reader = reader

    def look(self) -> None:
        """Start it again if it has died, after a pause if it does so at once.

        Raises
        ------
        LostWorkersError
            If it has died whenever it was started, and never worked.
        """
        now = time.monotonic()
        if self.process is not None:
            lived, code = now - self.since, self.process.poll()
            self._hear()
            self.has_worked |= self.has_said if self.says_ready else lived > LEAST_SECONDS
            if code is None:
                return
            self.forget()
            if self.may_end and code == 0:
                self.starts_at = math.inf
                return
            if self.n_starts >= MOST_STARTS and not self.has_worked:
                raise LostWorkersError(
                    f"{self.name} must work once it is started, and ended {self.n_starts} times "
                    f"before it did, the last time with code {code}: why, it has said above"
                )
            self.pause = 0.0 if lived > LEAST_SECONDS else min(MOST_PAUSE, 2 * self.pause or 0.25)
            self.starts_at = now + self.pause
            LOG.warning("%s ended with code %d: started again", self.name, code)
        if now >= self.starts_at:
            self.start()

    @property
    def has_ended(self) -> bool:
        """Whether it does not run."""
        return self.process is None or self.process.poll() is not None

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it works; one that says nothing is as soon as it runs."""
        self._hear()
        return not self.has_ended and (self.has_said or not self.says_ready)

    def successor(self) -> "Child":
        """Who is to take its place: by another name, as both run for a while."""
        name = self.name.removesuffix("b") if self.name.endswith("b") else f"{self.name}b"
        command, fds, says_ready = self.command, self.fds, self.says_ready
        return Child(name, command, fds, says_ready=says_ready, may_end=self.may_end)

    def _hear(self) -> None:
        """Take note of what it says."""
        if self.reader is not None and select.select([self.reader], [], [], 0)[0]:
            self.has_said |= bool(os.read(self.reader, 1))

    def forget(self) -> None:
        """Let go of a process that has ended, and of what it told of the present."""
        self.process = None
        if self.reader is not None:
            os.close(self.reader)
            self.reader = None
        if FIGURES in os.environ:
            mark_process_dead(self.name, os.environ[FIGURES])  # type: ignore[no-untyped-call]


class Supervisor:
    """Children that run until this process is told to stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        self.is_stopping = False
        self._is_replacing = False

    def run(self) -> None:
        """Keep them running; ends when SIGTERM or SIGINT has stopped them all.

        Raises
        ------
        LostWorkersError
            If one has died whenever it was started; all others are stopped then.
        """
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, self._told)
        try:
            while not self.is_stopping:
                self._look()
                if self._is_replacing:
                    self._is_replacing = False
                    self._replace_all()
                time.sleep(TICK_SECONDS)
        finally:
            _stop(self.children)

    def _told(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._is_replacing = True
        else:
            self.is_stopping = True

    def _look(self) -> None:
        for child in self.children:
            child.look()

    def _replace_all(self) -> None:
        """One after the other: each successor works before its predecessor is told to stop."""
        LOG.info("all processes are replaced, one by one")
        for at, old in enumerate(self.children):
            if old.may_end:
                continue
            new = old.successor()
            new.start()
            if not self._waited_for(new):
                LOG.error("%s does not work: the processes that run go on", new.name)
                _stop([new])
                return
            self.children[at] = new
            _stop([old])
        LOG.info("all processes were replaced")

    def _waited_for(self, child: Child) -> bool:
        end = time.monotonic() + READY_SECONDS
        while not (self.is_stopping or child.has_ended or time.monotonic() > end):
            if child.is_ready:
                return True
            self._look()
            time.sleep(TICK_SECONDS)
        return False


def instance_name() -> str:
    """Of this process."""
    return os.environ.get(INSTANCE, "proactrec")


def _stop(children: Sequence[Child]) -> None:
    running = [child for child in children if child.process is not None]
    for child in running:
        child.process.terminate()  # type: ignore[union-attr]
    end = time.monotonic() + GRACE_SECONDS
    for child in running:
        process = child.process
        assert process is not None
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            LOG.warning("%s did not stop in time: killed", child.name)
            process.kill()
            process.wait()
        child.forget()


def _end_with_parent() -> None:
    """In the child: SIGTERM when the parent dies, however that happens; signals of a terminal go
    to the parent, which passes them on.
    """
    ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGTERM)
    os.setpgid(0, 0)
