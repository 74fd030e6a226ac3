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
from proactrec.policies.base import (
    Bounds,
    Evidence,
    Learns,
    Observation,
    Past,
    Policy,
    encoded_again,
)
from proactrec.policies.guarded import Guarded
from proactrec.policies.rails import UNLIMITED
from proactrec.progress import Progress, silent
from proactrec.ranking import penalties
from proactrec.types import IntArray


class Replay:
    """A run played again: the policy sees what it saw, the answers are those of the log.

    Of the log it reads users, targets, items shown, who chose them and whether they were accepted;
    never what the simulator felt or expected. Of a slate the policy sees what it saw when it chose
    the item that the log notes: the one taken, else the first.

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
        self._led = self._shown * self._guided  # what pairs were guided to, 0 elsewhere
        self._slate = torch.from_numpy(log.slate).to(self.device)
        self._known = dataset.before("train")
        # The code's padding (D21) is a matter of its encoders.
        self.padding = options.padding if policy.needs_encoder else "left"
        self._progress = progress

    @torch.no_grad()
    def observations(self, rows: IntArray, *, until: int | None = None) -> Iterator[Observation]:
        """What the policy saw of these rows of the log, round by round, until a round or all."""
        at = torch.from_numpy(rows).to(self.device)
        users, n_rows = self.log.user_idx[rows], self.dataset.n_items + 1
        penalty = penalties(self._known, users, n_rows, self.device)
        for past, vectors in self._played(at, self._knowledge):
            shown, accepted = self._answers(at, past.round)
            slate = self._slate[at, past.round - 1]  # (n, n_slots)
            before = slate * ((slate == shown[:, None]).cumsum(1) == 0)  # in the slots before it
            yield self._seen(at, past, vectors, penalty.scatter(1, before, -torch.inf))
            if past.round == until:
                return
            gone = slate if self.options.exclude == "shown" else (shown * accepted)[:, None]
            penalty.scatter_(1, gone, -torch.inf)

    def _seen(self, at: Tensor, past: Past, vectors: Tensor, penalty: Tensor) -> Observation:
        number, bounds = past.round, self._bounds(at, past.round)
        left = self.n_rounds - number
        pairs = past.user_idx, past.target_idx
        return Observation(*pairs, vectors, penalty, number, left, past.knowledge, past, bounds)

    def _bounds(self, at: Tensor, number: int) -> Bounds | None:
        """What rails that span users left to these rows of the log, as far as it tells.

        Whoever was never guided counts as left out, where some were. Others have an item if it was
        guided to as many as may be. Whose turn it was in a round is not known.
        """
        if not isinstance(self.policy, Guarded) or not self.policy.options.spans_users:
            return None
        rails, led = self.policy.options, self._led[at, number - 1, None]
        nobody = torch.zeros_like(at, dtype=torch.bool)
        left_out = nobody if rails.guided_pairs is None else ~self._guided[at].any(1)
        now, so_far = self._n_led[number - 1], self._n_led[:number].sum(0)
        is_full = now >= (rails.item_cap_per_round or UNLIMITED)
        is_full |= so_far >= (rails.item_cap_total or UNLIMITED)
        return Bounds(left_out, nobody, is_full.repeat(len(at), 1).scatter(1, led, False))

    @cached_property
    def _n_led(self) -> Tensor:
        """How many pairs were guided to every item, by round: (n_rounds, n_items + 1)."""
        led = self._led.T
        n_led = led.new_zeros(self.n_rounds, self.dataset.n_items + 1)
        return n_led.scatter_add(1, led, torch.ones_like(led))

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
        decision = self.policy.decide(self._seen(at, past, vectors, penalty))
        return evidence_of(decision, shown, accepted)
