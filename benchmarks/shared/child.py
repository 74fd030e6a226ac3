"""What a child process takes: seconds by the clock and of the processor, and the most memory."""

import json
import subprocess
import sys
from typing import NamedTuple

PROACTREC = [sys.executable, "-m", "proactrec"]
"""The command, by the same Python."""
WATCHER = (
    "import json, resource, subprocess, sys, time\n"
    "start = time.perf_counter()\n"
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime, "
    "used.ru_maxrss / 2**20, done.returncode, done.stdout]))"
)
"""A small process in between: a child's most memory begins at that of its parent."""


class Taken(NamedTuple):
    """What a process took, and gave."""

    seconds: float
    cpu_seconds: float
    gib: float
    code: int
    out: str


def taken(command: list[str]) -> Taken:
    """Run a command to its end; its errors go where ours go."""
    watched = [sys.executable, "-c", WATCHER, *command]
    done = subprocess.run(watched, stdout=subprocess.PIPE, text=True, check=True)
    return Taken(*json.loads(done.stdout))
