"""Many journeys planned from Parquet to Parquet: by one process, two and Ray, and killed.

Usage: python benchmarks/plan_at_size.py [PAGE.md] [--journeys 1000000] [--items 20000]
       [--shard-size 10000] [--folder runs/plan-at-size]
A guide of Foresight with random vectors (benchmarks/big_guide.py) that knows a tenth of the users
leads everybody to one item. Each run is a process of its own, `proactrec plan`, beside which the
most memory of all processes is read from /proc. One and two processes take turns, twice. Then a
worker, a node of Ray's and the driver are killed with SIGKILL once a third of the files is there;
of a killed driver the same command is given again. The files of all runs must be the same.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from big_guide import big_guide
from proactrec.files import replacing_folder
from proactrec.guidance.saved import ABOUT
from proactrec.rng import generator
from shared.page import origin, write_page

N_HISTORY, AT_ONCE = 20, 100_000
"""Items that a user had; users that are made at a time."""
WANTED_SPEED, MORE_MEMORY = 1.7, 1.1
"""Of two processes, as many times as fast as one; of ten times the journeys, at most."""
POLL_S = 0.1
ROLES = {"spawn_main": "worker", "ray::_done": "worker", "cli.main": "driver"}
"""Of processes, by what their command lines hold."""
ONE, TWO, TURNS = "one process", "two processes", ("", ", again")


class Scale(NamedTuple):
    """How much there is to do."""

    journeys: int
    items: int
    shard_size: int
    folder: Path

    @property
    def guide(self) -> Path:
        """The guide's folder."""
        return self.folder / "guide"

    @property
    def users(self) -> Path:
        """Folder of the table of users."""
        return self.folder / "users"

    @property
    def few(self) -> Path:
        """Folder of the same table's first tenth."""
        return self.folder / "few"


class Run(NamedTuple):
    """What a run took, and what came of it."""

    name: str
    seconds: float
    per_second: float  # journeys, from the first file to the last
    driver_mib: float
    worker_mib: float  # the largest; 0: the driver did it
    sha256: str


Kill = Callable[["subprocess.Popen[bytes]"], None]


def main() -> None:
    """Make what is missing, plan in all ways, and compare."""
    scale, page = _arguments()
    made(scale)
    load = os.getloadavg()[0]
    two = ("--processes", "2")
    runs = [planned(scale, f"{ONE}, a tenth of the journeys", users=scale.few)]
    for turn in TURNS:
        runs.append(planned(scale, ONE + turn))
        runs.append(planned(scale, TWO + turn, *two))
    runs.append(planned(scale, f"{TWO}, one killed", *two, kill=kill_worker))
    runs.append(planned(scale, f"{TWO}, the driver killed", *two, kill=kill_driver))
    runs += ray_runs(scale)
    found = {
        "origin": origin(),
        "scale": scale._asdict() | {"folder": str(scale.folder)},
        "load_before": load,
        "runs": [run._asdict() for run in runs],
        **verdict(runs),
    }
    body = report(scale, runs, found)
    print(body)
    if page:
        write_page(page, f"{scale.journeys:,} journeys planned in shards", found, body)
    if not all((found["is_same"], found["speed"] >= WANTED_SPEED, found["is_flat"])):
        raise SystemExit(1)


def _arguments() -> tuple[Scale, Path | None]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown page to write")
    parser.add_argument("--journeys", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--shard-size", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/plan-at-size"))
    given = parser.parse_args()
    folder = given.folder / f"{given.journeys}-{given.items}"
    return Scale(given.journeys, given.items, given.shard_size, folder), given.page


def made(scale: Scale) -> None:
    """Guide and users, unless they are there."""
    if not (scale.guide / ABOUT).exists():
        big_guide(scale.guide, n_users=scale.journeys // 10, n_items=scale.items)
    for folder, n_users in ((scale.users, scale.journeys), (scale.few, scale.journeys // 10)):
        if not folder.exists():
            with replacing_folder(folder) as partial:
                for start in range(0, n_users, AT_ONCE):
                    rows = users(start, min(AT_ONCE, n_users - start), scale.items)
                    path = partial / f"{start:09}.parquet"
                    rows.write_parquet(path, row_group_size=scale.shard_size)


def users(start: int, n: int, n_items: int) -> pl.DataFrame:
    """Users from a number on, with random items, named as the guide names them."""
    rng = generator(0, "plan at size", start)
    names = pl.Series([f"sku-{item:05}" for item in range(1, n_items + 1)])
    items = names.gather(rng.integers(0, n_items, n * N_HISTORY))
    user_ids = [f"u{user:07}" for user in range(start, start + n)]
    lists = items.reshape((n, N_HISTORY)).arr.to_list()
    return pl.DataFrame({"user_id": user_ids, "item_ids": lists})


def planned(
    scale: Scale, name: str, *how: str, users: Path | None = None, kill: Kill | None = None
) -> Run:
    """Plan once, from nothing; kill somebody meanwhile, and go on if that was the driver."""
    out = scale.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    asked = ["--users", str(users or scale.users), "--target", "sku-00001", "--out", str(out)]
    command = ["plan", str(scale.guide), *asked, "--shard-size", str(scale.shard_size), *how]
    peaks: dict[str, float] = {}
    start = time.perf_counter()
    code = watched(command, peaks, out, scale.journeys // scale.shard_size // 3, kill)
    if code == -signal.SIGKILL:
        code = watched(command, peaks, out, 0, None)
    seconds = time.perf_counter() - start
    if code:
        raise SystemExit(f"{name}: ended with {code}")
    rate = scale.shard_size * per_second(out)
    run = Run(name, seconds, rate, peaks["driver"], peaks.get("worker", 0.0), hash_of(out))
    print(run, file=sys.stderr, flush=True)
    return run


def watched(
    command: list[str], peaks: dict[str, float], out: Path, n_first: int, kill: Kill | None
) -> int:
    """Run `proactrec`, note the most memory by role, and kill after so many files."""
    program = [sys.executable, "-c", "from proactrec.cli.main import main; main()", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in children(os.getpid()):
                note_peak(pid, peaks)
            if kill and len(list(out.glob("[!.]*.parquet"))) >= n_first:
                kill(process)
                kill = None
            time.sleep(POLL_S)
    return process.returncode


def children(pid: int) -> Iterator[int]:
    """Processes that a process started, and those that they did."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        own = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in own:
        yield child
        yield from children(child)


def role_of(pid: int) -> str:
    """What a process does."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((role for sign, role in ROLES.items() if sign in line), "")


def note_peak(pid: int, peaks: dict[str, float]) -> None:
    """The most memory that a process had so far, in MiB, if it is the most of its role."""
    if not (role := role_of(pid)):
        return
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return
    mib = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    peaks[role] = max(peaks.get(role, 0.0), *mib, 0.0)


def per_second(out: Path) -> float:
    """Files that were written in a second, once the first was there."""
    times = sorted(path.stat().st_mtime for path in out.glob("*.parquet"))
    return (len(times) - 1) / (times[-1] - times[0])


def hash_of(out: Path) -> str:
    """SHA-256 of all files of a plan, hidden ones included."""
    content = hashlib.sha256()
    for path in sorted(out.iterdir()):
        content.update(f"{path.name} {path.stat().st_size}\n".encode())
        content.update(path.read_bytes())
    return content.hexdigest()


def kill_driver(process: "subprocess.Popen[bytes]") -> None:
    """As if the power failed."""
    process.kill()


def kill_worker(process: "subprocess.Popen[bytes]") -> None:
    """One that works for this benchmark, for whichever driver."""
    workers = [pid for pid in children(os.getpid()) if role_of(pid) == "worker"]
    os.kill(workers[0], signal.SIGKILL)


def ray_runs(scale: Scale) -> list[Run]:
    """By Ray: two workers, then four nodes of which one after the other dies."""
    runs = [planned(scale, "Ray, two workers", "--ray", "local")]
    with cluster() as nodes:
        how = ("--ray", nodes.address)

        def kill_node(process: "subprocess.Popen[bytes]") -> None:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)

        runs.append(planned(scale, "Ray, four nodes", *how))
        runs.append(planned(scale, "Ray, four nodes, a worker killed", *how, kill=kill_worker))
        runs.append(planned(scale, "Ray, four nodes, the driver killed", *how, kill=kill_driver))
        runs.append(planned(scale, "Ray, four nodes, one of them killed", *how, kill=kill_node))
    return runs


@contextmanager
def cluster() -> Iterator[Any]:
    """A head that does no work, and four nodes of one core, on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    memory: dict[str, Any] = {"object_store_memory": 512 * 2**20}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(4):
            made.add_node(num_cpus=1, **memory)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


def verdict(runs: list[Run]) -> dict[str, Any]:
    """What was asked for: the same files, the speed of two, memory that does not grow."""
    few, *whole = runs
    alone, *_ = of(ONE, whole)
    return {
        "is_same": len({run.sha256 for run in whole}) == 1,
        "speed": best_rate(TWO, whole) / best_rate(ONE, whole),
        "is_flat": alone.driver_mib <= MORE_MEMORY * few.driver_mib,
    }


def of(name: str, runs: list[Run]) -> list[Run]:
    """All turns of a run."""
    return [run for run in runs if run.name in [name + turn for turn in TURNS]]


def best_rate(name: str, runs: list[Run]) -> float:
    """Journeys in a second of its better turn."""
    return max(run.per_second for run in of(name, runs))


def report(scale: Scale, runs: list[Run], found: dict[str, Any]) -> str:
    """Markdown: a row a run, and what was asked for."""
    lines = [
        f"`proactrec plan` for {scale.journeys:,} users of whom the guide knows a tenth, of "
        f"{scale.items:,} items; {scale.journeys // scale.shard_size} shards of "
        f"{scale.shard_size:,} journeys. Every process works in one thread.",
        "",
        "| run | seconds | journeys a second | driver, MiB | a worker, MiB | SHA-256, all files |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for run in runs:
        rate = "" if "killed" in run.name else f"{run.per_second:,.0f}"
        worker = f"{run.worker_mib:,.0f}" if run.worker_mib else ""
        lines.append(
            f"| {run.name} | {run.seconds:,.1f} | {rate} | {run.driver_mib:,.0f} | {worker} "
            f"| `{run.sha256[:16]}` |"
        )
    yes = {True: "yes", False: "**no**"}
    lines += [
        "",
        f"All files of all plans of everybody are the same: {yes[found['is_same']]}. Two processes "
        f"are {found['speed']:.2f} times as fast as one, the better of two turns each (asked: "
        f"{WANTED_SPEED}). With ten times the journeys one process takes no more "
        f"memory, within {MORE_MEMORY - 1:.0%}: {yes[found['is_flat']]}.",
        "",
        "Seconds are of the whole command; journeys a second from the first file to the last, "
        f"without the start; load of the machine before: {found['load_before']:.1f} on "
        f"{os.cpu_count()} cores.",
        "",
        "Memory is the most resident memory of the largest process of its kind. What was killed "
        "was killed once a third of the files was there; seconds of a killed driver are those of "
        "both commands together. The four nodes share the machine's cores.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
