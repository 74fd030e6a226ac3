"""Items as users are believed to see them, and what showing them would bring."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.policies.narrowing import floats
from proactrec.retrieval.scores import Score
from proactrec.retrieval.search import Search
from proactrec.types import FloatArray, IntArray, SingleArray


class Steps(NamedTuple):
    """How a round is imagined to move users; by default as the paper has it.

    On the way back to the start it takes the start to be as near to all items as the user is.
    """

    kept: float | Tensor  # share of a place that the next acceptance leaves: (n, 1)
    then: float | Tensor  # the same of the acceptance after it
    refusal: float = 0.0  # share of the way to a refused item, below 0 away from it
    stays: float | Tensor = 1.0  # factor of interest in the target on the way back: (n, 1)
    home: float | Tensor = 0.0  # and what is added: (n, 1)

    @property
    def without_acceptance(self) -> bool:
        """Whether users move if they refuse."""
        return bool(self.refusal) or isinstance(self.stays, Tensor)

    def after_acceptance(self) -> "Steps":
        """Those of the next round, for plans by row: tensors (n, 1, 1)."""
        then, stays, home = (
            x[:, None] if isinstance(x, Tensor) else x for x in (self.then, self.stays, self.home)
        )
        return Steps(then, then, self.refusal, stays, home)


class Chances(NamedTuple):
    """What showing items would bring, as believed; all of the same shape."""

    chance: Tensor  # of acceptance
    gain: Tensor  # of interest in the target, if accepted
    length: Tensor  # of the moved vector before it is made a unit vector
    lost: Tensor | None = None  # gain of interest if refused; None: users stay where they are

    def expected(self, acceptance: Tensor) -> Tensor:
        """What it brings by expectation over answers, with what an acceptance counts for itself."""
        gain = self.chance * (self.gain + acceptance)
        return gain if self.lost is None else gain + (1 - self.chance) * self.lost


class Sight(NamedTuple):
    """Items as users see them, of unit vectors: inner products."""

    interest: Tensor  # (..., n), of users and items
    toward: Tensor  # (..., n), of targets and items
    now: Tensor  # (..., 1), of users and targets
    offsets: Tensor  # (..., n) or (n,), of the chance of items
    steps: Steps

    def of(self, column: Tensor) -> "Sight":
        """Of these columns only; of a row's own, (n, k)."""
        offsets = self.offsets.expand_as(self.interest).gather(1, column)
        interest, toward = (x.gather(1, column) for x in (self.interest, self.toward))
        return Sight(interest, toward, self.now, offsets, self.steps)

    def chances(self, slope: float) -> Tensor:
        """Chances of acceptance."""
        return torch.sigmoid(slope * self.interest + self.offsets)

    def outlook(self, slope: float) -> Chances:
        """What showing these items would bring."""
        steps, share, now = self.steps, self.steps.kept, self.now
        length = share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * self.interest
        length = length.clamp(min=1e-12).sqrt()
        after = (share * now + (1 - share) * self.toward) / length
        if not steps.without_acceptance:
            return Chances(self.chances(slope), after - now, length)
        refused = now + steps.refusal * (self.toward - self.interest * now)  # small: to first order
        gain, lost = (steps.stays * x + steps.home - now for x in (after, refused))
        return Chances(self.chances(slope), gain, length, lost)

    def after(self, alike: Tensor, then: Chances) -> "Sight":
        """The same items (n, K) once others (n, k) were accepted: (n, k, K).

        `alike` (n, k, K) are their inner products, `then` what showing the others would bring.
        """
        share, next_steps = self.steps.kept, self.steps.after_acceptance()
        if isinstance(share, Tensor):
            share = share[:, None]
        return Sight(
            (share * self.interest[:, None] + (1 - share) * alike) / then.length[:, :, None],
            self.toward[:, None],
            self.now[:, None] + then.gain[:, :, None],
            self.offsets[:, None],
            next_steps,
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
    kept_share: FloatArray  # (n,)
    interest: float  # worth of a gain
    step: Tensor  # (n,), worth of an acceptance
    n_steps: int  # that are weighed
    bias: SingleArray | None = None  # (n,), of users' logits

    def find(self, search: Search, row: int, penalty: SingleArray) -> IntArray | None:
        """What the choice of a journey is among: its target, and the best steps beside it."""
        offsets = floats(self.offsets)
        score = Score(
            "foreseen",
            floats(self.users[row]),
            floats(self.targets[row]),
            offsets if self.bias is None else offsets + self.bias[row],
            here=float(self.now[row]),
            slope=self.slope,
            interest=self.interest,
            step=float(self.step[row]),
            kept_share=float(self.kept_share[row]),
        )
        found = search.best(score, penalty, self.n_steps + 1)  # the target may be one of them
        return None if found is None else np.union1d(found.item_idx, int(self.target_idx[row]))
