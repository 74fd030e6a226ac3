"""One thread for what must give the same bytes on every machine; cores that would stand idle."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
_spare: ContextVar[Map] = ContextVar("spare", default=map)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch works in one thread meanwhile; also a decorator.

    Several threads add to a row in any order (gradients of indexed tables), and cut sums, matrix
    products and decompositions where their number says: the last digits would depend on both.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def spare_cores(side_by_side: Map) -> Iterator[None]:
    """What this thread shares out is done by this map meanwhile."""
    token = _spare.set(side_by_side)
    try:
        yield
    finally:
        _spare.reset(token)


def shared(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
    """Work of every part, in their order, on cores that would stand idle, if there are any.

    How many there are changes no byte: the parts are what they are. What is done in other threads
    shares out nothing itself.
    """
    has_grad = torch.is_grad_enabled()  # which other threads would not know

    def done(part: Any) -> Any:
        with torch.set_grad_enabled(has_grad):
            return work(part)

    return _spare.get()(done, parts)
