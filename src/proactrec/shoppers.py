"""Simulated shoppers: users of a world who visit a service as real ones do, round by round.

They see what they are shown and answer by the same environment, with the same luck, as in a
rollout. What they do for a target that they are led to is thus what a rollout tells of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
import torch

from proactrec.data.dataset import Dataset
from proactrec.serving.schemas import (
    MOST_DECISIONS,
    MOST_EVENTS,
    Decision,
    DecisionRequest,
    EventReport,
    EventsTaken,
)
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World
from proactrec.store.campaign import HOLD_OUT
from proactrec.types import BoolArray, FloatArray, IntArray

MOST_ROUNDS = 200
FINISHED = "finished"
"""Why nobody guides a user who has no target left: they come no more."""


class Visited(Protocol):
    """What shoppers visit: :class:`proactrec.serving.client.Client` is one."""

    def decide_batch(
        self, asked: Sequence[DecisionRequest], *, request_key: str | None = None
    ) -> Sequence[Decision]:
        """What to show to users next, in their order."""
        ...

    def report(self, events: Sequence[EventReport]) -> EventsTaken:
        """Take in what users did."""
        ...


class Visit(NamedTuple):
    """A round of all shoppers; nothing was shown where `item_idx` is 0."""

    item_idx: IntArray  # (n_users,)
    target_idx: IntArray  # (n_users,), that users were led to, 0 before the first
    accepted: BoolArray  # (n_users,)
    guided: BoolArray  # (n_users,)
    is_held_out: BoolArray  # (n_users,)
    interest: FloatArray  # (n_users,), in the target afterwards; hidden from the service
    has_left: BoolArray  # (n_users,), with this round or before


class Shoppers:
    """Users of a world, who may be away for good after a round.

    Parameters
    ----------
    dataset : Dataset
        Its ids are those that the service is asked with.
    world : World
    user_idx : int array, shape (n_users,)
    n_rounds : int
        Most visits of each on the way to a target.
    """

    def __init__(
        self,
        dataset: Dataset,
        world: World,
        user_idx: IntArray,
        *,
        n_rounds: int = MOST_ROUNDS,
    ) -> None:
        self.user_ids = [dataset.user_ids[row] for row in user_idx]
        self._index = dataset.items.index
        self._environment, self._target = Environment(world), np.zeros(len(user_idx), np.int64)
        self._environment.reset(user_idx, self._target, n_rounds=n_rounds)
        self.is_away = np.zeros(len(user_idx), bool)

    def visit(self, service: Visited, at: datetime | None = None) -> Visit:
        """Everybody who is still there asks, sees, answers, and the service is told."""
        here = np.flatnonzero(~self.is_away)
        decided = _in_parts(
            service.decide_batch,
            [DecisionRequest(user_id=self.user_ids[row], at=at) for row in here],
            MOST_DECISIONS,
        )
        self._lead(here, decided)
        shown = np.zeros(len(self.user_ids), np.int64)
        shown[here] = [self._shown(one) for one in decided]
        feedback = self._environment.step(torch.from_numpy(shown))
        accepted = feedback.accepted.cpu().numpy()
        events = [
            event
            for row, one in zip(here, decided, strict=True)
            if shown[row]
            for event in _events(self.user_ids[row], one, bool(accepted[row]), at)
        ]
        for at_event in range(0, len(events), MOST_EVENTS):
            service.report(events[at_event : at_event + MOST_EVENTS])
        is_over = [one.not_guided_because == FINISHED for one in decided]
        self.is_away[here] = is_over
        self.is_away |= self._environment.has_left.cpu().numpy()
        return self._told(here, decided, shown, accepted)

    def _lead(self, here: IntArray, decided: Sequence[Decision]) -> None:
        """Users may be led to other targets than before; one that came after the world was made
        is none that they could be moved toward, as if they were led to the one before.
        """
        target = self._target.copy()
        target[here] = [
            self._index.get(one.target_id or "", self._target[row])
            for row, one in zip(here, decided, strict=True)
        ]
        rows = np.flatnonzero(target != self._target)
        if len(rows):
            self._environment.redirect(torch.from_numpy(rows), target[rows])
        self._target = target

    def _shown(self, one: Decision) -> int:
        """What a user looks at; items that came after the world was made are passed by."""
        is_over = one.not_guided_because == FINISHED
        return 0 if is_over or one.item_id is None else self._index.get(one.item_id, 0)

    def _told(
        self, here: IntArray, decided: Sequence[Decision], shown: IntArray, accepted: BoolArray
    ) -> Visit:
        guided, is_held_out = (np.zeros(len(shown), bool) for _ in range(2))
        guided[here] = [one.guided for one in decided]
        is_held_out[here] = [one.arm == HOLD_OUT for one in decided]
        interest = self._environment.interest().cpu().numpy()
        target, is_away = self._target.copy(), self.is_away.copy()
        return Visit(shown, target, accepted, guided, is_held_out, interest.copy(), is_away)


def _events(
    user_id: str, decision: Decision, accepted: bool, at: datetime | None
) -> list[EventReport]:
    """What a shopper reports of a decision: seen, and taken or not."""
    kinds = ("impression", "accept" if accepted else "skip")
    return [
        EventReport(
            event_id=f"{decision.decision_id}-{kind}",
            user_id=user_id,
            decision_id=decision.decision_id,
            item_id=decision.item_id or "",
            kind=kind,
            at=at,
        )
        for kind in kinds
    ]


def _in_parts(
    ask: Callable[[Sequence[DecisionRequest]], Sequence[Decision]],
    asked: Sequence[DecisionRequest],
    size: int,
) -> list[Decision]:
    parts = (ask(asked[at : at + size]) for at in range(0, len(asked), size))
    return [one for part in parts for one in part]
