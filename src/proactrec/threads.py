"""How many threads a process may use, and how: decided here for commands, library and workers.

Work is shared out in blocks, each done by one thread (:func:`block_map`), rather than in teams of
OpenMP, which cut every product into equal parts and wait for the slowest: beside a busy process
that costs far more than the process takes (docs/results/busy-neighbour.md). Where a library does
use a team, those of it who wait sleep: importing proactrec sets ``OMP_WAIT_POLICY=PASSIVE``, unless
it is set, or torch is loaded already and has read it. ``PROACTREC_THREADS`` says how many threads
there may be; by default as many as the process has cores, by affinity and by the quota of its
control group.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

MapBlocks = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
_spare: ContextVar[MapBlocks] = ContextVar("spare", default=map)
VARIABLE = "PROACTREC_THREADS"
MOST = 4096
"""More threads than any machine has: libraries start as many as they are told."""
POOLS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")
"""What libraries read when they are loaded: torch, faiss and NumPy's BLAS the first."""
ONE_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of processes that stand side by side."""
OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def sleep_while_waiting() -> None:
    """Let threads of a team sleep while they wait, unless somebody chose or torch is loaded."""
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def settle() -> None:
    """Hold the libraries of a command, none of them loaded yet, to the threads it may use.

    Raises
    ------
    InvalidInputError
        If PROACTREC_THREADS is no number of threads.
    """
    n = n_allowed()
    if n != n_cores():  # else libraries know best: some leave out cores that are one core twice
        for name in POOLS:
            os.environ.setdefault(name, str(n))


def n_allowed() -> int:
    """Threads that this process may use: what PROACTREC_THREADS says, else its cores.

    Raises
    ------
    InvalidInputError
        If PROACTREC_THREADS is no number of threads.
    """
    asked = os.environ.get(VARIABLE)
    if not asked:
        return max(1, int(min(n_cores(), granted())))  # rounded down: a group over it is stopped
    if not asked.isdecimal() or int(asked) < 1:
        raise InvalidInputError(f"{VARIABLE} must be a whole number, at least 1, got {asked!r}")
    if int(asked) > MOST:
        raise InvalidInputError(f"{VARIABLE} must be at most {MOST:,}, got {asked!r}")
    return int(asked)


def n_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def granted(own_group: Path = OWN_GROUP, groups: Path = GROUPS) -> float:
    """Cores that control groups grant: the least of this process's and those around it."""
    files = [folder / "cpu.max" for folder in groups_around(own_group, groups)]
    return min((_quota(file) for file in files if file.exists()), default=math.inf)


def groups_around(own_group: Path = OWN_GROUP, groups: Path = GROUPS) -> list[Path]:
    """Folders of the control groups (version 2) that this process is in, its own last.

    Parameters
    ----------
    own_group : Path
        Says in a line ``0::/its/group`` where in the folder `groups` its own is.
    """
    lines = own_group.read_text(encoding="utf-8").splitlines() if own_group.exists() else []
    inside = next((line[len("0::/") :] for line in lines if line.startswith("0::/")), "")
    return [groups.joinpath(*inside.split("/")[:n]) for n in range(inside.count("/") + 2)]


def _quota(file: Path) -> float:
    """Cores of a file ``cpu.max``: its time in each period, or ``max``."""
    time, period = file.read_text(encoding="utf-8").split()
    return math.inf if time == "max" else int(time) / int(period)


def n_threads() -> int:
    """Threads that blocks are shared out to: those allowed, of no more than torch was told of."""
    import torch  # here, because commands that need none don't wait for it

    return min(n_allowed(), torch.get_num_threads())


@contextmanager
def block_map(device: "torch.device | None" = None, n: int | None = None) -> Iterator[MapBlocks]:
    """A `map` that does blocks side by side, in threads of one core each: torch frees the lock.

    Parameters
    ----------
    device : torch.device, optional
        Where blocks are done; on a GPU one after the other by default.
    n : int, optional
        Number of threads.
    """
    from concurrent.futures import ThreadPoolExecutor

    is_apart = device is not None and device.type != "cpu"
    n = n or (1 if is_apart else n_threads())
    with one_thread():
        if n == 1:
            yield map
            return
        with ThreadPoolExecutor(n) as pool:
            yield pool.map


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch works in one thread meanwhile; also a decorator.

    Several threads add to a row in any order (gradients of indexed tables), and cut sums, matrix
    products and decompositions where their number says: the last digits would depend on both.
    """
    import torch

    n = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n)


def stand_beside_others() -> None:
    """Torch works in one thread from now on: this process is one of several."""
    import torch

    torch.set_num_threads(1)


@contextmanager
def spare_cores(side_by_side: MapBlocks) -> Iterator[None]:
    """What this thread shares out is done by this map meanwhile."""
    token = _spare.set(side_by_side)
    try:
        yield
    finally:
        _spare.reset(token)


@contextmanager
def idle_cores(device: "torch.device | None" = None) -> Iterator[None]:
    """Torch works in one thread meanwhile, and what is shared out is done on all that it may use.

    What is done on a GPU is shared out to nobody.
    """
    with block_map(device) as side_by_side, spare_cores(side_by_side):
        yield


def shared(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
    """Work of every part, in their order, on cores that would stand idle, if there are any.

    How many there are changes no byte: the parts are what they are. What is done in other threads
    shares out nothing itself.
    """
    import torch

    has_grad = torch.is_grad_enabled()  # which other threads would not know

    def done(part: Any) -> Any:
        with torch.set_grad_enabled(has_grad):
            return work(part)

    return _spare.get()(done, parts)
