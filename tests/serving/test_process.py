"""The service as it is started: processes of its own, which are started again when they die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proactrec.serving.client import Client
from proactrec.testing.databases import Kind, fresh_database

from .starting import COMMAND, READY_SECONDS, started


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("n_instances", [1, 2])
def test_an_instance_that_dies_is_started_again(
    kind: Kind, n_instances: int, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    if (kind, n_instances) == ("sqlite", 2):
        pytest.skip("two instances are tested with the database that is meant for them")
    with fresh_database(kind, tmp_path) as database:
        url = database.url.set(drivername=kind).render_as_string(hide_password=False)
        flags = ("--guide", str(guide_folder()), "--database-url", url)
        with started(tmp_path, *flags, "--instances", str(n_instances)) as service:
            key = service.printed()
            assert key.startswith("pr_")
            service.until_ready()
            with Client(service.url, key) as client:
                first = client.decide("u01", request_key="one")
                victims = service.instances()
                assert len(victims) == n_instances
                os.kill(victims[0], signal.SIGKILL)
                assert client.decide("u01", request_key="one") == first
                service.until_ready()
            end = time.monotonic() + READY_SECONDS
            while len(service.instances()) < n_instances:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert set(service.instances()) != set(victims)
            left = service.instances()
            assert service.stop() == ""
            assert not any(Path(f"/proc/{pid}").exists() for pid in left)
            assert key not in service.told
        with started(tmp_path, *flags) as again:
            again.until_ready()
            assert again.stop() == ""  # the key was printed once


def test_a_folder_without_a_guide_is_said_at_once(tmp_path: Path) -> None:
    command = [*COMMAND, "--guide", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds no guide" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_said(guide_folder: Callable[..., Path], tmp_path: Path) -> None:
    flags = ("--guide", str(guide_folder()), "--database-url", str(tmp_path / "store.db"))
    with started(tmp_path, *flags) as service:
        port = service.url.rsplit(":", 1)[1]
        command = [*COMMAND, *flags, "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"can't listen on 127.0.0.1:{port}" in done.stderr
        assert done.stdout == ""
        service.stop()


def test_the_first_key_is_kept_in_a_file_for_its_owner_alone(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    file = tmp_path / "first-key"
    flags = ("--guide", str(guide_folder()), "--database-url", str(tmp_path / "store.db"))
    with started(tmp_path, *flags, "--first-key-file", str(file)) as service:
        service.until_ready()
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        with Client(service.url, key) as client:
            assert client.campaigns() == ()
        assert service.stop() == ""
        assert key not in service.told
