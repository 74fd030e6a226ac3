"""Journeys: users on their way to targets, and all that a real recommender knows of them.

A journey is one user on the way to one target. What it was shown, how its user answered and which
round comes next are columns of its row, so that journeys in any mix of rounds stand together, and
one alone is the online case. They are values: an answer makes new journeys.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proactrec.data.dataset import Histories, Side
from proactrec.gpu import Held
from proactrec.ranking import penalties
from proactrec.rng import mixed
from proactrec.types import ACCEPTED as ACCEPTED
from proactrec.types import REFUSED as REFUSED
from proactrec.types import UNKNOWN as UNKNOWN
from proactrec.types import BoolArray, IntArray

Rows = Tensor | slice
HASHED_USERS = 50_000
"""Users whose histories are hashed at once: it takes some ten numbers an item."""
OPEN_ENDED = 1_000_000
"""Rounds left where nobody knows how many there will be."""


class OnGPU(NamedTuple):
    """Copies of what rounds ask of users."""

    known: Tensor  # (n_users,)
    opted_out: Tensor  # (n_users,) bool
    history: Held


@dataclass(frozen=True, eq=False)
class Users:
    """Those whose journeys stand together, each once.

    Parameters
    ----------
    key : int array, shape (n_users,)
        Hashed ids, see :func:`proactrec.rng.keys_of`: what guidance draws goes by them.
    known : int array, shape (n_users,)
        Row among the users that the models were fitted on; -1: came later.
    history : Histories
        What they had before their journeys, by inside indices, oldest first.
    opted_out : bool array, shape (n_users,)
        Whether they are never guided.
    padding : "left" or "right"
        Side of the padding of histories that encoders read (D21).
    """

    key: IntArray
    known: IntArray
    history: Histories
    opted_out: BoolArray
    padding: Side = "left"

    @cached_property
    def history_hash(self) -> NDArray[np.uint64]:
        """The same for the same items in any order: (n_users,)."""
        return hash_of(self.history)

    @cached_property
    def _copies(self) -> dict[torch.device, OnGPU]:
        return {}

    def on(self, device: torch.device) -> OnGPU:
        """Copies on a device, made once."""
        if device not in self._copies:
            known, out = (torch.from_numpy(x).to(device) for x in (self.known, self.opted_out))
            self._copies[device] = OnGPU(known, out, Held.of(self.history, device))
        return self._copies[device]


def hash_of(history: Histories) -> NDArray[np.uint64]:
    """Hash of every user's set of items: (n_users,)."""
    found, ends = np.empty(len(history.offsets) - 1, np.uint64), history.offsets
    for at in range(0, len(found), HASHED_USERS):
        part = ends[at : at + HASHED_USERS + 1]
        stirred = mixed(history.item_idx[part[0] : part[-1]])
        sums = np.concatenate([np.zeros(1, np.uint64), stirred.cumsum()])
        found[at : at + HASHED_USERS] = np.diff(sums[part - part[0]])
    return found


class Journeys(NamedTuple):
    """n journeys, with as many columns as rounds may be played."""

    users: Users
    user: Tensor  # (n,), row of `users`
    target_idx: Tensor  # (n,)
    shown: Tensor  # (n, n_rounds), by round; 0 where nothing was, and in rounds to come
    answer: Tensor  # (n, n_rounds) int8
    guided: Tensor  # (n, n_rounds) bool: the policy chose what was shown, and not a rail
    round: Tensor  # (n,), that comes next; 1 = the first
    rounds_left: Tensor  # (n,), after that one; OPEN_ENDED: nobody knows
    is_over: Tensor  # (n,) bool: nothing more is shown
    number: Tensor  # (n,), by which the host knows them
    also_shown: Tensor  # (n, k), beside what `shown` names, in any order; 0: nothing
    drawn_by: Tensor  # (n,), item by whose key draws go: the target; 0 where that may change

    @classmethod
    def begun(cls, users: Users, user: Tensor, target_idx: Tensor, n_rounds: int) -> Self:
        """Journeys (n,) before their first round."""
        shown = user.new_zeros(len(user), n_rounds)
        first = torch.ones_like(user)
        return cls(
            users,
            user,
            target_idx,
            shown,
            torch.full_like(shown, UNKNOWN, dtype=torch.int8),
            shown.bool(),
            first,
            first * (n_rounds - 1),
            first < 1,
            torch.arange(len(user), device=user.device),
            shown[:, :0],
            target_idx,
        )

    def of(self, rows: Rows) -> Self:
        """Of these rows only."""
        return type(self)(self.users, *(part[rows] for part in self[1:]))

    @property
    def n_rounds(self) -> int:
        """Number of columns."""
        return self.shown.shape[1]

    @property
    def accepted(self) -> Tensor:
        """Whether what was shown was accepted: (n, n_rounds)."""
        return self.answer == ACCEPTED

    @property
    def refused(self) -> Tensor:
        """What was shown and not accepted, by round, 0 elsewhere: (n, n_rounds)."""
        return self.shown * (self.answer == REFUSED)

    @property
    def has_arrived(self) -> Tensor:
        """Whether the target was accepted: (n,)."""
        return (self.accepted & (self.shown == self.target_idx[:, None])).any(1)

    @property
    def user_rows(self) -> IntArray:
        """Rows of `users`, as an array: (n,)."""
        rows: IntArray = self.user.cpu().numpy()
        return rows

    @property
    def n_past(self) -> int:
        """Columns that hold all played rounds; on a GPU all, as it would have to be waited for."""
        if self.round.is_cuda:
            return self.n_rounds
        return int(self.round.max()) - 1 if len(self.round) else 0

    def drawing(self, item_key: IntArray) -> tuple[IntArray, IntArray]:
        """Keys of users and targets (n,), by which a journey's luck goes."""
        return self.users.key[self.user_rows], item_key[self.drawn_by.cpu().numpy()]

    def at(self, part: BoolArray | IntArray) -> Tensor:
        """Values of users (n_users,) for every journey: (n,)."""
        return torch.from_numpy(part[self.user_rows]).to(self.user.device)

    @property
    def known(self) -> Tensor:
        """Rows among the users that models were fitted on, -1: came later: (n,)."""
        if self.user.is_cuda:
            return self.users.on(self.user.device).known[self.user]
        return self.at(self.users.known)

    @property
    def opted_out(self) -> Tensor:
        """Whose users are never guided: (n,) bool."""
        if self.user.is_cuda:
            return self.users.on(self.user.device).opted_out[self.user]
        return self.at(self.users.opted_out)

    @property
    def has_opted_out(self) -> bool:
        """Whether any of their users is never guided."""
        return bool(self.users.opted_out.any()) and bool(self.opted_out.any())

    def penalties(self, n_rows: int) -> Tensor:
        """-inf for padding and what users had before, else 0: (n, n_rows)."""
        if self.user.is_cuda:
            return self.users.on(self.user.device).history.penalties(self.user, n_rows)
        return penalties(self.users.history, self.user_rows, n_rows, self.user.device)

    def sequence(self, length: int, side: Side) -> Tensor:
        """The newest items of histories and what was accepted since: (n, length).

        Newest last, padded with 0; on the right (D21) until enough was accepted.
        """
        items, taken = self._before(length, side), self.accepted
        if not taken.is_cuda and not bool(taken.any()):
            return items
        everything = torch.cat([items, self.shown], 1)
        is_kept = torch.cat([torch.ones_like(items, dtype=torch.bool), taken], 1)
        behind = is_kept.flip(1).cumsum(1).flip(1)  # kept ones from here on to the end
        place = (length - behind).masked_fill(~is_kept | (behind > length), length)
        room = items.new_zeros(len(items), length + 1)
        return room.scatter_(1, place, everything)[:, :length]

    def _before(self, length: int, side: Side) -> Tensor:
        """The newest items of histories alone: (n, length)."""
        if self.user.is_cuda:
            return self.users.on(self.user.device).history.padded(self.user, length, side)
        start = self.users.history.padded(length, side=side, user_idx=self.user_rows)
        return torch.from_numpy(start)

    def after(
        self, item_idx: Tensor, accepted: Tensor, guided: Tensor, also_shown: Tensor | None = None
    ) -> Self:
        """After every journey was shown an item (n,), 0: none, and answered.

        `also_shown` (n, k) names what else was shown with it.
        """
        column = (self.round - 1)[:, None]
        answer = accepted.to(torch.int8).masked_fill(item_idx <= 0, UNKNOWN)
        beside = [] if also_shown is None else [also_shown]
        return self._replace(
            shown=self.shown.scatter(1, column, item_idx[:, None]),
            answer=self.answer.scatter(1, column, answer[:, None]),
            guided=self.guided.scatter(1, column, guided[:, None]),
            round=self.round + 1,
            rounds_left=self.rounds_left - 1,
            also_shown=torch.cat([self.also_shown, *beside], 1),
        )

    def before(self, number: Tensor | int) -> Self:
        """As they were before a round, by row (n,) or for all; `also_shown` stays as it is."""
        number = torch.as_tensor(number, device=self.user.device).expand_as(self.round)
        is_past = torch.arange(1, self.n_rounds + 1, device=number.device) < number[:, None]
        return self._replace(
            shown=self.shown * is_past,
            answer=self.answer.masked_fill(~is_past, UNKNOWN),
            guided=self.guided & is_past,
            rounds_left=self.rounds_left + self.round - number,
            round=number,
        )
