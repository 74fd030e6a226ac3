"""What a guide saw in a finished run, made again from histories and the log alone."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset, Side
from proactrec.guidance.decision import Ruled
from proactrec.guidance.guide import Guide
from proactrec.guidance.ledger import FREE, Ledger, MemoryLedger, Recorded
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import ledger_of, train_users
from proactrec.journeys import UNKNOWN, Journeys
from proactrec.policies.base import Candidates, Evidence, Learner
from proactrec.progress import Progress, silent
from proactrec.types import IntArray


class Together(NamedTuple):
    """What bore on all journeys together."""

    guides: list[Guide]  # before every round, with what was learned by then
    ledger: Ledger  # tells what rails that span journeys left


class Replay:
    """A run told again: the guide sees what it saw, the answers are those of the log.

    Of the log it reads users, targets, items shown, who chose them and whether they were accepted;
    never what the simulator felt or expected. Of a slate the guide sees what it saw when it chose
    the item that the log notes: the one taken, else the first.

    Parameters
    ----------
    guide : Guide
        As it was before the run.
    dataset : Dataset
    log : GuidanceLog
    padding : "left" or "right"
        Of the run.
    device : str or torch.device
        Where the policy is.
    """

    def __init__(
        self,
        guide: Guide,
        dataset: Dataset,
        log: GuidanceLog,
        padding: Side = "left",
        *,
        device: str | torch.device = "cpu",
        progress: Progress = silent,
    ) -> None:
        self.guide, self.dataset, self.log = guide, dataset, log
        self.users = train_users(dataset, guide, padding)
        self._device, self._progress = torch.device(device), progress
        self._everything = np.arange(len(log.user_idx))

    def journeys(self, rows: IntArray, number: int) -> Journeys:
        """These rows of the log as they were before a round."""
        log, n_past = self.log, number - 1
        user, target, at = (
            torch.from_numpy(x).to(self._device)
            for x in (log.user_idx[rows], log.targets[rows, number - 1], rows)
        )
        begun = Journeys.begun(self.users, user, target, log.n_rounds)
        if log.has_goal:
            begun = begun._replace(drawn_by=torch.zeros_like(target))
        shown = log.item_idx[rows]
        answer = np.where(shown > 0, log.accepted[rows], UNKNOWN).astype(np.int8)
        beside = log.slate[rows, :n_past].reshape(len(rows), -1)
        is_over = (shown[:, n_past:] == 0).all(1)
        whole = begun._replace(
            shown=torch.from_numpy(shown).to(self._device),
            answer=torch.from_numpy(answer).to(self._device),
            guided=torch.from_numpy(log.guided[rows]).to(self._device),
            is_over=torch.from_numpy(is_over).to(self._device),
            number=at,
            also_shown=torch.from_numpy(beside).to(self._device),
        )
        return whole.before(number)

    def slots_before(self, rows: IntArray, number: int) -> Tensor:
        """Items of the slots before the one that the log notes of a round: (n, n_slots), or 0."""
        slate = self.log.slate[rows, number - 1]
        noted = slate == self.log.item_idx[rows, number - 1, None]
        return torch.from_numpy(slate * (noted.cumsum(1) == 0)).to(self._device)

    def guide_at(self, number: int) -> Guide:
        """The guide as it was before a round."""
        return self._together.guides[number - 1]

    @property
    def ledger(self) -> Ledger:
        """Tells what rails that span journeys left to each."""
        return self._together.ledger

    def decide(self, rows: IntArray, number: int) -> Ruled:
        """What the guide decides for these rows of the log in a round."""
        journeys, without = self.journeys(rows, number), self.slots_before(rows, number)
        return self.guide_at(number).decide(journeys, self.ledger, without=without)

    @cached_property
    @torch.no_grad()
    def _together(self) -> Together:
        """All rounds once more, where journeys bear on each other."""
        guide, n_rounds = self.guide, self.log.n_rounds
        if not guide.is_shared:
            return Together([guide] * n_rounds, FREE)
        ledger, guides = ledger_of(guide, self.dataset, self.log.user_idx), [guide]
        journeys = self.journeys(self._everything, 1)
        places = guide.first_places(journeys)
        if isinstance(ledger, MemoryLedger):
            ledger.choose(guide.room(journeys, places))
        for number in range(1, n_rounds + 1):
            self._progress("replay", number, n_rounds)
            if isinstance(ledger, MemoryLedger):
                guide.decide(journeys, ledger, places=places)
            if number == n_rounds:
                break
            guide = self._taught(guide, journeys, places.own)
            guides.append(guide)
            journeys = self.journeys(self._everything, number + 1)
            accepted = torch.from_numpy(self.log.accepted[:, number - 1]).to(self._device)
            places = guide.renewed(places, journeys, accepted)
            if self.log.has_goal and guide.policy.knows_target:  # another may have come
                places = guide.places(journeys)
        return Together(guides, Recorded(ledger) if isinstance(ledger, MemoryLedger) else FREE)

    def _taught(self, guide: Guide, journeys: Journeys, places: Tensor) -> Guide:
        """The guide after a round, if it learns from answers."""
        policy, number = guide.policy, int(journeys.round[0])
        if not isinstance(policy, Learner):
            return guide
        column = number - 1
        rows = np.flatnonzero(self.log.item_idx[:, column])
        item_idx = torch.from_numpy(self.log.item_idx[rows, column]).to(self._device)
        at = torch.from_numpy(rows).to(self._device)
        only = Candidates(torch.zeros(len(rows), 1, device=self._device), item_idx[:, None])
        seen = guide.among(journeys.of(at), places[at], only)
        starts = range(0, max(1, len(rows)), guide.block_size)
        parts = [policy.decide(seen.of(slice(s, s + guide.block_size))) for s in starts]
        features = [part.features for part in parts if part.features is not None]
        accepted = torch.from_numpy(self.log.accepted[rows, column]).to(self._device)
        kept = torch.cat(features) if features else item_idx.new_empty(len(rows), 0)
        stayed = torch.from_numpy(self.log.left_after[rows] != number).to(self._device)
        evidence = Evidence(item_idx, kept, accepted, stayed)
        return guide.knowing(policy.learned(guide.knowledge, evidence))
