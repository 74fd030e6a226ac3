"""What a machine can do, measured in a second: the two limits of a roofline, cores and memory."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.errors import DataError
from proactrec.threads import block_map, groups_around, n_allowed, one_thread

ROWS, DIM, COLUMNS = 1024, 64, 2048
"""Of the product whose rate counts: some users with some items, by vectors of the usual length."""
COPIED, LEAST_COPIED = 128 * 2**20, 8 * 2**20
"""Bytes of a table that is copied: of all threads together, and of one at least."""
SECONDS = 0.3
MEMINFO = Path("/proc/meminfo")


class Rates(Options):
    """Rates, cores and free memory."""

    products: float = Field(gt=0, description="operations a second of one core in matrix products")
    bandwidth: float = Field(gt=0, description="bytes a second that one core writes and reads")
    bandwidth_together: float = Field(gt=0, description="the same of all cores together")
    cores: int = Field(ge=1, description="that may be used")
    memory: int = Field(ge=1, description="bytes that may still be taken")

    @classmethod
    def measured(cls) -> Self:
        """Of this machine, now."""
        n_cores = n_allowed()
        with one_thread():
            products, bandwidth = product_rate(), copy_rate()
        return cls(
            products=products,
            bandwidth=bandwidth,
            bandwidth_together=max(bandwidth, rate_together(n_cores)),
            cores=n_cores,
            memory=free_memory(),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Of a JSON file: rates, or an estimate (`proactrec estimate --json`) that has them.

        Raises
        ------
        DataError
            If it can't be read as such.
        """
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**content.get("rates", content))
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(f"{path} can't be read as rates of a machine: {error}") from error


def product_rate() -> float:
    """Operations a second of a float32 product, in as many threads as torch has."""
    left, right = torch.randn(ROWS, DIM), torch.randn(DIM, COLUMNS)
    found = torch.empty(ROWS, COLUMNS)
    return 2 * ROWS * DIM * COLUMNS / seconds_of(lambda: torch.mm(left, right, out=found), min)


def copy_rate() -> float:
    """Bytes a second that one thread writes and reads."""
    table, other = torch.ones(COPIED // 4), torch.ones(COPIED // 4)
    return 2 * COPIED / seconds_of(lambda: table.copy_(other), min)


def rate_together(n_threads: int) -> float:
    """Bytes a second that threads write and read, each copying tables of its own."""
    n_bytes = max(LEAST_COPIED, COPIED // n_threads)
    tables = [(torch.ones(n_bytes // 4), torch.ones(n_bytes // 4)) for _ in range(n_threads)]

    def copied(pair: tuple[Tensor, Tensor]) -> None:
        pair[0].copy_(pair[1])

    with block_map(n=n_threads) as map_blocks:
        seconds = seconds_of(lambda: list(map_blocks(copied, tables)), min, time.perf_counter)
    return 2 * n_bytes * n_threads / seconds


def seconds_of(
    work: Callable[[], Any],
    chosen: Callable[[list[float]], float],
    clock: Callable[[], float] = time.process_time,
) -> float:
    """A work's time, as chosen of many that are done for a while, the first apart.

    By the processor unless told otherwise: others on the machine count for less.
    """
    work()
    spent: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or not spent:
        start = clock()
        work()
        spent.append(clock() - start)
    return chosen(spent)


def free_memory(meminfo: Path = MEMINFO, groups: list[Path] | None = None) -> int:
    """Bytes that may still be taken: what the machine has available, and what its groups leave.

    Parameters
    ----------
    meminfo : Path
        Where Linux says it; elsewhere all memory there is counts.
    groups : list of Path, optional
        Folders of control groups, by default those of this process.
    """
    groups = groups_around() if groups is None else groups
    return int(min(_available(meminfo), *(_left(folder) for folder in groups), math.inf))


def _available(meminfo: Path) -> float:
    lines = meminfo.read_text(encoding="utf-8").splitlines() if meminfo.exists() else []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left(group: Path) -> float:
    """Bytes that a control group (version 2) leaves to its processes."""
    most, now = group / "memory.max", group / "memory.current"
    if (
        not (most.exists() and now.exists())
        or (limit := most.read_text(encoding="utf-8").strip()) == "max"
    ):
        return math.inf
    return int(limit) - int(now.read_text(encoding="utf-8"))
