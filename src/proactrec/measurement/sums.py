"""What users did, as sums that may be added: all that intervals and comparisons are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from proactrec.types import BoolArray, FloatArray, IntArray

FIELDS = ("user_idx", "target_idx", "numerator", "denominator")


@dataclass(frozen=True, eq=False)
class Sums:
    """Numerators and denominators of figures, each figure a ratio of two sums over all rows.

    A row is one user on the way to one target or, after :meth:`by_user`, one user. Rows of the same
    user add up, so they may come in any number of parts: from logs, from shards, from SQL.

    Parameters
    ----------
    user_idx, target_idx : int arrays, shape (n_rows,)
        Target 0 stands for all targets together.
    numerator, denominator : float arrays, shape (n_rows, n_figures)

    Examples
    --------
    >>> january = Sums.of_users(np.array([1, 2]), np.array([[3.0], [0]]), np.array([[5.0], [5]]))
    >>> february = Sums.of_users(np.array([2]), np.array([[4.0]]), np.array([[5.0]]))
    >>> both = Sums.together([january, february]).by_user()
    >>> both.numerator.ravel().tolist(), both.denominator.ravel().tolist()
    ([3.0, 4.0], [5.0, 10.0])
    """

    user_idx: IntArray
    target_idx: IntArray
    numerator: FloatArray
    denominator: FloatArray

    @classmethod
    def of_users(cls, user_idx: IntArray, numerator: FloatArray, denominator: FloatArray) -> Self:
        """Sums over all targets."""
        return cls(user_idx, np.zeros_like(user_idx), numerator, denominator)

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """All rows of several parts, for the same figures."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS))

    @classmethod
    def beside(cls, parts: Sequence[Self]) -> Self:
        """All figures of several parts, for the same rows."""
        top, bottom = (
            np.concatenate([getattr(part, name) for part in parts], 1) for name in FIELDS[2:]
        )
        return cls(parts[0].user_idx, parts[0].target_idx, top, bottom)

    def of(self, rows: BoolArray | IntArray) -> "Sums":
        """These rows only."""
        return Sums(*(getattr(self, name)[rows] for name in FIELDS))

    def by_user(self) -> "Sums":
        """One row for each user, ascending."""
        users, place = np.unique(self.user_idx, return_inverse=True)
        top, bottom = (_added(x, (place,), (len(users),)) for x in self._values)
        return Sums.of_users(users, top, bottom)

    def crossed(self, users: IntArray, targets: IntArray) -> tuple[FloatArray, FloatArray]:
        """Numerators and denominators as tables, each (n_users, n_targets, n_figures).

        Parameters
        ----------
        users, targets : int arrays
            Ascending; those of all rows, and maybe more.
        """
        place = np.searchsorted(users, self.user_idx), np.searchsorted(targets, self.target_idx)
        top, bottom = (_added(x, place, (len(users), len(targets))) for x in self._values)
        return top, bottom

    @property
    def _values(self) -> tuple[FloatArray, FloatArray]:
        return self.numerator, self.denominator


def floats(values: NDArray[np.generic]) -> FloatArray:
    """Counts as sums."""
    return values.astype(np.float64)


def _added(values: FloatArray, place: tuple[IntArray, ...], shape: tuple[int, ...]) -> FloatArray:
    """Rows added up at every place, an index (n_rows,) an axis: (*shape, n_figures)."""
    total = np.zeros((*shape, values.shape[1]))
    np.add.at(total, place, values)
    return total
