"""Work on shards by processes of this machine, one core each; those that die are replaced."""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread

import polars as pl

from proactrec.distributed.running import Do, Done, Part, Work
from proactrec.errors import InvalidInputError, LostWorkersError

QUEUED = 2
"""Parts that are read ahead for every process, that at work included."""
MOST_DEATHS = 3
"""Times in a row that processes may die before a part is done."""


class Processes:
    """So many processes, each of which opens the work once.

    Raises
    ------
    InvalidInputError
        If there is to be none.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise InvalidInputError(f"processes must be at least 1, got {n}")
        self.n = n

    def __call__(self, work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        """The content of every part's file, as they come.

        Raises
        ------
        LostWorkersError
            If processes die over and over.
        """
        coming, waiting = iter(parts), deque[Part]()
        deaths = 0
        while deaths < MOST_DEATHS:
            flying: dict[Future[bytes], Part] = {}
            pool = self._pool(work)
            try:
                while True:
                    self._send(pool, flying, waiting, coming)
                    if not flying:
                        return
                    done = _next_of(flying)
                    deaths = 0
                    yield done
            except BrokenProcessPool:
                deaths += 1
                waiting.extendleft(reversed(flying.values()))
            finally:
                pool.shutdown(cancel_futures=True)
        raise LostWorkersError(
            f"processes died {MOST_DEATHS} times in a row, for instance for want of memory: try "
            "fewer of them, or smaller shards"
        )

    def _pool(self, work: Work) -> ProcessPoolExecutor:
        # Forked processes may hang: torch and polars have threads.
        return ProcessPoolExecutor(self.n, get_context("spawn"), _begin, (work,))

    def _send(
        self,
        pool: ProcessPoolExecutor,
        flying: dict[Future[bytes], Part],
        waiting: deque[Part],
        coming: Iterator[Part],
    ) -> None:
        """Give the pool as many parts as there is room for, those that were lost first."""
        while len(flying) < QUEUED * self.n:
            waiting.extend(islice(coming, 0 if waiting else 1))
            if not waiting:
                return
            flying[pool.submit(_done, waiting[0][1])] = waiting[0]
            waiting.popleft()  # once it was sent: a broken pool takes none


def _next_of(flying: dict[Future[bytes], Part]) -> Done:
    """The next that is done, which is no longer flying."""
    future = next(iter(wait(flying, return_when=FIRST_COMPLETED).done))
    content = future.result()
    return flying.pop(future)[0], content


_given: list[Work] = []
"""The work of this process, if it is one of a pool."""


def _begin(work: Work) -> None:
    _given.append(work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who waits for us
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Nobody else ends a pool's processes if its owner is killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@cache
def _opened() -> Do:
    return _given[0].opened(_given[0].folder)


def _done(rows: pl.DataFrame) -> bytes:
    return _opened()(rows)
