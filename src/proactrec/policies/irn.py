"""IRN as a policy: its next step from the current history, or a path planned before round 1.

Source: Zhu et al. 2023, arXiv:2211.10002. The paper plans once; a new step after every accepted
item is what the other policies do.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from proactrec.config import MOST_ROUNDS, Options
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRN, IRNOptions, load_irn
from proactrec.journeys import Journeys
from proactrec.policies.base import Decision, Policy, View, next_planned, planned
from proactrec.policies.ingredients import Ingredients, Training

ANYBODY = ""
"""Id of a user after all known ones, unknown to every model: the mean of those it was fitted on."""


class IRNPolicyOptions(Options):
    """How IRN guides, and how it is trained."""

    mode: Literal["replan", "plan_once"] = Field(
        "plan_once",
        description="the whole path before round 1, as published, or a new step from the history "
        "of every round",
    )
    n_rounds: int = Field(20, ge=1, le=MOST_ROUNDS, description="length of a planned path")
    model: IRNOptions = IRNOptions()


class IRNPolicy(Policy):
    """Shows the next item of IRN's path to the target.

    Parameters
    ----------
    model : IRN
        Trained; its last user stands for those that it does not know.
    options : IRNPolicyOptions, optional
    """

    name: ClassVar[str] = "irn"
    options_type: ClassVar[type[Options]] = IRNPolicyOptions
    knows_target = True

    def __init__(self, model: IRN, options: IRNPolicyOptions | None = None) -> None:
        self.model, self.irn_options = model, options or IRNPolicyOptions()
        self.renewed_by = "acceptance" if self.irn_options.mode == "replan" else "never"

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run, on a model that is trained once."""
        options = ingredients.policy_options(IRNPolicyOptions)

        def fit(training: Training, folder: Path) -> None:
            starts = options.model.item_start == "graphau"
            model, _ = fit_irn(
                training.dataset,
                training.item_vectors if starts else None,
                options.model,
                seed=training.seed,
                device=training.device,
                checkpoint=folder / "checkpoint.safetensors",
                progress=training.progress,
            )
            model.save(folder, training.dataset)

        folder = ingredients.fitted("irn", {"model": options.model.model_dump()}, fit)
        user_ids, item_ids = (*ingredients.user_ids, ANYBODY), ingredients.items.item_ids
        model = load_irn(folder, user_ids, item_ids, ingredients.content)
        return cls(model.to(ingredients.device), options)

    def place(self, journeys: Journeys) -> Tensor:
        """States before the target (n, d), or planned items as floats (n, n_rounds)."""
        if self.irn_options.mode == "replan":
            return self.model.state_before_objective(
                self._sequence(journeys), self._known(journeys), journeys.target_idx
            )
        return planned(journeys, self._plan)

    def decide(self, view: View) -> Decision:
        """The best item by its state, or the planned one."""
        if self.irn_options.mode == "replan":
            return view.candidates.best(view.candidates.scores(self.model.score(view.places)))
        return next_planned(view)

    def _plan(self, journeys: Journeys) -> Tensor:
        """Items of the whole path (n, n_rounds), planned before the first round."""
        model, penalty = self.model, journeys.penalties(self.model.n_items + 1)
        seen = self._sequence(journeys), self._known(journeys), journeys.target_idx
        return model.paths(*seen, penalty, self.irn_options.n_rounds)

    def _sequence(self, journeys: Journeys) -> Tensor:
        return journeys.sequence(self.model.options.max_seq_len - 1, "left")

    def _known(self, journeys: Journeys) -> Tensor:
        """Users as the model knows them; its last one stands for all others."""
        known = journeys.known
        return known.masked_fill(known < 0, self.model.n_users - 1)
