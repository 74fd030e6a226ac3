"""ProRL as a policy: a path written before round 1, or its next step after what was accepted.

Source: Hou et al. 2026, arXiv:2605.28293. The paper plans once; the reward model and the planner
learn from train histories alone, never from simulated users.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import MOST_ROUNDS, Options
from proactrec.encoders.fitting import fit_encoder, load_encoder
from proactrec.journeys import REFUSED, Journeys
from proactrec.policies.base import Decision, Policy, View, next_planned, planned
from proactrec.policies.ingredients import Ingredients, Training
from proactrec.prorl.fitting import (
    drawn_prompts,
    held_out_prompts,
    mined,
    pretrain,
    reinforce,
)
from proactrec.prorl.network import STOP, ProRL, load_prorl
from proactrec.prorl.options import ProRLOptions
from proactrec.prorl.paths import greedy, write
from proactrec.prorl.rewards import judge_by

NOT_YET = -1e9
"""Score of a target before a path may end: it is shown where nothing else is left."""


class ProRLPolicyOptions(Options):
    """How ProRL guides, and how it is trained."""

    mode: Literal["replan", "plan_once"] = Field(
        "plan_once",
        description="the whole path before round 1, as published, or its next step after what was "
        "accepted in every round",
    )
    n_rounds: int = Field(20, ge=1, le=MOST_ROUNDS, description="length of a planned path")
    model: ProRLOptions = ProRLOptions()


class ProRLPolicy(Policy):
    """Shows the next item of ProRL's path to the target, and the target where a path ends.

    Parameters
    ----------
    model : ProRL
        Trained.
    options : ProRLPolicyOptions, optional
    """

    name: ClassVar[str] = "prorl"
    options_type: ClassVar[type[Options]] = ProRLPolicyOptions
    knows_target = True

    def __init__(self, model: ProRL, options: ProRLPolicyOptions | None = None) -> None:
        self.model, self.prorl_options = model, options or ProRLPolicyOptions()
        self.renewed_by = "acceptance" if self.prorl_options.mode == "replan" else "never"

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run, on a model that is trained once."""
        options = ingredients.policy_options(ProRLPolicyOptions)
        inputs = {"model": options.model.model_dump(mode="json")}

        def fit(training: Training, folder: Path) -> None:
            fit_planner(training, options.model, folder)

        folder = ingredients.fitted("prorl", inputs, fit)
        model = load_prorl(folder, ingredients.items.item_ids, ingredients.content)
        return cls(model.to(ingredients.device), options)

    @torch.no_grad()
    def place(self, journeys: Journeys) -> Tensor:
        """States and whether the path may end here (n, d + 1), or planned items (n, n_rounds)."""
        if self.prorl_options.mode == "replan":
            return self._state(journeys)
        return planned(journeys, self._plan)

    @torch.no_grad()
    def decide(self, view: View) -> Decision:
        """The likeliest item, the target standing for the end of the path; or the planned one."""
        if self.prorl_options.mode == "plan_once":
            return next_planned(view)
        states, may_end = view.places[:, :-1], view.places[:, -1] > 0
        scores = self.model.logits(states)
        end = scores[:, STOP].masked_fill(~may_end, NOT_YET)
        scores = scores.scatter(1, view.target_idx[:, None], end[:, None])
        return view.candidates.best(view.candidates.scores(scores))

    def _state(self, journeys: Journeys) -> Tensor:
        """The decoder's state after what was accepted since the prompt.

        A prompt is the history before guidance; every `max_path_len` acceptances begin a new one.
        """
        n_most, accepted = self.model.options.max_path_len, journeys.accepted
        number = accepted.cumsum(1)  # of every acceptance, from 1
        n_read = number[:, -1:] // n_most * n_most
        is_written = accepted & (number > n_read)
        read = journeys._replace(answer=journeys.answer.masked_fill(is_written, REFUSED))
        memory = self.model.read(self._history(read), journeys.target_idx)
        column = (number - n_read - 1).masked_fill(~is_written, n_most)
        path = journeys.shown.new_zeros(len(accepted), n_most + 1)
        path = path.scatter(1, column, journeys.shown * is_written)[:, : n_most - 1]
        n_written = is_written.sum(1)
        states = self.model.states(memory, path)
        at = n_written[:, None, None].expand(-1, 1, states.shape[2])
        return torch.cat([states.gather(1, at)[:, 0], (n_written > 0).float()[:, None]], 1)

    def _plan(self, journeys: Journeys) -> Tensor:
        """Path, target, and further paths from where the last ended: (n, n_rounds)."""
        n_rounds, target = self.prorl_options.n_rounds, journeys.target_idx[:, None]
        history = self._history(journeys)
        closed = journeys.penalties(self.model.n_items + 1).scatter(1, target, -torch.inf)
        closed[:, STOP] = 0
        plan, parts = history[:, :0], 0
        while parts < n_rounds:  # every path has an item, or nothing is left
            memory = self.model.read(history, journeys.target_idx)
            path = write(self.model, memory, closed, greedy)
            plan = torch.cat([plan, path, *([] if parts else [target])], 1)
            history = _packed(torch.cat([history, path], 1))[:, -history.shape[1] :]
            closed = closed.scatter(1, path, -torch.inf)
            closed[:, STOP] = 0
            parts += 1
            if not plan.is_cuda and bool(((plan != 0).sum(1) >= n_rounds).all()):
                break
        plan = F.pad(_packed(plan.flip(1)).flip(1), (0, n_rounds))
        return plan[:, :n_rounds]

    def _history(self, journeys: Journeys) -> Tensor:
        return journeys.sequence(self.model.options.history_len, "left")


def _packed(items: Tensor) -> Tensor:
    """Items (n, k) in their order, what is 0 moved to the left."""
    order = (items != 0).to(torch.int8).argsort(dim=1, stable=True)
    return items.gather(1, order)


def fit_planner(training: Training, options: ProRLOptions, folder: Path) -> None:
    """Fill a folder with a planner: judge and pre-trained model are parts of their own."""
    judged = judge_folder(training, options)
    item_ids = training.dataset.item_ids
    model = load_prorl(_pretrained_folder(training, options, judged), item_ids)
    prompts, held_out = mined(training.dataset, options, training.seed)
    of = options.reinforcing
    # The pre-trained part is of no settings of reinforcement: those come in here.
    planner = ProRL(model.n_items, options)
    planner.load_state_dict(model.state_dict())
    planner.to(training.device)
    judge = load_encoder(judged, item_ids).to(training.device)
    reinforce(
        planner,
        judge_by(judge),
        drawn_prompts(prompts, training.dataset, of, of.n_prompts),
        held_out_prompts(held_out, training.dataset, options, training.seed),
        seed=training.seed,
        checkpoint=folder / "checkpoint.safetensors",
        progress=training.progress,
    )
    planner.save(folder, training.dataset)


def judge_folder(training: Training, options: ProRLOptions) -> Path:
    """Folder of the SASRec that rewards a planner, made once."""
    given: dict[str, Any] = options.judge.model_dump(mode="json")

    def fit(training: Training, folder: Path) -> None:
        starts = options.judge.item_start == "graphau"
        encoder, _ = fit_encoder(
            "sasrec",
            training.dataset,
            training.item_vectors if starts else None,
            options=given,
            seed=training.seed,
            device=training.device,
            checkpoint=folder / "checkpoint.safetensors",
            progress=training.progress,
        )
        encoder.save(folder, training.dataset)

    return training.part("prorl-judge", {"options": given}, fit)


def _pretrained_folder(training: Training, options: ProRLOptions, judged: Path) -> Path:
    inputs = options.model_dump(mode="json", exclude={"reinforcing"})

    def fit(training: Training, folder: Path) -> None:
        dataset = training.dataset
        vectors: Tensor | None = None
        if options.item_start == "judge":
            vectors = load_encoder(judged, dataset.item_ids).item_vectors
        elif options.item_start == "graphau":
            vectors = training.item_vectors
        prompts, held_out = mined(dataset, options, training.seed)
        model = ProRL(dataset.n_items, options)
        model.start(training.seed, vectors)
        model.to(training.device)
        pretrain(
            model,
            prompts,
            held_out,
            seed=training.seed,
            checkpoint=folder / "checkpoint.safetensors",
            progress=training.progress,
        )
        model.save(folder, dataset)

    return training.part("prorl-start", inputs, fit)
