"""A Ray cluster does the same, whoever of it is killed: real Ray, on this machine.

Ray takes long to start: one of its own, then one cluster that this process is connected to.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from proactrec.distributed.grids import by
from proactrec.distributed.planning import Planning
from proactrec.distributed.plans import plan
from proactrec.distributed.simulations import simulate
from proactrec.errors import DataError, InvalidInputError, LostWorkersError
from proactrec.evaluation.benchmark.grid import grid
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.experiment import Experiment

from .conftest import Long, Small, contents, tree
from .killing import children, n_files, named, wait_until
from .test_processes import folder as folder
from .test_processes import parts
from .works import Sums

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # not marked slow: those come first, and are timed

from ray.cluster_utils import Cluster  # noqa: E402

from proactrec.distributed import on_ray  # noqa: E402
from proactrec.distributed.on_ray import OnRay, connected, files_of, write_files  # noqa: E402
from proactrec.distributed.running import here  # noqa: E402
from proactrec.distributed.training_on_ray import train_on_ray  # noqa: E402

Start = Callable[..., "subprocess.Popen[str]"]
MEMORY = 100 * 2**20
"""Bytes of a node's object store."""
QUICK = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A node that is gone is missed soon."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no work, and two nodes of one core; this process is a driver of it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 0, "object_store_memory": MEMORY, "_system_config": QUICK}
    made = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=MEMORY)
    made.wait_for_nodes()
    with connected(made.address):
        yield made
    made.shutdown()
    del os.environ["RAY_USAGE_STATS_ENABLED"]


def workers_of(node: Any, name: str = "ray::_done") -> list[int]:
    """Processes of a node that do work."""
    raylet = node.all_processes["raylet"][0].process.pid
    return named(children(raylet), name)


def kill_one_of(nodes: Iterable[Any], name: str = "ray::_done") -> None:
    """Kill a process that works, as soon as there is one."""

    def has_killed() -> bool:
        found = [pid for node in nodes for pid in workers_of(node, name)]
        for pid in found[:1]:
            os.kill(pid, signal.SIGKILL)
        return bool(found)

    wait_until(has_killed, "somebody at work")


def test_files_of_a_work_are_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "from" / "inner").mkdir(parents=True)
    (tmp_path / "from" / "inner" / "a").write_bytes(bytes(range(256)))
    (tmp_path / "from" / "empty").touch()
    write_files(files_of(Planning(tmp_path / "from")), tmp_path / "to")
    assert (tmp_path / "to" / "inner" / "a").read_bytes() == bytes(range(256))
    assert (tmp_path / "to" / "empty").read_bytes() == b""


def test_an_address_where_nobody_answers_is_said(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        list(OnRay("127.0.0.1:1")(Sums(folder), parts()))


def test_work_on_a_ray_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done, done again after a kill, failing, and killed over and over."""
    monkeypatch.setattr(on_ray, "MOST_RETRIES", 2)
    whole, local = sorted(here(Sums(folder), parts())), OnRay("local")
    with connected("local"):
        assert sorted(local(Sums(folder), parts())) == whole
        assert sorted(local(Sums(folder, kills=4), parts())) == whole
        assert (folder / "killed").exists()
        with pytest.raises(DataError, match=r"^value 3 is bad$"):
            list(local(Sums(folder, fails=3), parts()))
        with pytest.raises(LostWorkersError, match="a part was lost 2 times"):
            list(local(Sums(folder, kills=4, is_once=False), parts()))
    assert not ray.is_initialized()


def test_a_simulation_is_that_of_one_process(
    cluster: Cluster, small: Small, tmp_path: Path
) -> None:
    for name, how in (("here", here), ("ray", OnRay(cluster.address))):
        simulate(small.experiment(), tmp_path / name, shard_size=20, run=how)
    assert tree(tmp_path / "ray") == tree(tmp_path / "here")


def test_a_benchmark_is_that_of_one_process(
    cluster: Cluster, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy's file may be named from where the command was given."""
    (tmp_path / "mine.py").write_text(small.own_policy)
    monkeypatch.chdir(tmp_path)
    methods = {"next": {"policy": "next-item", "encoder": "sasrec"}, "mine": {"policy": "mine.py"}}
    cells = grid([small.options()], methods)
    one = run(cells, Workshop(tmp_path / "one"))
    more = run(cells, Workshop(tmp_path / "more", how=by(OnRay(cluster.address))))
    assert [cell.metrics for cell in more] == [cell.metrics for cell in one]
    assert [cell.log.read_bytes() for cell in more] == [cell.log.read_bytes() for cell in one]
    assert {cell.log.parents[1] for cell in more} == {tmp_path / "more"}


def test_ranks_train_what_one_process_does_even_if_one_is_killed(
    cluster: Cluster, small: Small, tmp_path: Path
) -> None:
    # Contrasts of other encoders are among a rank's own rows.
    options = small.options({"encoder": "sasrec", "encoder_options.dropout": 0.0})
    workshop = Workshop(tmp_path / "ranks")
    with pytest.raises(InvalidInputError, match="ranks must be at most the cluster's 2, got 3"):
        train_on_ray(options, workshop, cluster.address, 3)
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train_on_ray, options, workshop, cluster.address)
        kill_one_of(cluster.worker_nodes, "ray::Rank")
        training.result(timeout=120)
    for name in ("interest", "encoder"):
        found, wanted = (
            getattr(Experiment(options, tmp_path / store).fitting, f"{name}_stage")
            for store in ("ranks", "alone")
        )
        assert (found.is_reused, wanted.is_reused) == (True, False)
        (weights,) = (path.name for path in found.folder.glob("*.safetensors"))
        ours, theirs = (load_file(stage.folder / weights) for stage in (found, wanted))
        # Keys' biases change nothing: their gradient is rounding, which Adam enlarges.
        parts_of = [part for part in ours if not part.endswith("query_key_value.bias")]
        apart = {part: float((ours[part] - theirs[part]).abs().max()) for part in parts_of}
        assert max(apart.values()) < 1e-4, apart


def test_a_plan_whose_worker_driver_and_node_are_killed(
    cluster: Cluster, start: Start, long_plan: Long, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = start(*long_plan.command(out), "--ray", cluster.address)
    wait_until(lambda: n_files(out) >= 5, "five files")
    kill_one_of(cluster.worker_nodes)
    n = n_files(out)
    wait_until(lambda: n_files(out) >= n + 10, "ten more files")
    driver.kill()
    driver.communicate(timeout=60)
    done = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.parquet")}
    assert 15 <= len(done) < 140

    def progress(stage: str, n_done: int, total: int, note: str = "") -> None:
        if n_done == len(done) + 5:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    wanted = Planning(long_plan.guide, category="Drama")
    how = OnRay(cluster.address)
    plan(wanted, long_plan.users, out, shard_size=4, run=how, progress=progress)
    assert len(cluster.worker_nodes) == 1
    assert contents(out) == long_plan.whole
    assert {path: path.stat().st_mtime_ns for path in done} == done
