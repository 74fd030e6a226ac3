"""A Ray cluster does the same, whoever of it is killed: real Ray, on this machine."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proactrec.errors import DataError, InvalidInputError, LostWorkersError

from ..e2e.conftest import Command
from .conftest import Long, contents
from .killing import children, n_files, named, wait_until
from .test_processes import folder as folder
from .test_processes import parts
from .works import Sums

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # not marked slow: those come first, and are timed

from ray.cluster_utils import Cluster  # noqa: E402

from proactrec.distributed.on_ray import OnRay, files_in, write_files  # noqa: E402
from proactrec.distributed.running import here  # noqa: E402

Start = Callable[..., "subprocess.Popen[str]"]
MEMORY = 100 * 2**20
"""Bytes of a node's object store."""
QUICK = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A node that is gone is missed soon."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no work, and three nodes of one core."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 0, "object_store_memory": MEMORY, "_system_config": QUICK}
    made = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
    for _ in range(3):
        made.add_node(num_cpus=1, object_store_memory=MEMORY)
    made.wait_for_nodes()
    yield made
    made.shutdown()
    del os.environ["RAY_USAGE_STATS_ENABLED"]


def workers_of(node: Any) -> list[int]:
    """Processes of a node that do work."""
    raylet = node.all_processes["raylet"][0].process.pid
    return named(children(raylet), "ray::_done")


def test_files_of_a_folder_are_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "from" / "inner").mkdir(parents=True)
    (tmp_path / "from" / "inner" / "a").write_bytes(bytes(range(256)))
    (tmp_path / "from" / "empty").touch()
    write_files(files_in(tmp_path / "from"), tmp_path / "to")
    assert (tmp_path / "to" / "inner" / "a").read_bytes() == bytes(range(256))
    assert (tmp_path / "to" / "empty").read_bytes() == b""


def test_two_workers_of_a_ray_of_its_own(cli: Command, long_plan: Long, tmp_path: Path) -> None:
    outcome = cli(*long_plan.command(tmp_path / "out"), "--ray", "local", timeout=240)
    assert outcome.code == 0, outcome.stderr
    assert contents(tmp_path / "out") == long_plan.whole
    assert "150/150" in outcome.stderr


def test_work_on_a_cluster(cluster: Cluster, folder: Path) -> None:
    """Done, done again after a kill, failing, and killed over and over."""
    on_ray, whole = OnRay(cluster.address), sorted(here(Sums(folder), parts()))
    assert sorted(on_ray(Sums(folder), parts())) == whole
    assert sorted(on_ray(Sums(folder, kills=4), parts())) == whole
    assert (folder / "killed").exists()
    with pytest.raises(DataError, match=r"^value 3 is bad$"):
        list(on_ray(Sums(folder, fails=3), parts()))
    with pytest.raises(LostWorkersError, match="a shard was lost 10 times"):
        list(on_ray(Sums(folder, kills=4, is_once=False), parts()))


def test_a_killed_worker_and_a_killed_node_change_no_file(
    cluster: Cluster, start: Start, long_plan: Long, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = start(*long_plan.command(out), "--ray", cluster.address)
    wait_until(lambda: n_files(out) >= 5, "five files")
    wait_until(lambda: any(map(workers_of, cluster.worker_nodes)), "a worker")
    first = next(node for node in cluster.worker_nodes if workers_of(node))
    second = next(node for node in cluster.worker_nodes if node is not first)
    os.kill(workers_of(first)[0], signal.SIGKILL)
    wait_until(lambda: n_files(out) >= 20, "twenty files")
    assert n_files(out) < 150
    cluster.remove_node(second, allow_graceful=False)
    _, stderr = driver.communicate(timeout=240)
    assert driver.returncode == 0, stderr
    assert contents(out) == long_plan.whole
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)


def test_a_killed_driver_goes_on_with_what_is_missing(
    cluster: Cluster, start: Start, cli: Command, long_plan: Long, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [*long_plan.command(out), "--ray", cluster.address]
    driver = start(*command)
    wait_until(lambda: n_files(out) >= 5, "five files")
    driver.kill()
    driver.communicate(timeout=60)
    done = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.parquet")}
    assert 5 <= len(done) < 150
    outcome = cli(*command, timeout=240)
    assert outcome.code == 0, outcome.stderr
    assert contents(out) == long_plan.whole
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_an_address_where_nobody_answers_is_said(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        list(OnRay("127.0.0.1:1")(Sums(folder), parts()))
