"""How work on shards is run: here by this process, in files of their own by others."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

from proactrec.distributed.shards import Shard

Do = Callable[[pl.DataFrame], bytes]
"""From the rows of a shard to the content of its file: a function, of nothing else."""
Part = tuple[Shard, pl.DataFrame]
Done = tuple[Shard, bytes]


class Work(Protocol):
    """What is done with every shard: a value, which is sent to whoever does it."""

    @property
    def folder(self) -> Path:
        """All that it needs; to another machine its files are sent along."""
        ...

    def opened(self, folder: Path) -> Do:
        """What is done with rows, once the folder was read; it may be deleted afterwards."""
        ...


class Runner(Protocol):
    """Who does the work.

    Parts are taken as there is room for them, so that memory does not grow with their number, and
    their files come in any order. Only the caller reads and writes: whoever dies at work leaves
    nothing behind, and the part is done again.
    """

    def __call__(self, work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        """The content of every part's file, as they come."""
        ...


def here(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
    """Do it in this process, one part after the other."""
    do = work.opened(work.folder)
    for shard, rows in parts:
        yield shard, do(rows)
