"""One thread for what must give the same bytes on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
