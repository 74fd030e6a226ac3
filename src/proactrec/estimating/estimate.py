"""What a size will cost on a machine: time and memory of every stage, and what to change."""

import math
from typing import Any, NamedTuple

from proactrec.estimating.factors import FACTORS
from proactrec.estimating.kernels import KERNELS
from proactrec.estimating.memory import Part, at_most
from proactrec.estimating.rates import Rates
from proactrec.estimating.size import Size
from proactrec.estimating.stages import Stage, stages

GIB = 2**30
SHARDS = (2, 5, 10, 20, 50, 100, 1000)
LEAST_DIM = 8
"""Shorter vectors are not thought of."""


class KernelCost(NamedTuple):
    """What a stage pays for a kind of work, each time."""

    name: str
    operations: float
    n_bytes: float
    seconds: float

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        about = {"name": self.name, "operations": self.operations, "bytes": self.n_bytes}
        return {**about, "seconds": self.seconds}


class StageCost(NamedTuple):
    """What a stage costs."""

    name: str
    times: int
    kernels: tuple[KernelCost, ...]
    bound_by: str  # products or memory: what limits most of it
    parts: tuple[Part, ...]
    memory: int  # bytes at most, of all processes
    is_in_run: bool

    @property
    def seconds(self) -> float:
        """Each time."""
        return sum(kernel.seconds for kernel in self.kernels)

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "times": self.times,
            "is_in_run": self.is_in_run,
            "seconds_each": self.seconds,
            "seconds": self.times * self.seconds,
            "bound_by": self.bound_by,
            "kernels": [kernel.content() for kernel in self.kernels],
            "memory_bytes": self.memory,
            "parts": [part._asdict() for part in self.parts],
        }


class Estimate(NamedTuple):
    """What a size costs on a machine."""

    size: Size
    rates: Rates
    stages: tuple[StageCost, ...]

    @property
    def seconds(self) -> float:
        """Of a whole run."""
        return sum(stage.times * stage.seconds for stage in self.stages if stage.is_in_run)

    @property
    def largest(self) -> StageCost:
        """The stage of a run that takes the most memory."""
        return max((s for s in self.stages if s.is_in_run), key=lambda stage: stage.memory)

    @property
    def fits(self) -> bool:
        """Whether the machine has memory for it."""
        return self.largest.memory <= self.rates.memory

    def stage(self, name: str) -> StageCost:
        """The stage of this name."""
        return next(stage for stage in self.stages if stage.name == name)

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "size": self.size.model_dump(mode="json"),
            "rates": self.rates.model_dump(mode="json"),
            "seconds": self.seconds,
            "memory_bytes": self.largest.memory,
            "largest_stage": self.largest.name,
            "fits": self.fits,
            "advice": advice(self),
            "stages": [stage.content() for stage in self.stages],
        }


def estimated(size: Size, rates: Rates) -> Estimate:
    """What a size costs on a machine with these rates."""
    n_threads = size.threads or (rates.cores if size.processes == 1 else 1)
    size = size.model_copy(update={"threads": n_threads})
    return Estimate(size, rates, tuple(_cost(stage, size, rates) for stage in stages(size)))


def _cost(stage: Stage, size: Size, rates: Rates) -> StageCost:
    n_workers = min(rates.cores, size.processes * size.n_threads) if stage.is_shared else 1
    kernels = tuple(
        _kernel(name, count, size, rates, n_workers) for name, count in stage.counts.items()
    )
    longest = max(kernels, key=lambda kernel: kernel.seconds)
    is_memory = longest.n_bytes / rates.bandwidth > longest.operations / rates.products
    return StageCost(
        stage.name,
        stage.times,
        kernels,
        "memory" if is_memory else "products",
        stage.parts,
        at_most(stage.parts) * (size.processes if stage.is_shared else 1),
        stage.is_in_run,
    )


def _kernel(name: str, count: float, size: Size, rates: Rates, n_workers: int) -> KernelCost:
    """So many units, shared out among workers of a thread each."""
    kernel = KERNELS[name]
    operations, n_bytes = count * kernel.operations(size), count * kernel.n_bytes(size)
    bandwidth = rates.bandwidth if n_workers == 1 else rates.bandwidth_together
    floor = max(operations / (n_workers * rates.products), n_bytes / bandwidth)
    return KernelCost(name, operations, n_bytes, floor * FACTORS[name])


def advice(estimate: Estimate) -> list[str]:
    """What makes a size fit that does not: each by itself, or how large a machine must be."""
    if estimate.fits:
        return []
    found = [
        change
        for name, values in _changes(estimate.size).items()
        if (change := _first_that_fits(estimate, name, values))
    ]
    needed = math.ceil(estimate.largest.memory / GIB)
    return found or [f"a machine with {needed} GiB, or a smaller size: no one change is enough"]


def _changes(size: Size) -> dict[str, list[int]]:
    """Other values of what may be turned, the mildest change first."""
    return {
        "processes": [n for n in (size.processes // 2, 1) if 0 < n < size.processes],
        "threads": [1] if size.n_threads > 1 else [],
        "shards": [n for n in SHARDS if size.shards < n <= size.users],
        "dim": [n for n in (size.dim // 2, size.dim // 4) if n >= LEAST_DIM],
    }


def _first_that_fits(estimate: Estimate, name: str, values: list[int]) -> str | None:
    """The first change of a kind that is enough by itself."""
    for value in values:
        changed = estimated(estimate.size.model_copy(update={name: value}), estimate.rates)
        if changed.fits:
            return f"--{name} {value}: {changed.largest.memory / GIB:.1f} GiB"
    return None
