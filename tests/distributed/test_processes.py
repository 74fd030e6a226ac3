"""Processes that do the work, and what is left of it when they, or their owner, are killed."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from proactrec.distributed.processes import QUEUED, Processes
from proactrec.distributed.running import Part
from proactrec.distributed.running import here as done_here
from proactrec.distributed.shards import Shard
from proactrec.errors import DataError, InvalidInputError, LostWorkersError

from ..e2e.conftest import Command
from .conftest import Long, contents
from .killing import children, command_line, n_files, named, wait_until
from .works import Sums

Start = Callable[..., "subprocess.Popen[str]"]
WORKER = "spawn_main"


def parts(n: int = 9) -> list[Part]:
    return [(Shard(at, at, 1), pl.DataFrame({"value": [at]})) for at in range(n)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").write_text("100")
    return tmp_path


def test_processes_do_what_is_done_here(folder: Path) -> None:
    work = Sums(folder)
    found = sorted(Processes(2)(work, parts()))
    assert found == sorted(done_here(work, parts()))
    assert [content for _, content in found] == [str(100 + at).encode() for at in range(9)]


def test_parts_are_read_as_there_is_room(folder: Path) -> None:
    read: list[int] = []

    def reading() -> Iterator[Part]:
        for shard, rows in parts(50):
            read.append(shard.number)
            yield shard, rows

    for done, _ in enumerate(Processes(2)(Sums(folder), reading())):
        assert len(read) <= done + 4
    assert len(read) == 50


def test_what_a_killed_process_had_is_done_again(folder: Path) -> None:
    found = sorted(Processes(2)(Sums(folder, kills=4), parts()))
    assert (folder / "killed").exists()
    assert found == sorted(done_here(Sums(folder), parts()))


def test_processes_that_die_over_and_over_are_given_up(folder: Path) -> None:
    work = Sums(folder, kills=4, is_once=False)
    found = []
    with pytest.raises(LostWorkersError, match="processes died 3 times in a row"):
        found += [shard.number for shard, _ in Processes(1)(work, parts())]


def test_an_error_is_raised_as_it_is_here(folder: Path) -> None:
    with pytest.raises(DataError, match="value 3 is bad"):
        list(Processes(1)(Sums(folder, fails=3), parts()))


def test_there_is_at_least_one_process() -> None:
    with pytest.raises(InvalidInputError, match="processes must be at least 1, got 0"):
        Processes(0)


@pytest.mark.slow
def test_a_killed_process_a_stop_by_hand_and_a_killed_owner_change_no_file(
    start: Start, here: Command, long_plan: Long, tmp_path: Path
) -> None:
    """The same command goes on each time, and leaves what is done as it is."""
    out = tmp_path / "out"
    command = [*long_plan.command(out), "--processes", "2"]
    driver = start(*command)
    wait_until(lambda: n_files(out) >= 5, "five files")
    os.kill(named(children(driver.pid), WORKER)[0], signal.SIGKILL)
    n = n_files(out) + 2 * 2 * QUEUED  # more than were on their way
    wait_until(lambda: n_files(out) >= n, "others do it")
    driver.send_signal(signal.SIGINT)
    _, stderr = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert stderr.endswith("stopped; the same command goes on from here\n")
    assert "Traceback" not in stderr

    n = n_files(out)
    driver = start(*command)
    wait_until(lambda: n_files(out) >= n + 5, "five files more")
    workers = named(children(driver.pid), WORKER)
    assert len(workers) == 2
    driver.kill()
    driver.communicate(timeout=60)
    wait_until(lambda: not any(map(command_line, workers)), "workers end", 30)
    done = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.parquet")}
    assert n + 5 <= len(done) < 150
    assert not (out / "summary.json").exists()
    outcome = here(*long_plan.command(out))
    assert outcome.code == 0, outcome.stderr
    assert contents(out) == long_plan.whole
    assert {path: path.stat().st_mtime_ns for path in done} == done
