"""Where histories put users before their journeys, in every view."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.journeys import Journeys, Users, hash_of
from proactrec.policies.views import Views
from proactrec.types import IntArray


class Starts:
    """Known users stand where the fit put them, others where their histories pull them.

    Parameters
    ----------
    views : Views
    known : Histories
        Of the known users, as the vectors were fitted on them.
    """

    def __init__(self, views: Views, known: Histories) -> None:
        self._views, self._known, self._known_hash = views, known, hash_of(known)
        self._last: tuple[Users | None, Tensor] = None, views.user_vectors  # of all, on a GPU

    def of(self, journeys: Journeys) -> Tensor:
        """Where histories put users: (n, d)."""
        if not journeys.user.is_cuda:
            return self._of_rows(journeys.users, journeys.user_rows)
        users, everybody = self._last
        if users is not journeys.users:
            users = journeys.users
            everybody = self._of_rows(users, np.arange(len(users.key)))
            self._last = users, everybody
        return everybody[journeys.user]

    def _of_rows(self, users: Users, rows: IntArray) -> Tensor:
        known = users.known[rows]
        start = self._views.user_vectors[self._there(known.clip(min=0))]
        is_other = (known < 0) | (users.history_hash[rows] != self._known_hash[known])
        if is_other.any():
            of_row, row = np.unique(rows[is_other], return_inverse=True)
            placed = self._placed_anew(users, of_row)
            start[self._there(is_other)] = placed[self._there(row)]
        return start

    def _there(self, part: NDArray[Any]) -> Tensor:
        return torch.from_numpy(part).to(self._views.user_vectors.device)

    def _placed_anew(self, users: Users, rows: IntArray) -> Tensor:
        r"""Where users stand whose histories are not those of the fit: (n_rows, d).

        :math:`n(c\, u + \sum_{new} e_i - \sum_{gone} e_i)` with :math:`c = \sum_i u^\top e_i` over
        the fitted history: the pull of every item is added or taken back. For a vector that
        alignment alone put there, this is the fit with the other history. Who was not there when
        models were fitted stands at :math:`n(\sum_i e_i)`.
        """
        views, items, n_rows = self._views, self._views.item_vectors, len(self._views.item_vectors)
        known = users.known[rows]
        is_known = known >= 0
        old_row, old_item = self._known.rows(known[is_known])
        old_row = is_known.nonzero()[0][old_row]
        row, item = users.history.rows(rows)
        place, row_and_item = np.unique(
            np.concatenate([row, old_row]) * n_rows + np.concatenate([item, old_item]),
            return_inverse=True,
        )
        sign = np.repeat([1.0, -1.0], [len(row), len(old_row)])
        change = np.bincount(row_and_item, sign, len(place))
        place, change = place[change != 0], change[change != 0]
        nothing = items.new_zeros(len(rows), items.shape[1])
        moved = nothing.index_add(
            0,
            self._there(place // n_rows),
            items[self._there(place % n_rows)] * self._there(change).float()[:, None],
        )
        total = nothing.index_add(0, self._there(old_row), items[self._there(old_item)])
        start = views.user_vectors[self._there(known.clip(min=0))]
        pull = views.sums(start * total)[:, views.of_column]  # 0 for who is not known
        return views.units(pull * start + moved)
