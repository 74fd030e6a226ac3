"""The service as its command starts it: processes of its own."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

COMMAND = [sys.executable, "-c", "from proactrec.cli.main import main; main()", "serve"]
READY_SECONDS = 120
"""Ten are promised; tests may share their processors with many others."""


class Started:
    """A service that was started by its command."""

    def __init__(self, told: Path, *flags: str) -> None:
        self._told = told
        with told.open("w") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", "0", *flags], stdout=subprocess.PIPE, stderr=file, text=True
            )
        end = time.monotonic() + READY_SECONDS
        while not (found := re.search(r"at (https?://\S+),", self.told)):
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError(self.told)
            time.sleep(0.05)
        self.url = found[1]

    @property
    def told(self) -> str:
        """What it said beside what it printed."""
        return self._told.read_text()

    def printed(self) -> str:
        """The next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=2).is_success
        except httpx2.TransportError:
            return False

    def until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, self.told
            assert time.monotonic() < end, self.told
            time.sleep(0.05)

    def instances(self) -> list[int]:
        """Process ids of the instances."""
        own = self.process.pid
        pids = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [
            int(pid)
            for pid in pids
            if b"proactrec.serving.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def stop(self) -> str:
        """What it printed last."""
        self.process.send_signal(signal.SIGTERM)
        printed, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.told
        return str(printed)


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[Started]:
    found = Started(folder / "told.txt", *flags)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.communicate()
