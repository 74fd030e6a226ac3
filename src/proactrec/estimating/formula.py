"""A part of memory by the size of the job: a formula in bytes, and its words."""

from collections.abc import Callable
from typing import NamedTuple

from proactrec.estimating.memory import Held, Part
from proactrec.estimating.size import Size


class Formula(NamedTuple):
    """A part, by the size of the job."""

    name: str
    held: Held
    words: str
    n_bytes: Callable[[Size], float]

    def of(self, size: Size) -> Part:
        """The part of this size."""
        return Part(self.name, self.held, self.words, round(self.n_bytes(size)))
