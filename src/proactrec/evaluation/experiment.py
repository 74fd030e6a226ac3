"""One guidance run from data to figures: where fitting, simulated users and metrics meet."""

import time
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.category_metrics import Watched
from proactrec.evaluation.hidden_models import FITTED, Fitted, fit_hidden
from proactrec.evaluation.metrics import by_group, evaluate
from proactrec.evaluation.oracles import ReadsMinds
from proactrec.evaluation.protocols import COMMON, Protocol
from proactrec.evaluation.responses import response_type
from proactrec.evaluation.rollout import Trace, rollout
from proactrec.files import read_json, write_json
from proactrec.fitting.artefacts import CHECKPOINT, Artefact
from proactrec.fitting.device import peak_memory_mb, versions
from proactrec.fitting.fitting import Fitting
from proactrec.fitting.models import read_vectors
from proactrec.fitting.options import FittingOptions
from proactrec.graphau import InterestVectors
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions, groups_of, unknown_opt_outs
from proactrec.guidance.replay import Replay
from proactrec.measurement.results import RunResult
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.simulator.hidden import Hidden, hidden_vectors
from proactrec.simulator.response import Response
from proactrec.simulator.world import World
from proactrec.targets import Targets
from proactrec.types import IntArray

FIGURES_VERSION = 3
"""Part of the names of figures: raised when those of a log change."""
Part = Literal["P", "IIS", "TIAC"]


class ExperimentOptions(FittingOptions):
    """Everything that decides the figures of a run."""

    n_users: int | None = Field(
        None, ge=1, description="users to guide, drawn at random; everybody by default"
    )
    without: tuple[Part, ...] = Field((), description="part of ITMPRec to switch off")
    hidden: Literal[Hidden, Fitted] = Field(
        "interest",
        description="interest vectors of the simulated users: the run's own (interest), or others "
        "that no policy was fitted to: factors, neighbours, content, divided; or GraphAU's on "
        "other data: other-seed, half, everything",
    )
    response: dict[str, Any] = Field(
        {},
        description="click model instead of the protocol's calibrated one: its `kind` (llm) and "
        "options",
    )
    protocol: Protocol = COMMON

    @property
    def effective_protocol(self) -> Protocol:
        """The protocol with the parts in `without` switched off."""
        protocol = self.protocol
        if "P" in self.without:
            mode = {"mode": protocol.ablated_target_mode}
            protocol = protocol.model_copy(
                update={"targets": protocol.targets.model_copy(update=mode)}
            )
        if "IIS" in self.without:
            off = protocol.itmprec.model_copy(update={"intent_weight": 0.0})
            protocol = protocol.model_copy(update={"itmprec": off})
        if "TIAC" in self.without:
            same = protocol.world.model_copy(update={"receptivity": "constant"})
            protocol = protocol.model_copy(update={"world": same})
        return protocol


class Experiment:
    """A run; every stage is a property, computed on first use and kept in the store.

    Parameters
    ----------
    options : ExperimentOptions
    store : Path
        Folder of finished stages; several runs may share one.
    data_dir : Path, optional
        Where the raw files are.
    encoder_folder : Path, optional
        A trained encoder to use instead of training one.
    device : str
        "cpu", "cuda" or "auto".

    Attributes
    ----------
    fitting : Fitting
        Makes everything that needs no simulated user.
    """

    def __init__(
        self,
        options: ExperimentOptions,
        store: Path,
        *,
        data_dir: Path | None = None,
        encoder_folder: Path | None = None,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> None:
        self.options, self.protocol = options, options.effective_protocol
        if options.rails.is_on and self.protocol.world.n_slots > 1:
            raise InvalidInputError(
                "rails count one item a round: world.n_slots must be 1 with rails, "
                f"got {self.protocol.world.n_slots}"
            )
        self._same: dict[str, Any] = {
            "data_dir": data_dir,
            "encoder_folder": encoder_folder,
            "progress": progress,
        }
        conventions = self.protocol.conventions
        self.fitting = Fitting(options, store, conventions, device=device, **self._same)
        self._response_kind = self._response_options = None
        if options.response:
            rest = dict(options.response)
            self._response_kind = response_type(rest.pop("kind", ""))
            self._response_options = self._response_kind.options_type(**rest)
        self.store, self.seconds = self.fitting.store, self.fitting.seconds
        self.device, self.progress, self.seed = self.fitting.device, progress, options.seed

    @property
    def dataset(self) -> Dataset:
        """The data set, filtered as its own options say."""
        return self.fitting.dataset

    @property
    def interest(self) -> InterestVectors:
        """GraphAU's interest vectors."""
        return self.fitting.interest

    @property
    def item_vectors(self) -> Tensor:
        """Interest vectors of items."""
        return self.fitting.item_vectors

    @cached_property
    def hidden_interest(self) -> InterestVectors:
        """The simulated users' own vectors, which no policy sees."""
        kind = self.options.hidden
        if kind == "interest":
            return self.interest
        if kind in FITTED:
            return read_vectors(self._hidden_stage)
        return InterestVectors(*hidden_vectors(kind, self.dataset))

    def check(self) -> None:
        """Refuse what the data set shows to be impossible, before anything is trained."""
        self.fitting.check()
        _ = self.guided_users, self.watched

    @cached_property
    def targets(self) -> Targets:
        """The items to promote."""
        self.check()
        return self.fitting.targets

    @cached_property
    def guide(self) -> Guide:
        """The policy that guides, within rails if there are any."""
        return self.protocol.rollout.told(self.fitting.guide)

    def replay(self) -> Replay:
        """The finished run, to be told again."""
        about = self.guide, self.dataset, self.log, self.protocol.rollout.padding
        return Replay(*about, device=self.device, progress=self.progress)

    @cached_property
    def world(self) -> World:
        """The simulated users."""
        return World(
            self.dataset,
            *self.hidden_interest,
            self.targets.item_idx,
            self.protocol.world,
            seed=self.options.seed,
            device=self.device,
            response=self._response(),
        )

    @cached_property
    def watched(self) -> Watched:
        """Categories whose figures are told."""
        return Watched.of(self.dataset.items, self.protocol.metrics)

    def _response(self) -> Response | None:
        if self._response_kind is None:
            return None
        return self._response_kind(
            self.dataset, self._response_options, self.fitting.answers, self.progress
        )

    @cached_property
    def log(self) -> GuidanceLog:
        """What happened."""
        return GuidanceLog.load(self.log_path)

    @property
    def log_path(self) -> Path:
        """The log as a file: one row per (user, target, round)."""
        return self._guidance_stage.folder / "log.parquet"

    @cached_property
    def trace(self) -> Trace:
        """How some users' hidden vectors moved."""
        saved = load_file(self._guidance_stage.folder / "trace.safetensors")
        return Trace(saved["pairs"].numpy(), saved["vectors"].numpy())

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Metrics, outcome and counts of pairs."""

        def make(folder: Path) -> None:
            figures = evaluate(
                self.log,
                self.dataset,
                self.protocol.measured,
                seed=self.seed,
            )
            figures["pairs"]["n_owners_left_out"] = self._happened["n_owners"]
            if self.options.rails.equal_groups is not None:
                figures["groups"] = self._by_group()
            write_json(folder / "figures.json", figures)

        metrics = self.protocol.measured.model_dump()
        inputs = {
            "version": FIGURES_VERSION,
            "guidance": self._guidance_stage.key,
            "metrics": metrics,
        }
        return read_json(self.fitting.stage("figures", inputs, make).folder / "figures.json")

    def _by_group(self) -> dict[str, Any]:
        """Figures of the groups that rails treat alike, and the share of each that is guided.

        Clicks lost are those beside next-item, played for it; a language model is not asked again.
        """
        options = self.options
        plain = None
        if self._response_kind is None:
            changes = {"policy": "next-item", "policy_options": {}, "rails": RailsOptions()}
            usual = options.model_copy(update=changes)
            plain = Experiment(usual, self.store.root, device=self.device, **self._same).log
        names, group = groups_of(options.rails, self.dataset)
        told = self._happened["notes"]["rails"]["groups"]
        return by_group(self.log, plain, group, names, self.protocol.measured, told=told)

    def result(self) -> RunResult:
        """Figures, and how they came about; all but :data:`VOLATILE` is the same every time."""
        data, figures = self.dataset, self.figures
        next_item = self.fitting.next_item if self.options.needs_encoder else {}
        return RunResult(
            dataset=data.name,
            synthetic=data.name == "demo",
            n_users=data.n_users,
            n_items=data.n_items,
            n_interactions=data.n_interactions,
            category=None if self.options.target_items else self.fitting.category,
            policy=self.options.policy,
            policy_options=self.fitting.policy_settings,
            policy_notes=self._happened.get("notes", {}),
            reads_hidden_users=issubclass(self.fitting.policy_kind, ReadsMinds),
            rails=self.options.rails.said(),
            encoder=self.options.encoder if self.options.needs_encoder else None,
            without=list(self.options.without),
            protocol=self.protocol.name,
            protocol_changes=self.protocol.changes(),
            seed=self.options.seed,
            targets=self.fitting.target_list(),
            **figures,
            next_item={
                split: by_name[self.fitting.encoder.name] for split, by_name in next_item.items()
            },
            popularity={split: by_name["popularity"] for split, by_name in next_item.items()},
            interest_vectors=self.fitting.interest_spread["cosine"],
            interest_ranking=self.fitting.interest_spread["validation"],
            response=self.world.response.describe(),
            seconds={**self.seconds, **self._happened.get("seconds", {})},
            usage=self._happened.get("usage", {}),
            peak_memory_mb=round(peak_memory_mb(), 1),
            versions=versions(),
            device=self.device,
            threads=torch.get_num_threads(),
            options=self.options.model_dump(mode="json"),
        )

    @cached_property
    def _hidden_stage(self) -> Artefact:
        def make(folder: Path) -> None:
            vectors = fit_hidden(
                self.options.hidden,  # type: ignore[arg-type]
                self.dataset,
                self.options.graphau,
                seed=self.options.seed,
                device=self.device,
                checkpoint=folder / CHECKPOINT,
                progress=self.progress,
            )
            self.fitting.keep_vectors(vectors, folder)

        inputs = {"hidden": self.options.hidden, **self.fitting.interest_inputs}
        return self.fitting.stage("hidden", inputs, make)

    @cached_property
    def _guidance_stage(self) -> Artefact:
        def make(folder: Path) -> None:
            guide, world = self.guide, self.world  # what they train is no time of guidance
            policy = guide.policy
            start = time.perf_counter()
            try:
                result = rollout(
                    guide,
                    world,
                    self.dataset,
                    self.targets.item_idx,
                    self.protocol.rollout,
                    user_idx=self.guided_users,
                    watched=self.watched.weights,
                    goal=self.fitting.goal,
                    progress=self.progress,
                )
                spent = round(time.perf_counter() - start, 3)
                about = {
                    "n_owners": result.n_dropped_owners,
                    "notes": self._notes(result.rails),
                    "usage": {"policy": policy.usage(), "response": world.response.usage()},
                    "seconds": {**self.seconds, "guidance": spent},
                }
            finally:
                policy.close()
                world.response.close()
            result.log.save(folder / "log.parquet")
            trace = {
                "pairs": torch.from_numpy(result.trace.pairs),
                "vectors": torch.from_numpy(result.trace.vectors),
            }
            save_file(trace, folder / "trace.safetensors")
            write_json(folder / "pairs.json", about)

        inputs = {
            **self.guidance_inputs,
            "world": self.protocol.world.model_dump(),
        }
        if self.options.hidden != "interest":
            inputs["hidden"] = self.options.hidden
        if self.watched.names:
            inputs["watched"] = self.protocol.metrics.model_dump(include={"watch", "item_weights"})
        if self.options.n_users is not None:
            inputs["n_users"] = self.options.n_users
        if self._response_kind is not None:
            inputs["response"] = self._response_kind.fingerprint(self._response_options)
        return self.fitting.stage("guidance", inputs, make)

    def _notes(self, rails: dict[str, Any]) -> dict[str, Any]:
        """What the policy noted, and what rails did."""
        notes, options = self.guide.policy.notes(), self.options.rails
        if not rails:
            return notes
        unknown = unknown_opt_outs(options, self.dataset.user_ids)
        told = {"unknown_opt_outs": len(unknown)} if unknown else {}
        return {**notes, "rails": {**rails, **told}}

    @property
    def guidance_inputs(self) -> dict[str, Any]:
        """What decides how users are guided, whoever they are: names what is made of it."""
        self.check()
        return self.fitting.guidance_inputs(rollout=self.protocol.rollout.model_dump())

    @property
    def guided_users(self) -> IntArray:
        """Users to guide, in ascending order."""
        n_all, wanted = self.dataset.n_users, self.options.n_users
        if wanted is None:
            return np.arange(n_all)
        if wanted > n_all:
            raise InvalidInputError(f"n_users must be at most {n_all}, got {wanted}")
        return np.sort(generator(self.seed, "guided users").choice(n_all, wanted, replace=False))

    @cached_property
    def _happened(self) -> dict[str, Any]:
        """What guidance left beside its log: owners left out, the policy's notes, its costs."""
        return read_json(self._guidance_stage.folder / "pairs.json")
