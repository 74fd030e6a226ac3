"""The parent of a service's processes: starts them, starts again what dies, and stops them all."""

import ctypes
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

DATABASE = "PROACTREC_DATABASE_URL"
"""Environment variable of the URL, which may hold a password: all may see a command line."""
GRACE_SECONDS = 25.0
"""Who has not ended by then is killed."""
LEAST_SECONDS, MOST_PAUSE = 5.0, 2.0
"""Who lives no longer than the first is started again after pauses that double up to the second."""
DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG
LOG = logging.getLogger(__name__)


@dataclass
class Child:
    """A process that is to run."""

    name: str
    command: Sequence[str]
    fds: Sequence[int] = ()
    may_end: bool = False  # it has done its work when it ends without an error
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    pause: float = 0.0  # before the next start
    starts_at: float = 0.0

    def start(self) -> None:
        """Start it (again)."""
        self.since = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            pass_fds=self.fds,
            stdin=subprocess.DEVNULL,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )

    def look(self) -> None:
        """Start it again if it has died, after a pause if it does so at once."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.process = None
            if self.may_end and code == 0:
                self.starts_at = math.inf
                return
            lived = now - self.since
            self.pause = 0.0 if lived > LEAST_SECONDS else min(MOST_PAUSE, 2 * self.pause or 0.25)
            self.starts_at = now + self.pause
            LOG.warning("%s ended with code %d: started again", self.name, code)
        if now >= self.starts_at:
            self.start()


class Supervisor:
    """Children that run until this process is told to stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = children
        self.is_stopping = False

    def run(self) -> None:
        """Keep them running; ends when SIGTERM or SIGINT has stopped them all."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._told)
        while not self.is_stopping:
            for child in self.children:
                child.look()
            time.sleep(0.1)
        self._stop()

    def _told(self, _: int, __: FrameType | None) -> None:
        self.is_stopping = True

    def _stop(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        end = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                LOG.warning("a process did not stop in time: killed")
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    """In the child: SIGTERM when the parent dies, however that happens; signals of a terminal go
    to the parent, which passes them on.
    """
    ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGTERM)
    os.setpgid(0, 0)
