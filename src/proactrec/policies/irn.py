"""IRN as a policy: its next step from the current history, or a path planned before round 1.

Source: Zhu et al. 2023, arXiv:2211.10002. The paper plans once; a new step after every accepted
item is what the other policies do.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Histories
from proactrec.irn import IRN, IRNOptions, fit_irn, load_irn
from proactrec.policies.base import Decision, Ingredients, Observation, Policy, best_unseen
from proactrec.progress import Progress
from proactrec.ranking import penalties

PLANNED_ROWS = 512
"""Pairs planned at once: bounds the memory of their penalties."""


class IRNPolicyOptions(Options):
    """How IRN guides, and how it is trained."""

    mode: Literal["replan", "plan_once"] = Field(
        "plan_once",
        description="the whole path before round 1, as published, or a new step from the history "
        "of every round",
    )
    n_rounds: int = Field(20, ge=1, description="length of a planned path")
    model: IRNOptions = IRNOptions()


class IRNPolicy(Policy):
    """Shows the next item of IRN's path to the target.

    Parameters
    ----------
    model : IRN
        Trained.
    known : Histories
        Items of users, which no planned path holds: a history is cut to what the model reads.
    options : IRNPolicyOptions, optional
    """

    name: ClassVar[str] = "irn"
    options_type: ClassVar[type[Options]] = IRNPolicyOptions

    def __init__(
        self, model: IRN, known: Histories, options: IRNPolicyOptions | None = None
    ) -> None:
        self.model, self.known = model, known
        self.irn_options = options or IRNPolicyOptions()
        self.encodes = "pair" if self.irn_options.mode == "replan" else "once"
        self.history_length = model.options.max_seq_len - 1

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run, on a model that is trained once."""
        options = ingredients.policy_options(IRNPolicyOptions)
        dataset, starts = ingredients.dataset, options.model.item_start

        def fit(folder: Path, progress: Progress) -> None:
            model, _ = fit_irn(
                dataset,
                ingredients.item_vectors if starts == "graphau" else None,
                options.model,
                seed=ingredients.seed,
                checkpoint=folder / "checkpoint.safetensors",
                progress=progress,
            )
            model.save(folder, dataset)

        folder = ingredients.fitted("irn", {"model": options.model.model_dump()}, fit)
        return cls(load_irn(folder, dataset), dataset.before("train"), options)

    def encode(self, item_seq: Tensor, user_idx: Tensor, target_idx: Tensor) -> Tensor:
        """States before the target (n, d), or planned items as floats (n, n_rounds)."""
        if self.irn_options.mode == "replan":
            return self.model.state_before_objective(item_seq, user_idx, target_idx)
        blocks = zip(
            *(x.split(PLANNED_ROWS) for x in (item_seq, user_idx, target_idx)), strict=True
        )
        return torch.cat([self._plan(*block) for block in blocks]).float()

    def decide(self, observation: Observation) -> Decision:
        """The best item by its state, or the planned one.

        A planned item that may not be shown gives way to the next of its path that may; after the
        end of a path comes its beginning. Planned items carry no score: it is 0, or -inf where
        nothing may be shown.
        """
        if self.irn_options.mode == "replan":
            return best_unseen(self.model.score(observation.user_vectors), observation.penalty)
        path = observation.user_vectors.long().roll(1 - observation.round, 1)
        is_allowed = observation.penalty.gather(1, path) == 0  # padding never is
        first = is_allowed.int().argmax(1, keepdim=True)
        score = observation.penalty.new_zeros(len(path))
        score.masked_fill_(~is_allowed.any(1), -torch.inf)
        item_idx = path.gather(1, first)[:, 0]
        return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)

    def _plan(self, item_seq: Tensor, user_idx: Tensor, target_idx: Tensor) -> Tensor:
        penalty = penalties(
            self.known, user_idx.cpu().numpy(), self.model.n_items + 1, self.model.device
        )
        return self.model.paths(item_seq, user_idx, target_idx, penalty, self.irn_options.n_rounds)
