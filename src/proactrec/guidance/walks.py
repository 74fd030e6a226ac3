"""Journeys of users that a host keeps one by one, as it has them when it decides."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from proactrec.data.dataset import Histories
from proactrec.journeys import OPEN_ENDED, Journeys, Users
from proactrec.rng import keys_of
from proactrec.types import IntArray

PLANNED = 20
"""Columns of journeys whose end nobody knows, unless more were played: as long are whole paths."""


class Round(NamedTuple):
    """A round that was played."""

    item_idx: int  # 0: nothing was shown
    guided: bool
    answer: int  # ACCEPTED, REFUSED or UNKNOWN


class Walk(NamedTuple):
    """One user on the way to one target."""

    user_id: str
    known: int  # row among the users that the guide knows, or -1
    history: Sequence[int] | IntArray  # oldest first, without what this journey itself brought
    opted_out: bool
    target_idx: int
    rounds: Sequence[Round] = ()  # oldest first


def journeys_of(walks: Sequence[Walk], *, n_columns: int = PLANNED) -> Journeys:
    """These walks (n,), open-ended; over where the user has the target, or accepted it.

    They are numbered by their place, and each has a user of its own.

    Parameters
    ----------
    n_columns : int
        Rounds that there is room for, at least; there always is for one more than were played.
    """
    rounds = [one.rounds for one in walks]
    lengths = np.fromiter(map(len, rounds), np.int64, len(walks))
    most = max(n_columns, int(lengths.max(initial=0)) + 1)
    target = torch.tensor([one.target_idx for one in walks], dtype=torch.int64)
    users, row = _users(walks), torch.arange(len(walks))
    begun = Journeys.begun(users, row, target, most)
    played = np.array([one for of_walk in rounds for one in of_walk], np.int64).reshape(-1, 3)
    is_past = torch.from_numpy(np.arange(most) < lengths[:, None])
    for column, part in enumerate((begun.shown, begun.guided, begun.answer)):
        part[is_past] = torch.from_numpy(played[:, column]).to(part.dtype)
    journeys = begun._replace(
        round=begun.round + torch.from_numpy(lengths),
        rounds_left=torch.full_like(row, OPEN_ENDED),
    )
    owner, item = users.history.rows(np.arange(len(walks)))
    owns = np.zeros(len(walks), bool)
    owns[owner[item == target.numpy()[owner]]] = True
    return journeys._replace(is_over=journeys.has_arrived | torch.from_numpy(owns))


def _users(walks: Sequence[Walk]) -> Users:
    """The user of every walk."""
    histories = [np.asarray(one.history, np.int64) for one in walks]
    lengths = np.fromiter(map(len, histories), np.int64, len(walks))
    return Users(
        key=keys_of(one.user_id for one in walks),
        known=np.array([one.known for one in walks], np.int64),
        history=Histories(
            np.concatenate([[0], lengths.cumsum()]).astype(np.int64),
            np.concatenate([np.empty(0, np.int64), *histories]),
        ),
        opted_out=np.array([one.opted_out for one in walks], bool),
    )
