"""A log as it would have been had users left: of policies that neither know of it nor learn."""

from dataclasses import replace

import numpy as np
import torch

from proactrec.errors import InvalidInputError
from proactrec.guidance.log import GuidanceLog
from proactrec.simulator.world import World
from proactrec.types import IntArray


def leaving_rounds(
    world: World, user_idx: IntArray, target_idx: IntArray, n_rounds: int
) -> IntArray:
    """Rounds after which the users of these pairs leave by chance, 0: stay: (n_pairs,).

    Raises
    ------
    InvalidInputError
        If it depends on users' answers when they leave.
    """
    options = world.options
    if options.patience is not None or options.leaving_refused not in (None, options.leaving):
        raise InvalidInputError(
            "users must leave whatever they answered, got a world with "
            f"leaving={options.leaving}, leaving_refused={options.leaving_refused} and "
            f"patience={options.patience}"
        )
    luck = world.luck_of_leaving(user_idx, target_idx, n_rounds)
    if luck is None:
        return np.zeros(len(user_idx), np.int64)
    chance = world.leaving(torch.from_numpy(user_idx))[:, :1]
    leaves = (luck < chance).cpu().numpy()
    return np.where(leaves.any(1), leaves.argmax(1) + 1, 0)


def with_leaving(log: GuidanceLog, world: World) -> GuidanceLog:
    """The log that the same guidance would have left in a world that loses users.

    It is what a rollout there gives if the policy does not learn, is not told how many leave, and
    no guard rail spans users: until they leave, users answer as they did.

    Parameters
    ----------
    log : GuidanceLog
        Of the same world without leaving.
    world : World
        The one with it.
    """
    if log.has_left.any():
        raise InvalidInputError(
            f"the log must be of users who all stayed, got {log.has_left.sum()} journeys left"
        )
    n_rounds = log.n_rounds
    left_after = leaving_rounds(world, log.user_idx, log.target_idx, n_rounds)
    if world.options.after_success == "stop":
        hit = log.is_target_accepted
        left_after = np.where(hit.any(1) & (hit.argmax(1) + 1 < left_after), 0, left_after)
    last = np.where(left_after > 0, left_after, n_rounds)[:, None]
    is_past = np.arange(1, n_rounds + 1) > last
    state = np.minimum(np.arange(n_rounds + 1), last)
    return replace(
        log,
        item_idx=np.where(is_past, 0, log.item_idx),
        accept_prob=np.where(is_past, np.nan, log.accept_prob),
        accepted=log.accepted & ~is_past,
        interest=np.take_along_axis(log.interest, state, 1),
        rank=np.take_along_axis(log.rank, state, 1),
        slate=np.where(is_past[:, :, None], 0, log.slate),
        guided=log.guided & ~is_past,
        left_after=left_after,
    )
