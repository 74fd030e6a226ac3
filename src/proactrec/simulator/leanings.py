r"""Laws of response beyond interest: items' appeal, users' ways, days, lapses and a ceiling.

The four-parameter logistic of item response theory (Barton & Lord 1981; the lapses of psychometric
functions, Wichmann & Hill 2001),

.. math:: p = c + (d - c)\, \sigma(s_u w (e_u^\top e_i - b) + a_i + h_u + t_{u,r} - \text{boredom}),

with the slope and intercept of a person (Birnbaum 1968; Rasch 1960), and biases of items, users and
users' days as in Koren, Bell & Volinsky 2009. a, h and t are normal of mean 0; the log of s is.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from proactrec.rng import generator
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.response import DistributionResponse

LUCK_OF_DAYS = (1 << 20) + 1
"""Slot of the numbers that say what day it is for a user."""


class Leanings(NamedTuple):
    """What decides answers beside interest, of all users and items."""

    appeal: Tensor  # (n_items + 1,), float64, as all of them
    bias: Tensor  # (n_users,)
    slope: Tensor  # (n_users,), factor of the slope
    lapses: float
    ceiling: float

    @classmethod
    def drawn(
        cls, laws: LawOptions, n_users: int, n_items: int, *, seed: int, device: torch.device
    ) -> Self:
        """Leanings of a world of this seed."""

        def normal(purpose: str, deviation: float, n: int) -> Tensor:
            drawn = deviation * generator(seed, "leanings", purpose).standard_normal(n)
            return torch.from_numpy(np.asarray(drawn)).to(device)

        return cls(
            normal("appeal", laws.appeal, n_items + 1),
            normal("bias", laws.user_bias, n_users),
            normal("slope", laws.user_slope, n_users).exp(),
            laws.lapses,
            laws.ceiling,
        )

    def accept_prob(
        self,
        response: DistributionResponse,
        interest: Tensor,
        noise: Tensor | float,
        boredom: Tensor | float,
        *,
        users: Tensor,
        items: Tensor | slice,
        day: Tensor,
    ) -> Tensor:
        """Chance of acceptance, of any shape that all of these broadcast to.

        Parameters
        ----------
        interest : float tensor
            Inner products of users and items.
        users : int tensor
        items : int tensor, or slice of the catalogue
        day : float tensor
            What the logit gains today.
        """
        bent = response.offset + self.slope[users] * (interest - response.offset)
        lost = boredom - self.appeal[items] - self.bias[users] - day
        prob = response.accept_prob(bent, noise, lost)
        return self.lapses + (self.ceiling - self.lapses) * prob
