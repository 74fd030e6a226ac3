"""Would this user accept this item? The distribution-based click model and its calibration."""

from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.rng import generator
from proactrec.types import FloatArray

WorldName = Literal["flat", "medium", "steep", "official"]
SLOPES: dict[WorldName, float] = {"flat": 0.25, "medium": 1.0, "steep": 2.0}
"""Slope per standard deviation of the score, of every calibrated world."""
OFFICIAL_SLOPE, OFFICIAL_OFFSET = 1.0, 0.8
N_RANDOM_PAIRS = 200_000
AT_ONCE = 4000
N_RECENT = 20
"""Newest items of a user that a click model may look at."""


class Shown(NamedTuple):
    """Items shown to a block of users, and what may decide whether they accept."""

    user_idx: Tensor  # (B,)
    item_idx: Tensor  # (B,), 0 where nothing is shown
    recent: Tensor  # (B, N_RECENT), newest item last, padded with 0 on the left
    interest: Tensor  # (B,), inner product of the hidden user vector and the item's
    noise: Tensor | float  # (B,), percentage that the authors' code adds (itmprec.md D16)
    boredom: Tensor | float = 0.0  # (B,), what the logit of acceptance loses


class Response(Protocol):
    """A click model."""

    def respond(self, shown: Shown) -> Tensor:
        """Chance of acceptance (B,), float64; NaN where there is no answer, which is a refusal."""

    def describe(self) -> dict[str, Any]:
        """What tells it from others, for results."""

    def usage(self) -> dict[str, Any]:
        """What was asked of others, and paid."""

    def close(self) -> None:
        """Let go of what it holds; guidance is over."""


class DistributionResponse(NamedTuple):
    r"""Acceptance by interest: :math:`p = \sigma(w (e_u^\top e_i - b) - c)`, plus noise.

    c is boredom, 0 in most worlds: see :meth:`proactrec.simulator.world.World.boredom`.
    """

    slope: float
    offset: float

    def accept_prob(
        self, interest: Tensor, noise: Tensor | float = 0.0, boredom: Tensor | float = 0.0
    ) -> Tensor:
        """Chance of acceptance for inner products of any shape.

        `noise` is a percentage that the authors' code adds (itmprec.md D16).
        """
        logit = self.slope * (interest - self.offset)
        if isinstance(boredom, Tensor):  # spares a pass over all items where nobody is bored
            logit -= boredom
        return (torch.sigmoid(logit) + noise / 100).clamp(max=1.0)

    def respond(self, shown: Shown) -> Tensor:
        """Chance of acceptance by the interest in the item: (B,)."""
        return self.accept_prob(shown.interest.double(), shown.noise, shown.boredom)

    def describe(self) -> dict[str, Any]:
        """Slope and offset."""
        return self._asdict()

    def usage(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing to let go of."""


def calibrated_response(
    dataset: Dataset,
    user_vectors: Tensor,
    item_vectors: Tensor,
    *,
    world: WorldName | float,
    mean_accept: float = 0.5,
) -> DistributionResponse:
    """The response of a named world on these interest vectors.

    A slope and an offset mean different things on differently spread vectors. So the slope is per
    standard deviation of the score over random user-item pairs, and the offset is solved so that
    users' real next items (the validation answers) are accepted with mean probability
    `mean_accept`. The world `official` has the authors' raw values instead.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
    item_vectors : float tensor, shape (n_items + 1, d)
    world : str or float
        A named world, or its slope per standard deviation.
    """
    if world == "official":
        return DistributionResponse(OFFICIAL_SLOPE, OFFICIAL_OFFSET)
    if not 0 < mean_accept < 1:
        raise InvalidInputError(f"mean_accept must be inside (0, 1), got {mean_accept}")
    users, items = (x.double().cpu().numpy() for x in (user_vectors, item_vectors))
    rng = generator(0, "calibration")
    random_users = rng.integers(0, dataset.n_users, N_RANDOM_PAIRS)
    random_items = rng.integers(1, dataset.n_items + 1, N_RANDOM_PAIRS)
    pieces = [slice(at, at + AT_ONCE) for at in range(0, N_RANDOM_PAIRS, AT_ONCE)]  # fit the cache
    interest = [(users[random_users[p]] * items[random_items[p]]).sum(1) for p in pieces]
    deviation = float(np.concatenate(interest).std())
    if deviation < 1e-6:
        raise InvalidInputError(
            f"interest vectors must differ between users and items; random pairs have a deviation "
            f"of {deviation:.1e}, so no response can be calibrated on them"
        )
    slope = (SLOPES[world] if isinstance(world, str) else world) / deviation
    answers = dataset.answers("validation")
    has_answer = np.flatnonzero(answers)
    of_answers = (users[has_answer] * items[answers[has_answer]]).sum(1)
    return DistributionResponse(slope, _solve_offset(of_answers, slope, mean_accept))


def _solve_offset(interest: FloatArray, slope: float, mean_accept: float) -> float:
    """Offset at which σ(slope (interest - offset)) has the wanted mean: it falls in the offset."""
    margin = 40 / slope
    low, high = float(interest.min()) - margin, float(interest.max()) + margin
    for _ in range(100):
        middle = (low + high) / 2
        mean = float((1 / (1 + np.exp(-slope * (interest - middle)))).mean())
        low, high = (middle, high) if mean > mean_accept else (low, middle)
    return (low + high) / 2
