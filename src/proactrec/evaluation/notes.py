"""The log and the trace of a rollout while it is played, where the world is: nothing is copied."""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from proactrec.evaluation.pairs import Pairs
from proactrec.guidance.goals import Goal
from proactrec.guidance.log import GuidanceLog
from proactrec.rng import generator
from proactrec.simulator.environment import Feedback
from proactrec.simulator.world import World
from proactrec.types import FloatArray, IntArray


class Notes:
    """What plays fill row by row; for what the columns hold see :class:`GuidanceLog`.

    Parameters
    ----------
    n_traced : int
        Journeys, drawn at random, whose hidden vectors are kept.
    watched : float array, shape (n_watched, n_items + 1), optional
        What items weigh in further interests that are noted.
    goal : Goal, optional
        To whose items they lead; the pairs' targets are then the first.
    """

    def __init__(
        self,
        world: World,
        pairs: Pairs,
        n_rounds: int,
        n_traced: int,
        watched: FloatArray | None = None,
        goal: Goal | None = None,
    ) -> None:
        self.pairs, self.n_rounds, self.goal = pairs, n_rounds, goal
        n_pairs = len(pairs.user_idx)
        n_traced = min(n_traced, n_pairs)
        self.traced = np.sort(generator(world.seed, "traced").choice(n_pairs, n_traced, False))

        def zeros(kind: torch.dtype, *shape: int) -> Tensor:
            return torch.zeros(shape, dtype=kind, device=world.device)

        whole, real, yes = torch.int64, torch.float64, torch.bool
        self.trace = zeros(real, n_traced, n_rounds + 1, world.user_vectors.shape[1])
        self.item_idx = zeros(whole, n_pairs, n_rounds)
        self.accept_prob = zeros(real, n_pairs, n_rounds).fill_(torch.nan)
        self.accepted, self.guided = (zeros(yes, n_pairs, n_rounds) for _ in range(2))
        self.interest = zeros(real, n_pairs, n_rounds + 1)
        self.rank = zeros(whole, n_pairs, n_rounds + 1)
        self.directions = zeros(real, 0, world.user_vectors.shape[1])  # (n_watched, d)
        if watched is not None and len(watched):
            weights = torch.from_numpy(watched).to(world.device)
            self.directions = weights @ world.item_vectors.double()
        self.watched = zeros(real, n_pairs, n_rounds + 1, len(self.directions))
        self.is_counted, self.left_after = zeros(yes, n_pairs), zeros(whole, n_pairs)
        self.slate = zeros(whole, n_pairs, n_rounds, world.options.n_slots)
        self.led_to = zeros(whole, n_pairs, 0 if goal is None else n_rounds)

    @property
    def log(self) -> GuidanceLog:
        """What happened, on the CPU."""
        made = (*Pairs._fields, "of_goal")
        own = (part.name for part in fields(GuidanceLog) if part.name not in made)
        found = {name: getattr(self, name).cpu().numpy() for name in own}
        if self.goal_items is None:
            return GuidanceLog(*self.pairs, **found)
        users, of_goal = self.pairs.user_idx, np.isin(found["item_idx"], self.goal_items)
        return GuidanceLog(users, np.zeros_like(users), **found, of_goal=of_goal)

    @property
    def teaches(self) -> bool:
        """Whether answers teach the goal's own chooser."""
        return self.goal is not None and self.goal.is_shared

    @property
    def goal_items(self) -> IntArray | None:
        """Items of the goal, if there is one: (k,)."""
        return None if self.goal is None else self.goal.items.cpu().numpy()

    def round(
        self, rows: slice, number: int, slate: Tensor, feedback: Feedback, guided: Tensor
    ) -> None:
        """What was shown in a round, and how it was answered."""
        at = number - 1
        self.slate[rows, at] = slate
        self.item_idx[rows, at] = feedback.item_idx
        self.accepted[rows, at] = feedback.accepted
        self.accept_prob[rows, at] = feedback.accept_prob
        self.guided[rows, at] = guided

    def left(self, rows: slice, number: int, leaves: Tensor) -> None:
        """Who left after a round."""
        self.left_after[rows].masked_fill_(leaves, number)
