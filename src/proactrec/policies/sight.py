"""Items as users are believed to see them, and what showing them would bring."""

from typing import NamedTuple

from torch import Tensor


class Chances(NamedTuple):
    """What showing items would bring, as believed; all of the same shape."""

    chance: Tensor  # of acceptance
    gain: Tensor  # of interest in the target, if accepted
    length: Tensor  # of the moved vector before it is made a unit vector


class Sight(NamedTuple):
    """Items as users see them, of unit vectors: inner products."""

    interest: Tensor  # (..., n), of users and items
    toward: Tensor  # (..., n), of targets and items
    now: Tensor  # (..., 1), of users and targets
    offsets: Tensor  # (..., n) or (n,), of the chance of items

    def of(self, column: Tensor) -> "Sight":
        """Of these columns only; of a row's own, (n, k)."""
        offsets = self.offsets.expand_as(self.interest).gather(1, column)
        return Sight(
            self.interest.gather(1, column), self.toward.gather(1, column), self.now, offsets
        )
