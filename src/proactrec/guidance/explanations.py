"""Why a user was shown an item: what in the history it builds on, and where it leads.

An item builds on what it would not have been shown without. So the policy itself is asked again,
with items of the user's history left out (:class:`proactrec.policies.base.Explains`); the rest of
the round, above all what may be shown, stays as it was. A policy that gives no reasons gets the
nearest items of the history, by the run's item vectors, and is not said to have used them.

Explanations are made from histories, the log's items and answers, and what the policy itself
believes: nothing of the simulator's users enters.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Histories
from proactrec.data.trees import shared
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.decision import GUIDED, REASONS
from proactrec.guidance.explained import Cause, Explanation, Former, ItemName, ToldJourney
from proactrec.guidance.replay import Replay
from proactrec.journeys import UNKNOWN
from proactrec.policies.base import EncoderPolicy, Explains, Policy, View
from proactrec.types import IntArray

N_CAUSES = 5
"""Most items of a history that are named."""
WEIGHED_ROWS = 256
"""Histories that a policy is asked about at once."""
ROUNDING = 1e-3
"""Share of the best score by which a shown item may lag: it was scored in another batch."""


class Moment(NamedTuple):
    """One decision: who really made it, and what it was made from."""

    policy: Policy
    view: View  # of one journey
    item_idx: int  # that was shown
    rail: str | None  # that made the round plain

    @property
    def start(self) -> IntArray:
        """The user's history before the journey, oldest first."""
        journeys = self.view.journeys
        return journeys.users.history.of(int(journeys.user))

    @property
    def history(self) -> dict[int, int | None]:
        """Items that the policy reads, oldest first; round of acceptance, or None: before."""
        found = {**dict.fromkeys(self.start.tolist()), **self._taken()}
        if isinstance(self.policy, EncoderPolicy):
            return dict(list(found.items())[-self.policy.encoder.options.max_seq_len :])
        return found

    @property
    def is_explained(self) -> bool:
        """Whether the policy says what it chooses by, and that leads to what was shown."""
        if not isinstance(self.policy, Explains):
            return False
        scores = self.weighed([()])[0]
        own, best = scores[self.item_idx], scores.max()
        return bool((own == best) | (own >= best - ROUNDING * best.abs()))  # inf - inf is no number

    @torch.no_grad()
    def without(self, gone: Sequence[Sequence[int]]) -> View:
        """What the policy would have seen without some items of the history, a row for each."""
        n, view = len(gone), self.view
        one = view.of(torch.zeros(n, dtype=torch.int64, device=view.places.device))
        journeys, start = one.journeys, self.start
        kept = [start[~np.isin(start, items)] for items in gone]
        lengths = [len(items) for items in kept]
        user = np.repeat(int(view.journeys.user), n)
        users = replace(
            journeys.users,
            key=journeys.users.key[user],
            known=journeys.users.known[user],
            opted_out=journeys.users.opted_out[user],
            history=Histories(np.concatenate([[0], np.cumsum(lengths)]), np.concatenate(kept)),
        )
        wide = np.zeros((n, max(1, *(len(items) for items in gone))), np.int64)
        for row, items in enumerate(gone):
            wide[row, : len(items)] = items
        left_out = torch.from_numpy(wide).to(one.places.device)
        is_gone = (journeys.shown[:, :, None] == left_out[:, None]).any(2) & journeys.accepted
        imagined = journeys._replace(
            users=users,
            user=torch.arange(n, device=one.places.device),
            shown=journeys.shown.masked_fill(is_gone, 0),
            answer=journeys.answer.masked_fill(is_gone, UNKNOWN),
        )
        return one._replace(journeys=imagined, places=self.policy.place(imagined))

    @torch.no_grad()
    def weighed(self, gone: Sequence[Sequence[int]]) -> Tensor:
        """The policy's scores without some items of the history: (len(gone), n_items + 1)."""
        assert isinstance(self.policy, Explains)
        blocks = (gone[at : at + WEIGHED_ROWS] for at in range(0, len(gone), WEIGHED_ROWS))
        return torch.cat([self.policy.weigh(self.without(block)) for block in blocks])

    def lead(self, gone: Sequence[Sequence[int]]) -> Tensor:
        """Score of what was shown less the best other: (len(gone),); below 0 it is not shown."""
        scores = self.weighed(gone)
        own = scores[:, self.item_idx].clone()
        scores[:, self.item_idx] = -torch.inf
        return (own - scores.max(1).values).nan_to_num(-torch.inf, torch.inf, -torch.inf)

    def causes(self, n_most: int) -> tuple[int, ...]:
        """Items of the history without which another item leads, or as near to it as found.

        Each next one is that whose absence, with those before, takes most of the lead; it ends
        when the lead is gone, or no item speaks for what was shown. Where that finds too little,
        the newest items are tried: single ones are hidden by others like them.
        """
        newest = list(reversed(self.history))
        causes: tuple[int, ...] = ()
        lead, left = float(self.lead([()])), newest
        while left and len(causes) < n_most and lead >= 0:
            leads = self.lead([(*causes, item) for item in left])
            most = int(leads.argmin())
            if float(leads[most]) >= lead:
                break
            lead, causes = float(leads[most]), (*causes, left[most])
            left = [item for item in left if item not in causes]
        if lead >= 0 and newest:
            together = [tuple(newest[:n]) for n in range(1, min(n_most, len(newest)) + 1)]
            enough = (self.lead(together) < 0).nonzero()[:, 0].tolist()
            causes = together[enough[0]] if enough else causes
        return causes

    def reasons(self) -> dict[str, float]:
        """The policy's figures of what was shown; those that are NaN don't apply."""
        assert isinstance(self.policy, Explains)
        with torch.no_grad():
            item_idx = torch.tensor([self.item_idx], device=self.view.places.device)
            found = self.policy.reasons(self.without([()]), item_idx)
        return {name: float(x) for name, x in found.items() if not bool(x.isnan())}

    def _taken(self) -> dict[int, int]:
        """Items accepted so far, with their rounds."""
        journeys = self.view.journeys
        answers = zip(journeys.shown[0].tolist(), journeys.accepted[0].tolist(), strict=True)
        return {item: n for n, (item, accepted) in enumerate(answers, start=1) if accepted}


class Explainer:
    """Explains what a run showed.

    Parameters
    ----------
    replay : Replay
        Of the run.
    item_vectors : float tensor, shape (n_items + 1, d)
        For policies that give no reasons.
    n_causes : int
        Most items of a history that are named.
    """

    def __init__(self, replay: Replay, item_vectors: Tensor, *, n_causes: int = N_CAUSES) -> None:
        self.replay, self.log, self.dataset = replay, replay.log, replay.dataset
        self.n_causes = n_causes
        self._unit_items = F.normalize(item_vectors, dim=1)
        self._known = self.dataset.before("train")

    def journeys_of(
        self,
        user_id: str,
        *,
        target_id: str | None = None,
        number: int | None = None,
        left_out: str | None = None,
    ) -> list[ToldJourney]:
        """Journeys of a user to every target, in the order of the log.

        On the way to a goal: one for each target in turn, see :class:`Former`.

        Parameters
        ----------
        target_id : str, optional
            Of one journey only.
        number : int, optional
            Of one round only; 1 = the first.
        left_out : str, optional
            Item of the history to ask about: what would have been shown without it?

        Raises
        ------
        UnknownIdError
            For a user, target or item that is not there.
        InvalidInputError
            If there is no such round, the user was not guided to the target, or `left_out` is not
            in the history.
        """
        rows = self._rows(user_id, target_id)
        if number is not None and not 1 <= number <= self.log.n_rounds:
            raise InvalidInputError(f"round must be in [1, {self.log.n_rounds}], got {number}")
        asked = None if left_out is None else self._asked(rows, left_out)
        legs = [leg for row in rows for leg in self._legs(int(row), target_id)]
        found: list[list[Explanation]] = [[] for _ in legs]
        for one in range(1, self.log.n_rounds + 1) if number is None else (number,):
            for n, (row, rounds) in enumerate(legs):
                if one in rounds and self.log.item_idx[row, one - 1]:
                    found[n].append(self._explained(row, one, asked))
        return [
            ToldJourney(
                user_id,
                self._name(int(self.log.targets[row, rounds[0] - 1])),
                self.log.n_rounds,
                None if asked is None else self._name(asked),
                tuple(explanations),
                self._former(row, rounds[0]),
            )
            for (row, rounds), explanations in zip(legs, found, strict=True)
            if explanations or not self.log.has_goal
        ]

    def _legs(self, row: int, target_id: str | None) -> list[tuple[int, range]]:
        """A row of the log with the rounds to each of its targets in turn, or to one of them."""
        targets = self.log.targets[row]
        turns = [0, *(np.flatnonzero(np.diff(targets)) + 1).tolist(), len(targets)]
        legs = [(row, range(a + 1, b + 1)) for a, b in pairwise(turns)]
        wanted = None if target_id is None else self._item(target_id, "target")
        return [leg for leg in legs if wanted in (None, targets[leg[1][0] - 1])]

    def _former(self, row: int, number: int) -> Former | None:
        """What the user was led to before the target of a round, if that is another's first."""
        if number == 1:
            return None
        before = int(self.log.targets[row, number - 2])
        past = self.log.item_idx[row, : number - 1] == before
        is_taken = bool((past & self.log.accepted[row, : number - 1]).any())
        because = "accepted" if is_taken else "refused" if past.any() else "other"
        return Former(self._name(before), because)

    @torch.no_grad()
    def moment(self, row: int, number: int) -> Moment:
        """The decision about a row of the log in a round."""
        replay, rows = self.replay, np.array([row])
        guide, ledger = replay.guide_at(number), replay.ledger
        journeys, without = replay.journeys(rows, number), replay.slots_before(rows, number)
        places, item_idx = guide.places(journeys), int(self.log.item_idx[row, number - 1])
        if guide.rails is None:
            return Moment(guide.policy, guide.view(journeys, places, without), item_idx, None)
        ruling = guide.ruling(journeys, places, ledger, without)
        if self.log.guided[row, number - 1]:
            return Moment(guide.policy, ruling.view, item_idx, None)
        assert guide.recommender is not None
        plain = ruling.view._replace(places=places.relevance, candidates=ruling.open)
        reason = int(ruling.reason)
        rail = "overruled" if reason == GUIDED else REASONS[reason]
        return Moment(guide.recommender, plain, item_idx, rail)

    def _explained(self, row: int, number: int, asked: int | None) -> Explanation:
        moment = self.moment(row, number)
        item_idx, target_idx = moment.item_idx, int(self.log.targets[row, number - 1])
        knows, instead, what_if = moment.is_explained, None, None
        if knows:
            causes, figures = moment.causes(self.n_causes), moment.reasons()
            other = int(moment.weighed([causes]).argmax())
            instead = self._name(other) if causes and other != item_idx else None
            if asked is not None:
                what_if = self._name(int(moment.weighed([(asked,)]).argmax()))
        else:
            causes, figures = self._nearest(moment)
        item, target, rounds = self._name(item_idx), self._name(target_idx), moment.history
        return Explanation(
            round=number,
            item=item,
            accepted=bool(self.log.accepted[row, number - 1]),
            is_target=item_idx == target_idx,
            is_promoted=moment.policy.guides,
            rail=moment.rail,
            knows_policy=knows,
            causes=tuple(Cause(self._name(cause), rounds[cause]) for cause in causes),
            instead=instead,
            shared=shared(item.categories, target.categories),
            figures=figures,
            what_if=what_if,
        )

    def _nearest(self, moment: Moment) -> tuple[tuple[int, ...], dict[str, float]]:
        """Nearest items of the history, and cosines to the target of its sum and the item."""
        history = list(moment.history)
        item, target = (
            self._unit_items[at] for at in (moment.item_idx, int(moment.view.target_idx))
        )
        rows = self._unit_items[history]  # (n_history, d)
        nearest = (rows @ item).argsort(descending=True)[: self.n_causes].tolist()
        before, after = rows.sum(0), rows.sum(0) + item
        figures = {
            "similarity_now": float(F.normalize(before, dim=0) @ target),
            "similarity_after": float(F.normalize(after, dim=0) @ target),
            "item_to_target": float(item @ target),
        }
        return tuple(history[at] for at in nearest), figures

    def _rows(self, user_id: str, target_id: str | None) -> IntArray:
        """Rows of the log of a user, with one target or all."""
        if user_id not in self.dataset.user_ids:
            raise UnknownIdError(f"user {user_id!r} does not exist in {self.dataset.name}")
        is_wanted = self.log.user_idx == self.dataset.user_ids.index(user_id)
        if not is_wanted.any():
            user_idx = self.dataset.user_ids.index(user_id)
            has_all = np.isin(np.unique(self.log.target_idx), self._known.of(user_idx)).all()
            why = "has every target already" if has_all else "is not among its users"
            raise InvalidInputError(f"user {user_id!r} was not guided in this run: {why}")
        if target_id is not None:
            target_idx = self._item(target_id, "target")
            if target_idx not in self.log.targets:
                ids = [self._name(int(i)).item_id for i in np.unique(self.log.targets)]
                raise InvalidInputError(
                    f"target must be one of this run's ({', '.join(ids)}), got {target_id!r}"
                )
            is_wanted = is_wanted & (self.log.targets == target_idx).any(1)
            if not is_wanted.any() and self.log.has_goal:
                raise InvalidInputError(f"user {user_id!r} was not led to target {target_id!r}")
            if not is_wanted.any():
                raise InvalidInputError(
                    f"user {user_id!r} was not guided to target {target_id!r}: has it already"
                )
        return np.flatnonzero(is_wanted)

    def _asked(self, rows: IntArray, item_id: str) -> int:
        """The item of a what-if question, which the user must have."""
        item_idx = self._item(item_id, "item")
        accepted = self.log.item_idx[rows][self.log.accepted[rows]]
        if item_idx not in self._known.of(int(self.log.user_idx[rows[0]])) and (
            item_idx not in accepted
        ):
            raise InvalidInputError(
                f"item to leave out must be in the user's history or accepted, got {item_id!r}"
            )
        return item_idx

    def _item(self, item_id: str, called: str) -> int:
        if item_id not in self.dataset.item_ids:
            raise UnknownIdError(f"{called} {item_id!r} does not exist in {self.dataset.name}")
        return self.dataset.item_ids.index(item_id) + 1

    def _name(self, item_idx: int) -> ItemName:
        data = self.dataset
        return ItemName(
            data.item_ids[item_idx - 1], data.titles[item_idx - 1], data.categories[item_idx - 1]
        )
