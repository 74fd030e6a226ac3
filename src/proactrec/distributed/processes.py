"""Work in parts by processes of this machine, one core each; those that die are replaced."""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

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
        """What is made of every part, as it comes.

        Raises
        ------
        LostWorkersError
            If processes die over and over.
        """
        coming, waiting = iter(parts), deque[tuple[Any, Any]]()
        deaths = 0
        while deaths < MOST_DEATHS:
            flying: dict[Future[Any], tuple[Any, Any]] = {}
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
            f"processes died {MOST_DEATHS} times in a row, for instance for want of memory: the "
            "same command goes on with what is missing, and fewer of them need less"
        )

    def _pool(self, work: Work) -> ProcessPoolExecutor:
        # Forked processes may hang: torch and polars have threads.
        return ProcessPoolExecutor(self.n, get_context("spawn"), _begin, (work,))

    def _send(
        self,
        pool: ProcessPoolExecutor,
        flying: dict[Future[Any], tuple[Any, Any]],
        waiting: deque[tuple[Any, Any]],
        coming: Iterator[Part],
    ) -> None:
        """Give the pool as many parts as there is room for, those that were lost first."""
        while len(flying) < QUEUED * self.n:
            if not waiting:
                if (part := next(coming, None)) is None:
                    return
                waiting.append(part)
            flying[pool.submit(_done, waiting[0][1])] = waiting[0]
            waiting.popleft()  # once it was sent: a broken pool takes none


def _next_of(flying: dict[Future[Any], tuple[Any, Any]]) -> Done:
    """The next that is done, which is no longer flying."""
    future = next(iter(wait(flying, return_when=FIRST_COMPLETED).done))
    made = future.result()
    return flying.pop(future)[0], made


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


def _done(given: Any) -> Any:
    return _opened()(given)
