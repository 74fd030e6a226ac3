"""Item vectors as int8, a quarter of their size, with bounds on what that leaves out."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from proactrec.types import SingleArray

STEPS = 127
ROUNDED = 1e-5
"""Of an item's length: what float32 products may be off, added to its error."""
ROWS_AT_ONCE = 65_536


class Int8Table(NamedTuple):
    """Rows :math:`x_i = s_i q_i + e_i` with integers :math:`q_i` from -127 to 127."""

    rows: NDArray[np.int8]  # (n, d) int8, q
    about: SingleArray  # (3, n) float32: s, a bound on |e|, 1 / |x|

    @classmethod
    def of(cls, vectors: Tensor) -> Self:
        """The table of vectors (n, d) on the CPU."""
        n, size = vectors.shape
        rows, about = np.empty((n, size), np.int8), np.empty((3, n), np.float32)
        for start in range(0, n, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            rows[part], about[:, part] = _quantised(vectors[part].numpy())
        return cls(rows, about)


def _quantised(x: SingleArray) -> tuple[SingleArray, SingleArray]:
    largest = np.abs(x).max(1, keepdims=True)
    scale = np.where(largest > 0, largest, 1) / np.float32(STEPS)
    q = np.rint(x / scale)
    length, error = (np.linalg.norm(part, axis=1) for part in (x, x - q * scale))
    unit = 1 / np.maximum(length, 1e-12)  # as torch.nn.functional.normalize has it
    return q, np.stack([scale[:, 0], error + ROUNDED * length, unit])
