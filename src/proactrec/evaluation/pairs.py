"""Who is guided to what: every user with every target, less those who had it."""

from typing import NamedTuple

import numpy as np
import torch

from proactrec.data.dataset import Histories
from proactrec.errors import InvalidInputError
from proactrec.guidance.goals import Goal
from proactrec.guidance.guide import Guide
from proactrec.journeys import Journeys, Users
from proactrec.simulator.world import World
from proactrec.types import BoolArray, IntArray


class Pairs(NamedTuple):
    """Users and their targets; a target's users stand together."""

    user_idx: IntArray
    target_idx: IntArray

    @classmethod
    def of(cls, user_idx: IntArray, targets: IntArray) -> "Pairs":
        """Every user with every target."""
        return cls(np.tile(user_idx, len(targets)), np.repeat(targets, len(user_idx)))


def guided_pairs(world: World, user_idx: IntArray, targets: IntArray) -> tuple[Pairs, int]:
    """Every user with every target, less owners where the world drops them, and their number.

    Raises
    ------
    InvalidInputError
        If that leaves nobody.
    """
    pairs = Pairs.of(user_idx, targets)
    if world.options.owners != "drop":
        return pairs, 0
    owns = _owns(world.owned, pairs, len(world.item_vectors))
    if owns.all():
        raise InvalidInputError("every user already has every target: nobody can be guided")
    return Pairs(pairs.user_idx[~owns], pairs.target_idx[~owns]), int(owns.sum())


def led_pairs(
    guide: Guide, goal: Goal, users: Users, user_idx: IntArray, n_rounds: int
) -> tuple[Pairs, int]:
    """Users with the first targets of their goal, less those to whom all are closed; their number.

    Raises
    ------
    InvalidInputError
        If that leaves nobody.
    """
    user = torch.from_numpy(user_idx).to(goal.items.device)
    begun = Journeys.begun(users, user, torch.zeros_like(user), n_rounds)
    target = goal.first(guide, begun).cpu().numpy()
    if not target.any():
        raise InvalidInputError("every item of the goal is closed to every user: all have it")
    return Pairs(user_idx[target > 0], target[target > 0]), int((target == 0).sum())


def _owns(owned: Histories, pairs: Pairs, n_rows: int) -> BoolArray:
    """Whether a pair's user has its target: (n_pairs,)."""
    have = owned.user_idx * n_rows + owned.item_idx
    return np.isin(pairs.user_idx * n_rows + pairs.target_idx, have)
