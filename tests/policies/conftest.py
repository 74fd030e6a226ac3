"""Journeys, views and waits worked by hand."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import Candidates, View
from proactrec.rng import keys_of
from proactrec.testing.toys import histories_of


def users_of(history: Histories) -> Users:
    """Known users u0, u1, … of these histories."""
    everybody = np.arange(len(history.lengths))
    return Users(
        key=keys_of(f"u{user}" for user in everybody),
        known=everybody,
        history=history,
        opted_out=np.zeros(len(everybody), bool),
    )


def journeys_of(
    target_idx: Tensor, number: int = 1, *, n_rounds: int = 20, history: Histories | None = None
) -> Journeys:
    """One of each user to these targets (n,), before a round; nothing was shown before."""
    history = histories_of([[]] * len(target_idx)) if history is None else history
    begun = Journeys.begun(users_of(history), torch.arange(len(target_idx)), target_idx, n_rounds)
    return begun.before(number)


def view_of(places: Tensor, target_idx: Tensor, penalty: Tensor, number: int = 1) -> View:
    """What a policy sees of such journeys, with the whole catalogue for candidates."""
    journeys = journeys_of(target_idx, number)
    return View(journeys, places, Candidates(penalty), journeys.rounds_left)


def best_wait(
    s: float, r: float, q: float, n: float, slope: float, offset: float, waits: Iterable[int]
) -> tuple[float, int]:
    """Largest q^k times the chance after k rounds, and the first k that has it."""
    best, when = 0.0, 0
    for k in waits:
        kept = max(1 - max(r, 0.0) / (1 - s), 0.0)
        reached = 1 - (1 - s) * kept**k
        there = min(max(n - k, 0.0), 1.0)
        value = q**k * there / (1 + math.exp(-(slope * reached + offset)))
        if value > best:
            best, when = value, k
    return best, when
