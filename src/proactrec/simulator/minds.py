"""What oracles may read of the simulated users, and no policy of a real recommender can."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.simulator.dynamics import moved
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World


class Outlook(NamedTuple):
    """What showing every item would bring to some users."""

    accept_prob: Tensor  # (B, n_items + 1)
    interest: Tensor  # (B, n_items + 1), interest in the target after accepting the item
    now: Tensor  # (B, 1), interest in the target now

    @property
    def expected_gain(self) -> Tensor:
        """Chance of acceptance times the gain in interest that it brings: (B, n_items + 1)."""
        return self.accept_prob * (self.interest - self.now)


class Minds(NamedTuple):
    """Hidden state of some users, for oracles: real, or imagined after an accepted item."""

    world: World
    user_vectors: Tensor  # (B, d)
    target_idx: Tensor  # (B,)
    kept_share: Tensor  # (B,)
    noise: Tensor  # (B,), percentage added to the acceptance probability
    recent: Tensor  # (B, N_RECENT), newest items, which may bore
    leaves: Tensor  # (B,), whether a refusal now is the last that the user bears
    leaving: Tensor  # (B, 2), chances of leaving after an acceptance and after a refusal
    rounds_left: int

    @classmethod
    def joined(cls, parts: Sequence["Minds"]) -> "Minds":
        """Of users and others of the same world and round, one after the other."""
        columns: Any = zip(*(part[1:-1] for part in parts), strict=True)
        rest: Any = (*(torch.cat(column) for column in columns), parts[0].rounds_left)
        return cls(parts[0].world, *rest)

    def of(self, rows: Tensor) -> "Minds":
        """Of these users only."""
        rest: Any = (*(column[rows] for column in self[1:-1]), self.rounds_left)
        return Minds(self.world, *rest)

    def accepting(self, item_idx: Tensor) -> "Minds":
        """As they would be after accepting these items (B,)."""
        shown = self.world.item_vectors[item_idx]
        return self._replace(
            user_vectors=moved(self.user_vectors, shown, self.kept_share),
            recent=torch.cat([self.recent[:, 1:], item_idx[:, None]], 1),
            leaves=torch.full_like(self.leaves, self.world.options.patience == 1),
            rounds_left=self.rounds_left - 1,
        )

    def outlook(self, among: Tensor | None = None) -> Outlook:
        """What every item would bring, in the first slot of a slate; or those `among` (B, K)."""
        items, share, response = (
            self.world.item_vectors,
            self.kept_share[:, None],
            self.world.response,
        )
        if not isinstance(response, DistributionResponse):
            raise InvalidInputError("oracles know only the click model `distribution` by heart")
        targets, boredom = items[self.target_idx], self.world.boredom(self.recent)
        if among is None:
            interest, toward = self.user_vectors @ items.T, targets @ items.T  # (B, n_items + 1)
        else:
            near = items[among]
            interest, toward = (
                torch.einsum("bd,bkd->bk", x, near) for x in (self.user_vectors, targets)
            )
            boredom = boredom.gather(1, among) if isinstance(boredom, Tensor) else boredom
        prob = response.accept_prob(interest, self.noise[:, None], boredom)
        now = (self.user_vectors * targets).sum(1, keepdim=True)
        # Length of share * user + (1 - share) * item, both of length one; padding is never shown.
        length = (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * interest).sqrt_()
        after = (share * now + (1 - share) * toward).div_(length)
        return Outlook(prob, after, now)
