"""The parent of a service's processes ends where starting them again helps nobody."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proactrec.errors import LostWorkersError
from proactrec.serving import supervisor
from proactrec.serving.supervisor import MOST_STARTS, READY, Child, Supervisor

TOLD_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STARTED = "open(sys.argv[1], 'a').write('.'); "
WORKS = f"os.write(int(os.environ['{READY}']), b'.'); "


def child(folder: Path, what: str) -> Child:
    """A process that says each time that it was started, and then does this."""
    code = f"import os, sys, time; {STARTED}{what}"
    command = (sys.executable, "-c", code, str(folder / "starts"))
    return Child("instance-1", command, says_ready=True)


def n_starts(folder: Path) -> int:
    return len((folder / "starts").read_text())


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(supervisor, "MOST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.01)
    before = {one: signal.getsignal(one) for one in TOLD_BY}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def test_who_never_works_is_not_started_for_ever(tmp_path: Path) -> None:
    other = Child("worker", (sys.executable, "-c", "import time; time.sleep(60)"))
    service = Supervisor([other, child(tmp_path, "sys.exit(7)")])
    with pytest.raises(LostWorkersError, match=r"ended 3 times before it did, .* with code 7"):
        service.run()
    assert n_starts(tmp_path) == MOST_STARTS
    assert other.has_ended


def test_who_has_worked_is_started_again_however_often_it_dies(tmp_path: Path) -> None:
    enough = 2 * MOST_STARTS
    is_enough = f"len(open(sys.argv[1]).read()) >= {enough}"
    one = child(tmp_path, f"{WORKS} time.sleep(60) if {is_enough} else sys.exit(7)")
    service = Supervisor([one])
    looked = service._look

    def look() -> None:
        looked()
        service.is_stopping = (tmp_path / "starts").exists() and n_starts(tmp_path) >= enough

    service._look = look  # type: ignore[method-assign]
    service.run()
    assert one.has_worked
    assert one.n_starts == enough
