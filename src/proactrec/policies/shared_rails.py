"""Rails that span users: who is guided at all, whose turn it is today, who gets a scarce item.

All campaigns play a round together. They decide first; then what too many want is settled, and who
loses decides again without it, until nobody is over. The order of campaigns is that of targets,
then of users.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.policies.base import Bounds, Decision
from proactrec.policies.rails import UNLIMITED, RailsOptions, groups_of
from proactrec.types import BoolArray, FloatArray, IntArray

MOST_UNEQUAL = 1.1
"""Largest share of a group that is guided, by the smallest."""
SCORE_DECIMALS = 5
"""Scores that differ less are equal: batches round differently."""


class SharedRails:
    """What the campaigns of one run have used up, and what that leaves to them.

    Parameters
    ----------
    options : RailsOptions
    dataset : Dataset
    user_idx : int array, shape (n_pairs,)
        Of all campaigns, in their order.
    """

    def __init__(self, options: RailsOptions, dataset: Dataset, user_idx: IntArray) -> None:
        self.options, self._user_idx = options, user_idx
        self._names: tuple[str, ...] = ("everybody",)
        self._group = np.zeros_like(user_idx)
        if options.equal_groups is not None:
            self._names, of_user = groups_of(options, dataset)
            self._group = of_user[user_idx]
        self._n_of_item = np.zeros(dataset.n_items + 1, dtype=np.int64)  # guided so far
        self._n_today = np.zeros(dataset.n_users, dtype=np.int64)  # guided rounds of a user
        self._is_left_out = np.zeros(len(user_idx), dtype=bool)
        self._groups: dict[str, dict[str, int]] = {}
        self._round, self._is_first = 1, True
        self._left, self._is_closed, self._is_held = self._begin(1)

    def notes(self) -> dict[str, Any]:
        """Campaigns that might be guided, and are, of every group."""
        return {"groups": self._groups} if self.options.equal_groups is not None else {}

    def choose(self, worth: Tensor) -> None:
        """Leave out all but the worthiest campaigns; `worth` (n_pairs,), -inf: never guided.

        Raises
        ------
        InvalidInputError
            If there are groups, and one of them would be left without guidance.
        """
        most = self.options.guided_pairs
        if most is None:
            return
        values, n_groups = worth.cpu().double().numpy(), len(self._names)
        sizes = np.bincount(self._group[values > -np.inf], minlength=n_groups)
        budget = int(most if most > 1 else most * len(values) + 1e-9)
        quotas = _quotas(sizes, budget)
        if self.options.equal_groups is not None:
            if budget and sizes.any() and not quotas.any():
                raise InvalidInputError(
                    "rails.guided_pairs must be enough to treat the groups of rails.equal_groups "
                    f"alike, got {budget} campaigns for groups of {sizes.tolist()}"
                )
            self._groups = {
                name: {"campaigns": int(size), "guided": int(quota)}
                for name, size, quota in zip(self._names, sizes, quotas, strict=True)
            }
        self._is_left_out = _place_among(self._group, values) >= quotas[self._group]

    def bounds(self, part: slice, device: torch.device, *, is_again: bool = False) -> Bounds:
        """What is left to a part of the campaigns in this round, as settled so far."""
        masks = self._is_left_out[part], self._is_held[part], self._is_closed
        left_out, held, closed = (torch.tensor(mask, device=device) for mask in masks)
        return Bounds(left_out, held, closed, is_again)

    def settle(self, asked: Decision) -> BoolArray:
        """Who has to decide again, (n_pairs,); if nobody has, the round ends with these decisions.

        `asked.is_guided` is False where nothing is shown any more.
        """
        assert asked.is_guided is not None
        item_idx, score = asked.item_idx.cpu().numpy(), asked.score.cpu().double().numpy()
        is_guided = asked.is_guided.cpu().numpy()
        loses = np.zeros_like(is_guided)
        if self._is_first and self.options.daily_cap is not None:
            rows = np.flatnonzero(is_guided)
            users = self._user_idx[rows]
            place = _place_among(users, np.zeros(len(rows)))
            late = rows[place >= self.options.daily_cap - self._n_today[users]]
            loses[late] = self._is_held[late] = True
        self._is_first = False
        rows = np.flatnonzero(is_guided & ~loses)
        items = item_idx[rows]
        over = rows[_place_among(items, score[rows]) >= self._left[items]]
        loses[over] = self._is_closed[item_idx[over]] = True
        if not loses.any():
            np.add.at(self._n_of_item, items, 1)
            np.add.at(self._n_today, self._user_idx[rows], 1)
            self._round, self._is_first = self._round + 1, True
            self._left, self._is_closed, self._is_held = self._begin(self._round)
        return loses

    def _begin(self, number: int) -> tuple[IntArray, BoolArray, BoolArray]:
        """Places of every item in a round, whether it has none, and that nobody is held yet."""
        options = self.options
        if options.rounds_per_day is not None and (number - 1) % options.rounds_per_day == 0:
            self._n_today[:] = 0
        total = (options.item_cap_total or UNLIMITED) - self._n_of_item
        left = np.minimum(total, options.item_cap_per_round or UNLIMITED)
        return left, left <= 0, np.zeros(len(self._user_idx), dtype=bool)


def _quotas(sizes: IntArray, budget: int) -> IntArray:
    """Campaigns of every group that are guided, of those that may be: (n_groups,).

    As many as the budget allows with shares that differ by no more than :data:`MOST_UNEQUAL`; of
    all least shares that some group may have, the one with which most campaigns are guided.
    """
    least = np.unique(np.concatenate([np.arange(1, n + 1) / n for n in sizes]))  # (n_shares,)
    quotas = np.ceil(np.outer(least, sizes) - 1e-9).astype(np.int64)  # (n_shares, n_groups)
    shares = np.divide(quotas, sizes, out=np.zeros(quotas.shape), where=sizes > 0)
    total = quotas.sum(1)
    fits = (total <= budget) & (shares.max(1) <= MOST_UNEQUAL * least + 1e-9)
    best: IntArray = (
        quotas[np.where(fits, total, 0).argmax()] if fits.any() else np.zeros_like(sizes)
    )
    return best


def _place_among(key: IntArray, score: FloatArray) -> IntArray:
    """Place of each among those of the same key, highest score first, then by order: as `key`."""
    order = np.lexsort((-score.round(SCORE_DECIMALS), key))
    place = np.empty(len(key), dtype=np.int64)
    found = key[order]
    place[order] = np.arange(len(key)) - np.searchsorted(found, found)
    return place
