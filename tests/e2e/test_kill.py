"""Killed at any moment, the same command goes on where it stopped."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proactrec.fitting.artefacts import CHECKPOINT, MANIFEST

from .apart import Apart
from .conftest import Command, Toy

pytestmark = pytest.mark.slow
LONG = [
    "--set=graphau.stopping.n_epochs=60",
    "--set=graphau.stopping.min_epochs=60",
    "--set=encoder_options.stopping.n_epochs=30",
    "--set=encoder_options.stopping.min_epochs=30",
]
MOMENTS = {
    "vectors half fitted": f".interest-*/{CHECKPOINT}",
    "encoder half trained": f".encoder-*/{CHECKPOINT}",
    "encoder done": f"encoder-*/{MANIFEST}",
    "guidance done": f"guidance-*/{MANIFEST}",
}
"""A file that tells that the moment has come."""
Killed = Apart | subprocess.Popen[str]
Start = Callable[..., Killed]


def stop_when(process: Killed, store: Path, sign: str, how: signal.Signals) -> str:
    """Send a signal as soon as the sign is there; what the process had to say on errors."""
    end = time.monotonic() + 60
    while not any(store.glob(sign)):
        assert process.poll() is None, f"ended before {sign} was there"
        assert time.monotonic() < end, f"no {sign} within a minute"
        time.sleep(0.002)
    process.send_signal(how)
    return process.communicate(timeout=60)[1]


def stages(store: Path) -> dict[str, int]:
    """When the contents of every finished stage were written."""
    return {path.name: (path / MANIFEST).stat().st_mtime_ns for path in store.glob("[!.]*")}


def figures(out: Path) -> str:
    """The figures that a run wrote."""
    return (out / "metrics.json").read_text()


@pytest.fixture(scope="module")
def uninterrupted(toy: Toy, here_first: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    outcome = here_first(*toy.run, *LONG, "--out", out)
    assert outcome.code == 0, outcome.stderr
    return out


def test_killed_at_every_stage_it_ends_as_if_it_never_was(
    toy: Toy, apart: Start, here: Command, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    store, done = out / "artefacts", {}
    for moment, sign in MOMENTS.items():
        process = apart(*toy.run, *LONG, "--out", out)
        stop_when(process, store, sign, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, moment
        # All that can be seen is finished, and what was finished before has not been touched.
        assert done.items() <= stages(store).items(), moment
        done = stages(store)
        assert not (out / "metrics.json").exists(), moment
        assert not (out / "report.html").exists(), moment
    outcome = here(*toy.run, *LONG, "--out", out)
    assert (outcome.code, outcome.errors) == (0, [])
    assert done.items() <= stages(store).items()
    assert {"interest", "encoder", "guidance"} <= {name.rsplit("-", 1)[0] for name in done}
    assert figures(out) == figures(uninterrupted)
    assert (out / "report.html").exists()
    ids = {"users.parquet", "items.parquet"}
    names = {path.name for path in out.iterdir()}
    results = {"artefacts", "metrics.json", "report.html", "run.json", "settings.yaml"}
    assert names == results | ids
    kept = {p.relative_to(store) for p in store.rglob("*") if not p.name.endswith(".lock")}
    whole = uninterrupted / "artefacts"
    assert kept == {p.relative_to(whole) for p in whole.rglob("*") if not p.name.endswith(".lock")}


def test_stopped_by_hand_it_says_how_to_go_on(toy: Toy, start: Start, tmp_path: Path) -> None:
    """By SIGTERM, as it is installed; of SIGINT see tests/distributed/test_processes.py."""
    process = start(*toy.run, *LONG, "--out", tmp_path)
    store = tmp_path / "artefacts"
    stderr = stop_when(process, store, MOMENTS["vectors half fitted"], signal.SIGTERM)
    assert process.returncode == 143
    assert stderr.endswith("stopped; the same command goes on from here\n")
    assert "Traceback" not in stderr


@pytest.mark.parametrize("leftover", ["checkpoint.tmp123", ".spread.json.123"])
def test_leftovers_of_a_kill_are_no_part_of_the_finished_stage(
    leftover: str, toy: Toy, here: Command, copied: Path
) -> None:
    (interest,) = (copied / "artefacts").glob("interest-*")
    unfinished = interest.with_name(f".{interest.name}")
    unfinished.mkdir()
    (unfinished / leftover).write_text("half")
    for path in interest.iterdir():
        path.unlink()
    interest.rmdir()
    assert here("targets", *toy.run[1:], "--out", copied).code == 0
    assert interest.exists()
    assert not (interest / leftover).exists()


def test_a_killed_forecast_goes_on_with_the_worlds_that_are_missing(
    toy: Toy, apart: Start, here: Command, copied: Path
) -> None:
    asked = ["forecast", *toy.run[1:], "--worlds", "39", "--sample", "20", "--out", copied]
    process = apart(*asked)
    store = copied / "artefacts"
    stop_when(process, store, f".forecast-*/{CHECKPOINT}", signal.SIGKILL)
    done = stages(store)
    assert not (copied / "forecast.json").exists()
    outcome = here(*asked)
    assert outcome.code == 0, outcome.stderr
    assert done.items() <= stages(store).items()
    first, (made,) = (copied / "forecast.json").read_text(), store.glob("forecast-*")
    shutil.rmtree(made)
    assert here(*asked).code == 0
    assert (copied / "forecast.json").read_text() == first
