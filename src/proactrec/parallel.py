"""Training by several processes: each takes its rows of every batch, and all step alike.

``torchrun --nproc-per-node 2 -m proactrec train …`` starts them, or Ray's torch backend, or
whatever else sets RANK and WORLD_SIZE or has made a process group. All hold the same weights and
draw the same order and negatives. What a batch loses is a sum of parts, one a rank, so gradients
are summed: the result is that of one process but for rounding, and for dropout, which every rank
draws for its own rows.

So it is for GraphAU, whose uniformity over all pairs of a batch is shared out by rows, for IRN and
for next-item losses. The contrasts of ICLRec, ICSRec and MStein are among a rank's own rows: with
n ranks they see the negatives of an n-th of `batch_size`.
"""

import atexit
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist

from proactrec.errors import TrainingError

Rows = Sequence[Any]
"""Tensors with a row for each of a batch; None where there is none."""


class Ranks(NamedTuple):
    """One process among those that train together."""

    rank: int = 0
    n_ranks: int = 1

    def rows(self, n: int) -> slice:
        """Those of n rows that are this rank's."""
        return slice(n * self.rank // self.n_ranks, n * (self.rank + 1) // self.n_ranks)

    def part(
        self, batch: Rows, counted: Callable[[Rows], int], mean: Callable[[Rows], Tensor]
    ) -> Tensor:
        """The part of this rank in a mean over a batch, a scalar; parts sum to the mean.

        Parameters
        ----------
        batch
            The same on all ranks.
        counted
            Number of what the mean of some rows goes over.
        mean
            Of some rows; never asked where nothing counts.
        """
        if self.n_ranks == 1:
            return mean(batch)
        own = [None if part is None else part[self.rows(len(part))] for part in batch]
        n_own = counted(own)
        if not n_own:  # nothing, with a gradient of the right kind
            return mean(batch) * 0.0
        return mean(own) * (n_own / counted(batch))

    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Make every gradient the sum over ranks."""
        if self.n_ranks == 1:
            return
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        for grad in (weight.grad for weight in weights if weight.grad.is_sparse):
            dist.all_reduce(grad)
        dense = [weight.grad for weight in weights if not weight.grad.is_sparse]
        if dense:
            whole = self.total(torch.cat([grad.flatten() for grad in dense]))
            for grad, found in zip(dense, whole.split([g.numel() for g in dense]), strict=True):
                grad.copy_(found.view_as(grad))

    def total(self, values: Tensor) -> Tensor:
        """Sum over ranks; `values` are overwritten."""
        if self.n_ranks > 1:
            dist.all_reduce(values)
        return values

    def first(self, value: float) -> float:
        """What the first rank says, once all have come here."""
        if self.n_ranks == 1:
            return value
        where = "cuda" if dist.get_backend() == "nccl" else "cpu"
        told = torch.tensor([value], dtype=torch.float64, device=where)
        dist.broadcast(told, src=0)
        return float(told)

    def check(self, n_epochs: int) -> None:
        """Refuse ranks that don't go on from where the first does.

        Raises
        ------
        TrainingError
            If this rank has another number of epochs behind it.
        """
        if (of_first := int(self.first(n_epochs))) != n_epochs:
            raise TrainingError(
                f"all ranks must read one checkpoint, rank {self.rank} goes on after epoch "
                f"{n_epochs} and rank 0 after {of_first}: give them a folder that all see"
            )


ALONE = Ranks()


def ranks() -> Ranks:
    """Where this process stands among those it was started with, whose process group it joins."""
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if not {"RANK", "WORLD_SIZE"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
            return ALONE
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)
    return Ranks(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    """Leave the process group: its threads abort a process where Python ends before they do."""
    if dist.is_initialized():
        dist.destroy_process_group()
