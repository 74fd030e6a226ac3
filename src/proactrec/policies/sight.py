"""Items as users are believed to see them, and what showing them would bring."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.policies.narrowing import floats
from proactrec.retrieval.scores import Score
from proactrec.retrieval.search import Search
from proactrec.types import IntArray, SingleArray


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


def interest_of(places: Tensor, items: Tensor) -> Tensor:
    """Of users (n, d) in all items: (n, n_items + 1)."""
    if len(places) > 1 or places.is_cuda:
        return places @ items.T
    return torch.from_numpy(places.numpy() @ items.numpy().T)  # half the time of torch's


class Sought(NamedTuple):
    """What a large catalogue is searched for, by journey; items count as they are, unweighted."""

    users: Tensor  # (n, d)
    targets: Tensor  # (n, d)
    target_idx: Tensor  # (n,)
    now: Tensor  # (n,), interest of users in targets
    offsets: Tensor  # (n_items + 1,), of the chance of items
    slope: float
    kept_share: float
    interest: float  # worth of a gain
    step: Tensor  # (n,), worth of an acceptance
    n_steps: int  # that are weighed

    def find(self, search: Search, row: int, penalty: SingleArray) -> IntArray | None:
        """What the choice of a journey is among: its target, and the best steps beside it."""
        score = Score(
            "foreseen",
            floats(self.users[row]),
            floats(self.targets[row]),
            floats(self.offsets),
            here=float(self.now[row]),
            slope=self.slope,
            interest=self.interest,
            step=float(self.step[row]),
            kept_share=self.kept_share,
        )
        found = search.best(score, penalty, self.n_steps + 1)  # the target may be one of them
        return None if found is None else np.union1d(found.item_idx, int(self.target_idx[row]))
