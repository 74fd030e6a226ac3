"""Finding processes, and waiting until a plan is half done."""

import time
from collections.abc import Callable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Processes that a process started, and those that they did."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        own = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def named(pids: list[int], name: str) -> list[int]:
    """Those whose command line holds the name."""
    return [pid for pid in pids if name in command_line(pid)]


def command_line(pid: int) -> str:
    """Of a process; empty once it ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def n_files(out: Path) -> int:
    """Files of shards that are done."""
    return len(list(out.glob("[!.]*.parquet")))
