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
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRN, IRNOptions, load_irn
from proactrec.policies.base import (
    Decision,
    Ingredients,
    Observation,
    Past,
    Policy,
    best_unseen,
    next_planned,
)
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
        model = load_irn(folder, dataset.user_ids, dataset.item_ids)
        return cls(model, dataset.before("train"), options)

    def encode(self, past: Past) -> Tensor:
        """States before the target (n, d), or planned items as floats (n, n_rounds)."""
        pairs = past.item_seq, past.user_idx, past.target_idx
        if self.irn_options.mode == "replan":
            return self.model.state_before_objective(*pairs)
        blocks = zip(*(x.split(PLANNED_ROWS) for x in pairs), strict=True)
        return torch.cat([self._plan(*block) for block in blocks]).float()

    def decide(self, observation: Observation) -> Decision:
        """The best item by its state, or the planned one."""
        if self.irn_options.mode == "replan":
            return best_unseen(self.model.score(observation.user_vectors), observation.penalty)
        return next_planned(observation)

    def _plan(self, item_seq: Tensor, user_idx: Tensor, target_idx: Tensor) -> Tensor:
        penalty = penalties(
            self.known, user_idx.cpu().numpy(), self.model.n_items + 1, self.model.device
        )
        return self.model.paths(item_seq, user_idx, target_idx, penalty, self.irn_options.n_rounds)
