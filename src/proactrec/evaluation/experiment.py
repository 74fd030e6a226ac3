"""One guidance run from data to figures, stage by stage; finished stages are never done again."""

import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.cold_start import place_items
from proactrec.config import Options, digest, set_nested
from proactrec.content import ContentOptions, content_vectors
from proactrec.data.dataset import Dataset
from proactrec.data.load import DatasetOptions, load
from proactrec.encoders.base import Encoder, EncoderOptions
from proactrec.encoders.fitting import encoder_type, evaluate_next_item, fit_encoder, load_encoder
from proactrec.errors import InvalidInputError
from proactrec.evaluation.hidden_models import FITTED, Fitted, fit_hidden
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.metrics import by_group, evaluate
from proactrec.evaluation.oracles import ReadsMinds, guarded
from proactrec.evaluation.protocols import COMMON, Protocol
from proactrec.evaluation.registry import policy_source, policy_type, response_type
from proactrec.evaluation.rollout import Trace, rollout
from proactrec.evaluation.store import CHECKPOINT, Artefact, ArtefactStore, file_hash, write_json
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau, spread
from proactrec.intents import Intents, fit_intents
from proactrec.policies.base import OptionsT, Policy
from proactrec.policies.guarded import check_prediction
from proactrec.policies.itmprec import ITMPRecOptions
from proactrec.policies.rails import RailsOptions, check_rails, groups_of
from proactrec.progress import Progress, silent
from proactrec.ranking import next_item_figures, popularity_places
from proactrec.rng import generator
from proactrec.simulator.hidden import Hidden, hidden_vectors
from proactrec.simulator.response import Response
from proactrec.simulator.world import World
from proactrec.targets import Targets, check_choice, given_targets, select_targets, share_seen
from proactrec.types import IntArray

STAGE_VERSION = 1
"""Part of every artefact's name: raised when a stage's result changes."""
FIGURES_VERSION = 2
RAILS_VERSION = 3
"""The same for figures of a log, and for guidance within rails."""
FILMS = ("100k", "1m", "10m", "20m", "25m", "32m", "latest-small")
DEFAULT_CATEGORIES = {
    "demo": "Science Fiction",
    "lastfm": "hard rock",
    "movietweetings": "Sci-Fi",
    **{f"ml-{size}": "Sci-Fi" for size in FILMS},
}
MOSTLY_SEEN = 0.5
ANSWERS = "answers.sqlite"
"""File of the store that holds a language model's answers."""
VOLATILE = (
    "seconds",
    "usage",
    "peak_memory_mb",
    "versions",
    "device",
    "threads",
    "options",
    "command",
)
"""What of a result may differ when the same run is done again."""
PACKAGES = ("proactrec", "torch", "numpy", "polars", "faiss-cpu")
Part = Literal["P", "IIS", "TIAC"]


class ExperimentOptions(Options):
    """Everything that decides the figures of a run."""

    dataset: DatasetOptions = Field(
        DatasetOptions(),
        description="its filter is used as it stands; commands take the protocol's by default",
    )
    category: str | None = Field(None, description="category to promote; each data set has its own")
    target_items: tuple[str, ...] = Field(
        (), description="item ids to promote, instead of choosing"
    )
    n_users: int | None = Field(
        None, ge=1, description="users to guide, drawn at random; everybody by default"
    )
    policy: str = Field(
        "itmprec", description="which policy guides: a name, or a .py file with one"
    )
    policy_options: dict[str, Any] = Field({}, description="changes to the policy's options")
    without: tuple[Part, ...] = Field((), description="parts of ITMPRec that are switched off")
    encoder: str = Field("iclrec", description="which sequence encoder")
    encoder_options: dict[str, Any] = Field({}, description="changes to the encoder's defaults")
    target_encoder: str | None = Field(
        None,
        description="encoder whose space chooses the targets where the protocol wants an "
        "encoder's; the run's own by default",
    )
    target_encoder_options: dict[str, Any] = Field(
        {}, description="changes to the defaults of target_encoder"
    )
    graphau: GraphAUOptions = GraphAUOptions()
    hidden: Literal[Hidden, Fitted] = Field(
        "interest",
        description="interest vectors of the simulated users: the run's own (interest), or others "
        "that no policy was fitted to: factors, neighbours, content, divided; or GraphAU's on "
        "other data: other-seed, half, everything",
    )
    content: ContentOptions = Field(
        ContentOptions(), description="how cold items are described, where the data set keeps them"
    )
    response: dict[str, Any] = Field(
        {},
        description="click model instead of the protocol's calibrated one: its `kind` (llm) and "
        "options",
    )
    rails: RailsOptions = Field(
        RailsOptions(), description="what guidance may never do, whichever policy guides"
    )
    protocol: Protocol = COMMON
    seed: int = Field(0, ge=0, lt=2**32, description="decides everything random")

    def changed(self, changes: Mapping[str, Any]) -> "ExperimentOptions":
        """These options with settings changed by their dotted names."""
        content = self.model_dump()
        for name, value in changes.items():
            set_nested(content, name, value)
        return ExperimentOptions(**content)

    @property
    def needs_encoder(self) -> bool:
        """Whether an encoder is to be trained: the policy stands on one, or rails ask it."""
        return policy_type(self.policy).needs_encoder or self.rails.is_on

    def choosing_targets(self) -> "ExperimentOptions":
        """The options whose encoder chooses the targets, where the protocol wants an encoder's."""
        own = self.encoder, self.encoder_options
        if self.target_encoder is None or own == (self.target_encoder, self.target_encoder_options):
            return self
        return self.model_copy(
            update={
                "encoder": self.target_encoder,
                "encoder_options": self.target_encoder_options,
                "policy": "itmprec",
                "policy_options": {},
            }
        )

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
        kind = encoder_type(options.encoder)
        self._encoder_options = kind.options_type(**options.encoder_options)
        _check_sizes(self._encoder_options, options.graphau)
        if options.target_encoder is not None:
            encoder_type(options.target_encoder).options_type(**options.target_encoder_options)
        self.policy_kind = policy_type(options.policy)
        check_prediction(self.policy_kind, options.rails)
        self.options, self.protocol = options, options.effective_protocol
        if options.rails.is_on and self.protocol.world.n_slots > 1:
            raise InvalidInputError(
                "rails count one item a round: world.n_slots must be 1 with rails, "
                f"got {self.protocol.world.n_slots}"
            )
        self._policy_options = self.policy_options(self.policy_kind.options_type)
        self._response_kind = self._response_options = None
        if options.response:
            rest = dict(options.response)
            self._response_kind = response_type(rest.pop("kind", ""))
            self._response_options = self._response_kind.options_type(**rest)
        self.store, self._data_dir = ArtefactStore(store), data_dir
        self._encoder_folder, self._progress = encoder_folder, progress
        self.device = self._usable(device)
        self.seconds: dict[str, float] = {}

    def _usable(self, device: str) -> str:
        """The device, where the policy can use it too."""
        name = usable_device(device)
        if name == "cpu" or self.policy_kind.uses_gpu:
            return name
        if device == "auto":
            return "cpu"
        raise InvalidInputError(
            f"device must be cpu for the policy {self.policy_kind.name}, got {device!r}"
        )

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, filtered as its own options say."""
        return load(self.options.dataset, data_dir=self._data_dir)

    @cached_property
    def category(self) -> str:
        """The category to promote."""
        name = self.options.category or DEFAULT_CATEGORIES.get(self.dataset.name)
        if name is None:
            raise InvalidInputError(
                f"category must be named for {self.dataset.name}; "
                f"there are {', '.join(self.dataset.category_names[:20]) or 'none'}"
            )
        return name

    @cached_property
    def interest(self) -> InterestVectors:
        """GraphAU's interest vectors."""
        return _read_vectors(self._interest_stage)

    @cached_property
    def hidden_interest(self) -> InterestVectors:
        """The simulated users' own vectors, which no policy sees."""
        kind = self.options.hidden
        if kind == "interest":
            return self.interest
        if kind in FITTED:
            return _read_vectors(self._hidden_stage)
        return InterestVectors(*hidden_vectors(kind, self.dataset))

    @cached_property
    def encoder(self) -> Encoder:
        """The trained encoder, on the device."""
        folder = self._encoder_folder or self._encoder_stage.folder
        return load_encoder(folder, self.dataset).to(self.device)

    @cached_property
    def intents(self) -> Intents:
        """Intents of the final encoder."""
        wanted = self.protocol.intents

        def make(folder: Path) -> None:
            vectors_of = (
                self.encoder.intent_vectors if wanted.fitted_on == "mean" else self.encoder.encode
            )
            vectors = vectors_of(self._sequences())
            n_intents = min(wanted.n_intents, len(vectors))
            fitted = fit_intents(vectors, n_intents, seed=self.options.seed, source=wanted.source)
            fitted.save(folder / "intents.safetensors")

        inputs = {
            "encoder": self._encoder_key,
            "intents": wanted.model_dump(),
            "padding": self.protocol.rollout.padding,
            **self._base,
        }
        return Intents.load(self._stage("intents", inputs, make).folder / "intents.safetensors")

    def check(self) -> None:
        """Refuse what the data set shows to be impossible, before anything is trained."""
        check_rails(self.options.rails, self.dataset)
        if self.options.target_items:
            given_targets(self.dataset, self.options.target_items)
        else:
            check_choice(self.dataset, self.category, self.protocol.targets)
        _ = self.guided_users

    @cached_property
    def targets(self) -> Targets:
        """The items to promote."""
        self.check()
        found = self._found_targets()
        check_rails(self.options.rails, self.dataset, found.item_idx)
        return found

    def _found_targets(self) -> Targets:
        if self.options.target_items:
            return given_targets(self.dataset, self.options.target_items)
        wanted = self.protocol.targets
        if wanted.space == "graphau":
            users, items = self.interest
        else:
            chooser = self._target_chooser
            users, items = (
                chooser.encoder.encode(chooser._sequences()),
                chooser.encoder.item_vectors,
            )
        return select_targets(
            self.dataset, self.category, users, items, wanted, seed=self.options.seed
        )

    @property
    def seed(self) -> int:
        """Decides everything random."""
        return self.options.seed

    @property
    def item_vectors(self) -> Tensor:
        """Interest vectors of items, where models start from."""
        return self.interest.item_vectors

    def placed(self, vectors: InterestVectors) -> InterestVectors:
        """The vectors with cold items where their content suggests: see :class:`Ingredients`."""
        if self._content is None:
            return vectors
        items = place_items(vectors.item_vectors, self._content, self.dataset.is_cold, is_unit=True)
        return vectors._replace(item_vectors=items)

    @property
    def answers(self) -> Path:
        """File of a language model's answers."""
        return self.store.root / ANSWERS

    @property
    def progress(self) -> Progress:
        """Told how far long work is."""
        return self._progress

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """Options of a policy: the protocol's where it has them, with the run's changes."""
        given: dict[str, Any] = {
            "replan": self.protocol.replan,
            "n_rounds": self.protocol.rollout.n_rounds,
        }
        if issubclass(ITMPRecOptions, kind):
            given |= self.protocol.itmprec.model_dump()
        known = {name: value for name, value in given.items() if name in kind.model_fields}
        return kind(**{**known, **self.options.policy_options})

    def fitted(
        self, kind: str, inputs: Mapping[str, Any], fit: Callable[[Path, Progress], None]
    ) -> Path:
        """Folder of a policy's own model, made once: see :class:`Ingredients`."""
        inputs = {"interest": self._interest_inputs, **inputs, **self._base}
        return self._stage(kind, inputs, lambda folder: fit(folder, self._progress)).folder

    @cached_property
    def policy(self) -> Policy:
        """The policy that guides, within rails if there are any."""
        policy, rails = self.policy_kind.build(self), self.options.rails
        if not rails.is_on:
            return policy
        return guarded(policy, self.encoder, self.dataset, rails, seed=self.seed)

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

    def _response(self) -> Response | None:
        if self._response_kind is None:
            return None
        return self._response_kind.build(
            self.dataset, self._response_options, self.answers, self._progress
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
    def next_item(self) -> dict[str, Any]:
        """Next-item figures of the encoder and of popularity, for validation and test."""

        def make(folder: Path) -> None:
            data, figures = self.dataset, {}
            for split in ("validation", "test"):
                places = popularity_places(
                    data.n_items + 1, data.answers(split), data.before(split)
                )
                figures[split] = {
                    self.encoder.name: evaluate_next_item(self.encoder, data, split),
                    "popularity": next_item_figures(places),
                }
            write_json(folder / "next_item.json", figures)

        stage = self._stage("next-item", {"encoder": self._encoder_key, **self._base}, make)
        return _read_json(stage.folder / "next_item.json")

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Metrics, outcome and counts of pairs."""

        def make(folder: Path) -> None:
            figures = evaluate(
                self.log,
                self.dataset,
                self.protocol.metrics,
                seed=self.seed,
                patience=self.protocol.world.patience,
            )
            figures["pairs"]["n_owners_left_out"] = self._happened["n_owners"]
            if self.options.rails.equal_groups is not None:
                figures["groups"] = self._by_group()
            write_json(folder / "figures.json", figures)

        metrics = self.protocol.metrics.model_dump()
        inputs = {
            "version": FIGURES_VERSION,
            "guidance": self._guidance_stage.key,
            "metrics": metrics,
        }
        return _read_json(self._stage("figures", inputs, make).folder / "figures.json")

    def _by_group(self) -> dict[str, Any]:
        """Figures of the groups that rails treat alike, and the share of each that is guided.

        Clicks lost are those beside next-item, played for it; a language model is not asked again.
        """
        options = self.options
        plain = None
        if self._response_kind is None:
            changes = {"policy": "next-item", "policy_options": {}, "rails": RailsOptions()}
            plain = Experiment(
                options.model_copy(update=changes),
                self.store.root,
                data_dir=self._data_dir,
                encoder_folder=self._encoder_folder,
                device=self.device,
                progress=self._progress,
            ).log
        names, group = groups_of(options.rails, self.dataset)
        found = by_group(self.log, plain, group, names, self.protocol.metrics)
        told = self._happened["notes"]["rails"]["groups"]
        for name, figures in found.items():
            may, is_guided = told[name]["campaigns"], told[name]["guided"]
            figures["share_guided"] = is_guided / may if may else 0.0
        return found

    @cached_property
    def interest_spread(self) -> dict[str, Any]:
        """Cosines of interest vectors over random, train and held-out pairs."""
        return _read_json(self._interest_stage.folder / "spread.json")

    def result(self) -> dict[str, Any]:
        """Figures, and how they came about; all but :data:`VOLATILE` is the same every time."""
        data, figures = self.dataset, self.figures
        next_item = self.next_item if self.options.needs_encoder else {}
        return {
            "dataset": data.name,
            "synthetic": data.name == "demo",
            "n_users": data.n_users,
            "n_items": data.n_items,
            "n_interactions": data.n_interactions,
            "category": None if self.options.target_items else self.category,
            "policy": self.options.policy,
            "policy_options": self.policy_kind.decides(self._policy_options),
            "policy_notes": self._happened.get("notes", {}),
            "reads_hidden_users": issubclass(self.policy_kind, ReadsMinds),
            "rails": self.options.rails.said(),
            "encoder": self.options.encoder if self.options.needs_encoder else None,
            "without": list(self.options.without),
            "protocol": self.protocol.name,
            "protocol_changes": self.protocol.changes(),
            "seed": self.options.seed,
            "targets": self.target_list(),
            **figures,
            "next_item": {
                split: by_name[self.encoder.name] for split, by_name in next_item.items()
            },
            "popularity": {split: by_name["popularity"] for split, by_name in next_item.items()},
            "interest_vectors": self.interest_spread["cosine"],
            "interest_ranking": self.interest_spread["validation"],
            "response": self.world.response.describe(),
            "seconds": {**self.seconds, **self._happened.get("seconds", {})},
            "usage": self._happened.get("usage", {}),
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
            "device": self.device,
            "threads": torch.get_num_threads(),
            "options": self.options.model_dump(mode="json"),
        }

    def mostly_seen_targets(self) -> list[str]:
        """Titles of targets that more than half of the users have already."""
        seen = share_seen(self.dataset, self.targets.item_idx)
        return [self.dataset.titles[i - 1] for i in self.targets.item_idx[seen > MOSTLY_SEEN]]

    def cold_targets(self) -> list[str]:
        """Titles of targets that are in nobody's train history."""
        items = self.targets.item_idx
        return [self.dataset.titles[i - 1] for i in items if self.dataset.is_cold[i - 1]]

    @cached_property
    def _target_chooser(self) -> "Experiment":
        """The experiment whose encoder chooses the targets."""
        chooser = self.options.choosing_targets()
        if chooser is self.options:
            return self
        return Experiment(
            chooser,
            self.store.root,
            data_dir=self._data_dir,
            device=self.device,
            progress=self._progress,
        )

    @cached_property
    def _interest_stage(self) -> Artefact:
        if self._encoder_folder is not None:
            load_encoder(self._encoder_folder, self.dataset)  # refuse a wrong one before training

        def make(folder: Path) -> None:
            vectors, record = fit_graphau(
                self.dataset,
                self.options.graphau,
                seed=self.options.seed,
                device=self.device,
                checkpoint=folder / CHECKPOINT,
                progress=self._progress,
            )
            self._keep_vectors(vectors, folder)
            write_json(folder / "training.json", record.model_dump())

        return self._stage("interest", self._interest_inputs, make)

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
                progress=self._progress,
            )
            self._keep_vectors(vectors, folder)

        inputs = {"hidden": self.options.hidden, **self._interest_inputs}
        return self._stage("hidden", inputs, make)

    def _keep_vectors(self, vectors: InterestVectors, folder: Path) -> None:
        """Write fitted vectors, cold items placed, and how they spread."""
        users, items = vectors = self.placed(vectors)
        save_file({"users": users, "items": items}, folder / "vectors.safetensors")
        write_json(folder / "spread.json", spread(self.dataset, vectors))

    @cached_property
    def _encoder_stage(self) -> Artefact:
        def make(folder: Path) -> None:
            encoder, record = fit_encoder(
                self.options.encoder,
                self.dataset,
                self.interest.item_vectors,
                options=self.options.encoder_options,
                seed=self.options.seed,
                device=self.device,
                checkpoint=folder / CHECKPOINT,
                progress=self._progress,
            )
            if self._content is not None:
                encoder.place_cold_items(self._content, self.dataset.is_cold)
            encoder.save(folder, self.dataset)
            write_json(folder / "training.json", record.model_dump())

        inputs = {
            "interest": self._interest_inputs,
            "encoder": self.options.encoder,
            "options": self._encoder_options.model_dump(),
        }
        return self._stage("encoder", inputs, make)

    @cached_property
    def _guidance_stage(self) -> Artefact:
        def make(folder: Path) -> None:
            policy, world = self.policy, self.world  # what they train is no time of guidance
            start = time.perf_counter()
            try:
                result = rollout(
                    policy,
                    world,
                    self.dataset,
                    self.targets.item_idx,
                    self.protocol.rollout,
                    user_idx=self.guided_users,
                    progress=self._progress,
                )
                spent = round(time.perf_counter() - start, 3)
                about = {
                    "n_owners": result.n_dropped_owners,
                    "notes": policy.notes(),
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
        if self.options.n_users is not None:
            inputs["n_users"] = self.options.n_users
        if self._response_kind is not None:
            inputs["response"] = self._response_kind.decides(self._response_options)
        return self._stage("guidance", inputs, make)

    @property
    def guidance_inputs(self) -> dict[str, Any]:
        """What decides how users are guided, whoever they are: names what is made of it."""
        protocol, targets = self.protocol, self.targets  # refused ones before anything is trained
        inputs = {
            "interest": self._interest_stage.key,
            "targets": targets.item_idx.tolist(),
            "policy": policy_source(self.options.policy),
            "policy_options": self.policy_kind.decides(self._policy_options),
            "rollout": protocol.rollout.model_dump(),
            **self._base,
        }
        if self.options.rails.is_on:
            inputs["rails"] = {"version": RAILS_VERSION, **self.options.rails.said()}
        if self.options.needs_encoder:
            inputs |= {"encoder": self._encoder_key, "intents": protocol.intents.model_dump()}
        return inputs

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
        return _read_json(self._guidance_stage.folder / "pairs.json")

    @property
    def _base(self) -> dict[str, Any]:
        return {"dataset": self.dataset.fingerprint, "seed": self.options.seed}

    @property
    def _interest_inputs(self) -> dict[str, Any]:
        return {"graphau": self.options.graphau.model_dump(), **self._base, **self._content_inputs}

    @property
    def _content_inputs(self) -> dict[str, Any]:
        """What decides where cold items are placed."""
        if self._content is None:
            return {}
        words = [self.dataset.titles, self.dataset.texts]
        return {"content": {**self.options.content.model_dump(), "words": digest({"": words})}}

    @cached_property
    def _content(self) -> Tensor | None:
        """Content vectors, where the data set keeps cold items and has some: (n_items, d)."""
        data = self.dataset
        if not self.options.dataset.cold_items or not data.is_cold.any():
            return None
        texts = data.texts or None
        options, seed = self.options.content, self.options.seed
        return content_vectors(data.titles, data.categories, texts, options, seed=seed)

    @cached_property
    def _encoder_key(self) -> str:
        if self._encoder_folder is None:
            return self._encoder_stage.key
        load_encoder(self._encoder_folder, self.dataset)  # refuses what is of another data set
        files = ("encoder.json", "encoder.safetensors")
        return "-".join(file_hash(self._encoder_folder / name) for name in files)

    def _stage(self, kind: str, inputs: dict[str, Any], make: Callable[[Path], None]) -> Artefact:
        stage = self.store.get_or_make(kind, {"version": STAGE_VERSION, **inputs}, make)
        self.seconds[kind] = stage.seconds
        return stage

    def _sequences(self) -> Tensor:
        """Train histories, padded as the protocol says: (n_users, max_seq_len)."""
        side = self.protocol.rollout.padding
        return self.encoder.sequences(self.dataset.before("train"), side=side)

    def target_list(self) -> list[dict[str, Any]]:
        """Index, id, title, pre-match score and share of users who have it, of every target."""
        data, (item_idx, score) = self.dataset, self.targets
        seen = share_seen(data, item_idx)
        return [
            {
                "item_idx": int(item),
                "item_id": data.item_ids[item - 1],
                "title": data.titles[item - 1],
                "score": None if np.isnan(score[n]) else float(score[n]),
                "share_seen": float(seen[n]),
            }
            for n, item in enumerate(item_idx)
        ]


def _read_vectors(stage: Artefact) -> InterestVectors:
    vectors = load_file(stage.folder / "vectors.safetensors")
    return InterestVectors(vectors["users"], vectors["items"])


def _check_sizes(encoder: EncoderOptions, graphau: GraphAUOptions) -> None:
    if encoder.item_start == "graphau" and encoder.embedding_dim != graphau.embedding_dim:
        raise InvalidInputError(
            "encoder_options.embedding_dim must equal graphau.embedding_dim while "
            f"item_start is graphau, got {encoder.embedding_dim} and {graphau.embedding_dim}"
        )


def usable_device(name: str) -> str:
    """The device to use; "auto" takes a GPU if there is one.

    Raises
    ------
    InvalidInputError
        If the device does not exist here.
    """
    if name.split(":")[0] not in ("auto", "cpu", "cuda"):
        raise InvalidInputError(f"device must be cpu, cuda or auto, got {name!r}")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(
            f"device must be cpu, cuda or auto and exist here, got {name!r}"
        ) from error
    return name


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content
