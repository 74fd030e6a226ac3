"""Training by ranks on a Ray cluster: processes that join one group, as those of torchrun do."""

import os
import socket
from typing import Any

from proactrec.distributed.grids import Grid, marked
from proactrec.distributed.on_ray import connected, n_cores
from proactrec.errors import InvalidInputError, LostWorkersError, ProactrecError
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.progress import Progress, silent

MOST_LOSSES = 3
"""Times that ranks are started because one was lost; they go on after the last epoch."""
TOLD_EVERY_S = 1.0


class Rank:
    """A process that trains as one of several, and says how far it is meanwhile."""

    def __init__(self) -> None:
        self._told: tuple[Any, ...] | None = None

    def meeting_place(self) -> tuple[str, int]:
        """Address of this node, and a port of it that is free."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def told(self) -> tuple[Any, ...] | None:
        """What progress was told last, if anything."""
        return self._told

    def fit(
        self, grid: Grid, options: ExperimentOptions, rank: int, n_ranks: int, *place: str | int
    ) -> None:
        """Fit interest vectors and encoder with the others, who meet at a place."""
        named = zip(("MASTER_ADDR", "MASTER_PORT"), place, strict=True)
        of_group = {"RANK": rank, "WORLD_SIZE": n_ranks, "LOCAL_RANK": 0, **dict(named)}
        os.environ.update({name: str(value) for name, value in of_group.items()})
        grid.opened(grid.folder)
        _ = grid.workshop.experiment(options, self._tell).fitting.next_item

    def _tell(self, stage: str, done: int, total: int, note: str = "") -> None:
        self._told = (stage, done, total, note)


def train_on_ray(
    options: ExperimentOptions,
    workshop: Workshop,
    address: str,
    n_ranks: int | None = None,
    *,
    progress: Progress = silent,
) -> None:
    """Fit interest vectors and encoder of a run by ranks, which leave them in the store.

    Parameters
    ----------
    workshop : Workshop
        Store and data, which all nodes see at these paths.
    address : str
        Of the cluster, see :class:`proactrec.distributed.on_ray.OnRay`.
    n_ranks : int, optional
        Processes; by default the cores of the cluster.

    Raises
    ------
    InvalidInputError
        If no cluster answers, or it has fewer cores.
    LostWorkersError
        If ranks were lost over and over.
    """
    from ray.exceptions import RayError

    lost: RayError | None = None
    with connected(address), marked(workshop) as grid:
        n = n_ranks or n_cores()
        if n > n_cores():
            raise InvalidInputError(f"ranks must be at most the cluster's {n_cores()}, got {n}")
        for _ in range(MOST_LOSSES):
            try:
                return _train(grid, options, n, progress)
            except RayError as error:
                cause, lost = getattr(error, "cause", None), error
                if isinstance(cause, ProactrecError):
                    raise cause from None  # as it was raised there
    raise LostWorkersError(
        f"ranks were lost {MOST_LOSSES} times; the same command goes on after the last epoch: "
        f"{lost}"
    ) from lost


def _train(grid: Grid, options: ExperimentOptions, n: int, progress: Progress) -> None:
    """Start the ranks, wait for all of them, and leave none."""
    import ray

    n_gpus = int(grid.workshop.device == "cuda")
    kind: Any = ray.remote(Rank)  # who is asked how far it is while it works
    one = kind.options(num_cpus=1, num_gpus=n_gpus, max_concurrency=2)
    ranks = [one.remote() for _ in range(n)]
    try:
        place = ray.get(ranks[0].meeting_place.remote())
        working = [
            rank.fit.remote(grid, options, number, n, *place) for number, rank in enumerate(ranks)
        ]
        while working:
            done, working = ray.wait(working, timeout=TOLD_EVERY_S)
            ray.get(done)
            if told := ray.get(ranks[0].told.remote()):
                progress(*told)
    finally:
        for rank in ranks:
            ray.kill(rank)
