"""Instances that share the load, killed and restarted in turn, in small."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .faults import met, names


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rolling_restart_of_two_instances_fails_nobody(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    found = met("2-instances-postgresql", guide_folder(), tmp_path)
    assert names(found) == ["none", "instance"]
    assert [restart["failed"] for restart in found["restarts"]] == [{}]
