"""What a policy saw in a finished run, made again from histories and the log alone."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.rollout import (
    BLOCK_SCORES,
    RolloutOptions,
    evidence_of,
)
from proactrec.policies.base import Evidence, Learns, Observation, Past, Policy, encoded_again
from proactrec.progress import Progress, silent
from proactrec.ranking import penalties
from proactrec.types import IntArray


class Replay:
    """A run played again: the policy sees what it saw, the answers are those of the log.

    Of the log it reads users, targets, items shown, who chose them and whether they were accepted;
    never what the simulator felt or expected.

    Parameters
    ----------
    policy : Policy
        As it guided.
    dataset : Dataset
    log : GuidanceLog
    options : RolloutOptions
        Of the run.
    device : str or torch.device
        Where the policy is.
    """

    def __init__(
        self,
        policy: Policy,
        dataset: Dataset,
        log: GuidanceLog,
        options: RolloutOptions,
        *,
        device: str | torch.device = "cpu",
        progress: Progress = silent,
    ) -> None:
        self.policy, self.dataset, self.log, self.options = policy, dataset, log, options
        self.device, self.n_rounds = torch.device(device), log.n_rounds
        self._pairs = torch.from_numpy(np.stack([log.user_idx, log.target_idx])).to(self.device)
        self._shown = torch.from_numpy(log.item_idx).to(self.device)
        self._accepted = torch.from_numpy(log.accepted).to(self.device)
        self._guided = torch.from_numpy(log.guided).to(self.device)
        self._known = dataset.before("train")
        # The code's padding (D21) is a matter of its encoders.
        self.padding = options.padding if policy.needs_encoder else "left"
        self._progress = progress

    @torch.no_grad()
    def observations(self, rows: IntArray, *, until: int | None = None) -> Iterator[Observation]:
        """What the policy saw of these rows of the log, round by round, until a round or all."""
        at = torch.from_numpy(rows).to(self.device)
        users, targets = self._pairs[:, at]
        n_rows = self.dataset.n_items + 1
        penalty = penalties(self._known, users.cpu().numpy(), n_rows, self.device)
        for past, vectors in self._played(at, self._knowledge):
            left = self.n_rounds - past.round
            yield Observation(
                users, targets, vectors, penalty.clone(), past.round, left, past.knowledge, past
            )
            if past.round == until:
                return
            shown, accepted = self._answers(at, past.round)
            gone = shown if self.options.exclude == "shown" else shown * accepted
            penalty.scatter_(1, gone[:, None], -torch.inf)

    def _answers(self, at: Tensor, number: int) -> tuple[Tensor, Tensor]:
        return self._shown[at, number - 1], self._accepted[at, number - 1]

    def _played(self, at: Tensor, knowledge: list[Any]) -> Iterator[tuple[Past, Tensor]]:
        """Past and vectors before every round; `knowledge` may grow by a round at a time."""
        users, targets = self._pairs[:, at]
        length = self.policy.history_length
        start = self._known.padded(length, side=self.padding)[users.cpu().numpy()]
        nothing = torch.zeros_like(self._shown[at])
        item_seq = torch.from_numpy(start).to(self.device)
        past = Past(
            item_seq,
            users,
            targets,
            nothing,
            nothing.bool(),
            1,
            knowledge[0],
            guided=nothing.bool(),
        )
        vectors = self.policy.encode(past)
        for number in range(1, self.n_rounds + 1):
            yield past, vectors
            if number == self.n_rounds:
                return
            shown, accepted = self._answers(at, number)
            kept = torch.where(accepted[:, None], past.accepting(shown).item_seq, past.item_seq)
            until = torch.arange(self.n_rounds, device=self.device) < number
            past = past._replace(
                item_seq=kept,
                shown=self._shown[at] * until,
                accepted=self._accepted[at] & until,
                guided=self._guided[at] & until,
                round=number + 1,
                knowledge=knowledge[number],
            )
            stale = encoded_again(self.policy, accepted, shown > 0).nonzero()[:, 0]
            if len(stale):
                vectors = vectors.clone()
                vectors[stale] = self.policy.encode(past._replace(vectors=vectors).of(stale))
                past = past._replace(vectors=None)

    @cached_property
    @torch.no_grad()
    def _knowledge(self) -> list[Any]:
        """What the policy knew before every round, from the answers of everybody in the log."""
        policy = self.policy
        if not isinstance(policy, Learns):
            return [None] * self.n_rounds
        n_pairs, n_rows = len(self._shown), self.dataset.n_items + 1
        everybody = torch.arange(n_pairs, device=self.device)
        blocks = everybody.split(max(1, BLOCK_SCORES // n_rows))
        knowledge = [policy.prior()]
        games = [self._played(block, knowledge) for block in blocks]
        for number in range(1, self.n_rounds):
            self._progress("replay", number, self.n_rounds)
            told = [
                self._evidence(block, *next(game))
                for block, game in zip(blocks, games, strict=True)
            ]
            columns = zip(*told, strict=True)
            knowledge.append(
                policy.learned(knowledge[-1], Evidence(*(torch.cat(column) for column in columns)))
            )
        return knowledge

    def _evidence(self, at: Tensor, past: Past, vectors: Tensor) -> Evidence:
        """How a block answered; the policy is left the item that it showed, for its features."""
        shown, accepted = self._answers(at, past.round)
        penalty = torch.full((len(at), self.dataset.n_items + 1), -torch.inf, device=self.device)
        penalty.scatter_(1, shown[:, None], 0)
        penalty[:, 0] = -torch.inf
        left = self.n_rounds - past.round
        seen = Observation(
            past.user_idx,
            past.target_idx,
            vectors,
            penalty,
            past.round,
            left,
            past.knowledge,
            past,
        )
        return evidence_of(self.policy.decide(seen), shown, accepted)
