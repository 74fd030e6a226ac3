"""Were chances what they were said to be? From sums by tenths of the chance, which add up.

What came less what was foretold is, on average over whatever was decided, nothing but luck if the
chances were right, and each answer's luck is its own given all before it. So the bounds of
:mod:`proactrec.measurement.sequences` hold although users answer again and again, and at all looks.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from proactrec.measurement.sequences import Moments, at_least
from proactrec.types import BoolArray, FloatArray

N_BINS = 10
SUREST = 1e-6
"""A chance of 0 or 1 counts as this far from it: one surprise is no infinite loss."""


class Calibration(NamedTuple):
    """Sums over answers, each (n_bins,), by the chance that was foretold."""

    n: FloatArray
    foretold: FloatArray
    came: FloatArray
    squares: FloatArray  # of what came less what was foretold
    loss: FloatArray  # of the logarithm

    @classmethod
    def of(cls, chance: FloatArray, accepted: BoolArray) -> Self:
        """Of chances and answers, (n_answers,)."""
        bins = np.minimum((chance * N_BINS).astype(np.int64), N_BINS - 1)
        sure, came = chance.clip(SUREST, 1 - SUREST), accepted.astype(float)
        loss = -np.where(accepted, np.log(sure), np.log1p(-sure))
        parts = (np.ones(len(chance)), chance, came, (came - chance) ** 2, loss)
        return cls(*(np.bincount(bins, part, N_BINS).astype(np.float64) for part in parts))

    @classmethod
    def of_sums(cls, sums: Mapping[str, Sequence[float]]) -> Self:
        """What :meth:`as_sums` gave."""
        return cls(**{name: np.array(part, float) for name, part in sums.items()})

    def as_sums(self) -> dict[str, list[float]]:
        """As JSON keeps it."""
        return {name: part.tolist() for name, part in self._asdict().items()}

    def __add__(self, other: "Calibration") -> "Calibration":  # type: ignore[override]
        return Calibration(*(one + more for one, more in zip(self, other, strict=True)))

    @property
    def n_answers(self) -> int:
        """All."""
        return int(self.n.sum())

    @property
    def error(self) -> float:
        """Mean of what came less what was foretold."""
        return float((self.came - self.foretold).sum() / max(self.n.sum(), 1))

    @property
    def log_loss(self) -> float:
        """Mean; lower is better, log 2 is knowing nothing."""
        return float(self.loss.sum() / max(self.n.sum(), 1))

    def off_by_at_least(self, *, alpha: float) -> float:
        """How far chances are credibly off on average, over all or within a tenth; 0: not at all.

        Parameters
        ----------
        alpha : float in (0, 1)
            Chance that it is ever too much, as answers grow many.
        """
        sums = np.stack(self[:4])  # (4, n_bins)
        bins = max(_off(one, alpha / N_BINS / 2) for one in sums.T)
        return max(_off(sums.sum(1), alpha / 2), bins, 0.0)


def _off(sums: FloatArray, alpha: float) -> float:
    """Of these answers, at least; -inf while they are few."""
    n, foretold, came, squares = sums.tolist()
    if not n:
        return -np.inf
    error = (came - foretold) / n
    # One answer more, as far off as there can be: where a few are all alike, others may differ.
    variance = (max(squares - n * error**2, 0.0) + 1) / n
    either = (
        at_least(Moments(int(n), sign * error, variance), alpha=alpha / 2) for sign in (1, -1)
    )
    return max(either)
