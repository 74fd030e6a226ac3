r"""Which items the same users have more often than by accident: a sparse table of pairs of items.

The positive pointwise mutual information of items i and j (Levy, Goldberg and Dagan 2015),

.. math::
    M_{ij} = \max\left(0,\; \ln \frac{\#(i, j)}{\#(i)\, q_j}\right), \qquad q_j \propto \#(j)^{0.75}

with #(i, j) the number of users who have both, and #(i) its sum over j. A history of n items has
:math:`n^2` pairs. Few are counted at once; many item by item, of the newest items of everybody, and
of an item only those are kept that tell most.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.types import FloatArray, IntArray

SMOOTHING = 0.75
"""Power of popularity in the chance that items are together by accident."""
COUNTED_PAIRS = 2**25
"""Pairs of all histories up to which all are counted at once, in float64 (3 GB at the most)."""
NEWEST = 512
"""Items of a history that count beyond: the work is at most 512 times the interactions."""
KEPT_PAIRS = 2**26
"""Pairs kept beyond, shared evenly by the items (0.5 GB, and as much for the transpose)."""
COUNTED_USERS = 1024
"""Users of one item whose histories are read at once."""


def information(known: Histories, n_rows: int) -> tuple[Tensor, Tensor]:
    """The table (n_rows, n_rows), and the same transposed, both sparse; row 0 is empty.

    Parameters
    ----------
    known : Histories
        An item that a user repeats counts as often.
    n_rows : int
        Number of items + 1.
    """
    if int((known.lengths**2).sum()) <= COUNTED_PAIRS:
        matrix = counted_at_once(known, n_rows)
        return matrix, matrix.t()
    return counted_by_item(known.newest(NEWEST), n_rows)


def counted_at_once(known: Histories, n_rows: int) -> Tensor:
    """All pairs, in float64."""
    places = torch.from_numpy(known.user_idx), torch.from_numpy(known.item_idx)
    ones = torch.ones(len(known.item_idx), dtype=torch.float64)
    shape = len(known.lengths), n_rows
    touched = torch.sparse_coo_tensor(torch.stack(places), ones, shape, check_invariants=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        together = (touched.t() @ touched).coalesce()
    (row, column), count = together.indices(), together.values()
    other = row != column
    row, column, count = row[other], column[other], count[other]
    total = torch.zeros(n_rows, dtype=count.dtype).index_add(0, row, count)
    by_accident = total**SMOOTHING
    by_accident /= by_accident.sum().clamp(min=1)
    found = (count / (total[row] * by_accident[column])).log()
    kept = found > 0
    return torch.sparse_coo_tensor(
        torch.stack([row[kept], column[kept]]),
        found[kept],
        (n_rows, n_rows),
        check_invariants=False,
    ).coalesce()


def counted_by_item(known: Histories, n_rows: int) -> tuple[Tensor, Tensor]:
    """Of every item the pairs that tell most, in float32, and the same transposed, as CSR."""
    users = known.user_idx[np.argsort(known.item_idx, kind="stable")]  # by item
    ends = np.cumsum(np.bincount(known.item_idx, minlength=n_rows))
    total = _totals(known, n_rows)
    by_accident = total**SMOOTHING
    by_accident /= max(by_accident.sum(), 1.0)
    columns: list[NDArray[np.int32]] = []
    values: list[NDArray[np.float32]] = []
    most = max(1, KEPT_PAIRS // n_rows)
    for item in range(n_rows):
        others, count = _had_by(known, users[ends[item - 1] if item else 0 : ends[item]], n_rows)
        others, count = others[others != item], count[others != item]
        found = np.log(count / (total[item] * by_accident[others]))
        kept = _telling(by_accident[others] * found, most)
        columns.append(others[kept].astype(np.int32))
        values.append(found[kept].astype(np.float32))
    return _both_ways(columns, values)


def _totals(known: Histories, n_rows: int) -> FloatArray:
    """#(i) of all items: pairs that an item is in, those with itself left out."""
    pairs, times = np.unique(known.user_idx * n_rows + known.item_idx, return_counts=True)
    user, item = np.divmod(pairs, n_rows)
    weights = times * (known.lengths[user] - times)
    total = np.zeros(n_rows)
    np.add.at(total, item, weights)
    return total


def _had_by(known: Histories, users: IntArray, n_rows: int) -> tuple[IntArray, IntArray]:
    """Items (m,) that these users have, in order, and how many times."""
    if len(users) <= COUNTED_USERS:
        return np.unique(known.rows(users)[1], return_counts=True)
    count = np.zeros(n_rows, np.int64)
    for some in np.split(users, range(COUNTED_USERS, len(users), COUNTED_USERS)):
        count += np.bincount(known.rows(some)[1], minlength=n_rows)
    found = np.flatnonzero(count)
    return found, count[found]


def _telling(told: FloatArray, most: int) -> IntArray:
    """Places of the highest positive values, `most` at the most, in order; of equals the first.

    A pair tells its information times the chance of the other item. By information alone an item
    would keep companions that one user happens to share (docs/methods/foresight.md).
    """
    kept = np.flatnonzero(told > 0)
    if len(kept) <= most:
        return kept
    told = told[kept]
    least = np.partition(told, -most)[-most]
    above, equal = told > least, np.flatnonzero(told == least)
    above[equal[: most - np.count_nonzero(above)]] = True
    found: IntArray = kept[above]
    return found


def _both_ways(
    columns: list[NDArray[np.int32]], values: list[NDArray[np.float32]]
) -> tuple[Tensor, Tensor]:
    """A square table by the columns and values of its rows, as CSR, and the same transposed."""
    lengths = np.array([len(row) for row in columns])
    column, value = np.concatenate(columns), np.concatenate(values)
    row = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    order = np.argsort(column, kind="stable")
    in_column = np.bincount(column, minlength=len(lengths))
    return _csr(lengths, column, value), _csr(in_column, row[order], value[order])


def _csr(lengths: IntArray, column: NDArray[np.int32], value: NDArray[np.float32]) -> Tensor:
    """A square CSR table of rows of these lengths."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(ends),
            torch.from_numpy(column),
            torch.from_numpy(value),
            [len(lengths)] * 2,
            check_invariants=False,
        )
