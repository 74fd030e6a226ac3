"""What policies are built from, stage by stage; finished stages are never done again."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.cold_start import place_items
from proactrec.config import Options, digest
from proactrec.content import content_vectors
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.items import Items
from proactrec.data.load import load
from proactrec.encoders.base import Encoder, EncoderOptions
from proactrec.encoders.fitting import encoder_type, evaluate_next_item, fit_encoder, load_encoder
from proactrec.encoders.saved import read_about
from proactrec.errors import InvalidInputError
from proactrec.files import read_json, write_json
from proactrec.fitting.artefacts import CHECKPOINT, Artefact, ArtefactStore, file_hash
from proactrec.fitting.device import device_for
from proactrec.fitting.options import DEFAULT_CATEGORIES, Conventions, FittingOptions
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau, spread
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide, check_prediction
from proactrec.guidance.rails import check_rails
from proactrec.intents import Intents, fit_intents
from proactrec.plugins import source_of
from proactrec.policies.base import Policy
from proactrec.policies.ingredients import Fit, OptionsT
from proactrec.policies.next_item import NextItem
from proactrec.policies.registry import policy_type
from proactrec.progress import Progress, silent
from proactrec.ranking import next_item_figures, popularity_places
from proactrec.targets import Targets, check_choice, given_targets, select_targets, share_seen

STAGE_VERSION = 1
"""Part of every artefact's name: raised when a stage's result changes."""
RAILS_VERSION = 4
"""The same for guidance within rails."""
ANSWERS = "answers.sqlite"
"""File of the store that holds a language model's answers."""


class Fitting:
    """Data set to trained policy: the :class:`Ingredients` that a policy is built from.

    Every stage is a property, computed on first use and kept in the store.

    Parameters
    ----------
    options : FittingOptions
    store : Path
        Folder of finished stages; several runs may share one.
    conventions : Conventions, optional
        What a protocol settles.
    data_dir : Path, optional
        Where the raw files are.
    encoder_folder : Path, optional
        A trained encoder to use instead of training one.
    device : str
        "cpu", "cuda" or "auto".
    """

    def __init__(
        self,
        options: FittingOptions,
        store: Path,
        conventions: Conventions | None = None,
        *,
        data_dir: Path | None = None,
        encoder_folder: Path | None = None,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> None:
        self.options, self.seed = options, options.seed
        self.conventions = conventions or Conventions()
        self._encoder_kind = encoder_type(options.encoder)
        self._encoder_options = self._encoder_kind.options_type(**options.encoder_options)
        _check_sizes(self._encoder_options, options.graphau)
        if options.target_encoder is not None:
            encoder_type(options.target_encoder).options_type(**options.target_encoder_options)
        self.policy_kind = policy_type(options.policy)
        check_prediction(self.policy_kind, options.rails)
        self._policy_options: Options = self.policy_options(self.policy_kind.options_type)
        self.store, self._data_dir = ArtefactStore(store, progress), data_dir
        self._encoder_folder, self.progress = encoder_folder, progress
        self.device = device_for(self.policy_kind, device)
        self.seconds: dict[str, float] = {}
        self.models: dict[str, Path] = {}  # of the policy, by kind

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
        return read_vectors(self.interest_stage)

    @cached_property
    def encoder(self) -> Encoder:
        """The trained encoder, on the device."""
        folder = self._encoder_folder or self.encoder_stage.folder
        content, own = self._described if self._has_newcomers else None, [self._encoder_kind]
        return load_encoder(folder, self.dataset.item_ids, content, own).to(self.device)

    @cached_property
    def _has_newcomers(self) -> bool:
        """Whether there are items that an encoder brought along does not know."""
        if self._encoder_folder is None:
            return False
        about = read_about(self._encoder_folder, "encoder", called="encoder")
        return not set(self.dataset.item_ids) <= set(about["item_ids"])

    @cached_property
    def intents(self) -> Intents:
        """Intents of the final encoder."""
        wanted = self.conventions.intents

        def make(folder: Path) -> None:
            vectors_of = (
                self.encoder.intent_vectors if wanted.fitted_on == "mean" else self.encoder.encode
            )
            vectors = vectors_of(self._sequences())
            n_intents = min(wanted.n_intents, len(vectors))
            fitted = fit_intents(vectors, n_intents, seed=self.seed, source=wanted.source)
            fitted.save(folder / "intents.safetensors")

        inputs = {
            "encoder": self._encoder_key,
            "intents": wanted.model_dump(),
            "padding": self.conventions.padding,
            **self._base,
        }
        return Intents.load(self.stage("intents", inputs, make).folder / "intents.safetensors")

    def check(self) -> None:
        """Refuse what the data set shows to be impossible, before anything is trained."""
        check_rails(self.options.rails, self.dataset)
        if self.options.target_items:
            given_targets(self.dataset, self.options.target_items)
        else:
            check_choice(self.dataset, self.category, self.conventions.targets)

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
        wanted = self.conventions.targets
        if wanted.space == "graphau":
            users, items = self.interest
        else:
            chooser = self._target_chooser
            users, items = (
                chooser.encoder.encode(chooser._sequences()),
                chooser.encoder.item_vectors,
            )
        return select_targets(self.dataset, self.category, users, items, wanted, seed=self.seed)

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

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """Options of a policy: those handed in where it has them, with the run's changes."""
        return kind(**{**self.conventions.policy_defaults(kind), **self.options.policy_options})

    @property
    def items(self) -> Items:
        """The catalogue."""
        return self.dataset.items

    @property
    def known(self) -> Histories:
        """Train histories."""
        return self.dataset.before("train")

    def extended(self, item_vectors: Tensor) -> Tensor:
        """The same: no item came after the fit."""
        return item_vectors

    @property
    def content(self) -> None:
        """None: no item came after the fit."""

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Everybody's ids."""
        return self.dataset.user_ids

    def fitted(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of a policy's own model, made once: see :class:`Ingredients`."""
        self.models[kind] = self.part(kind, inputs, fit)
        return self.models[kind]

    def part(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of a part of such a model: see :class:`Training`."""
        inputs = {"interest": self.interest_inputs, **inputs, **self._base}
        return self.stage(kind, inputs, lambda folder: fit(self, folder)).folder

    @cached_property
    def policy(self) -> Policy:
        """The policy, without its rails."""
        return self.policy_kind.build(self)

    @cached_property
    def guide(self) -> Guide:
        """The policy within its rails, if there are any."""
        options, items = self.options.rails, self.items
        if not options.is_on:
            return Guide(self.policy, items)
        return Guide(
            self.policy, items, Rails(options, items, seed=self.seed), NextItem(self.encoder)
        )

    @property
    def policy_settings(self) -> dict[str, Any]:
        """What of the policy's options decides what is shown."""
        return self.policy_kind.fingerprint(self._policy_options)

    @property
    def _policy_source(self) -> str:
        """What tells apart two versions of a policy."""
        source, version = source_of(self.options.policy), self.policy_kind.version
        return source if version == 1 else f"{source}-v{version}"

    def guidance_inputs(self, **more: Any) -> dict[str, Any]:
        """What decides how anybody is guided, and `more`: names what is made of it."""
        targets, rails = self.targets, self.options.rails  # refused ones before training
        inputs = {
            "interest": self.interest_stage.key,
            "targets": targets.item_idx.tolist(),
            "policy": self._policy_source,
            "policy_options": self.policy_settings,
            **more,
            **self._base,
        }
        if rails.is_on:
            inputs["rails"] = {"version": RAILS_VERSION, **rails.said()}
        if self.options.needs_encoder:
            intents = self.conventions.intents.model_dump()
            inputs |= {"encoder": self._encoder_key, "intents": intents}
        return inputs

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

        stage = self.stage("next-item", {"encoder": self._encoder_key, **self._base}, make)
        return read_json(stage.folder / "next_item.json")

    @cached_property
    def interest_spread(self) -> dict[str, Any]:
        """Cosines of interest vectors over random, train and held-out pairs."""
        return read_json(self.interest_stage.folder / "spread.json")

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

    @cached_property
    def _target_chooser(self) -> "Fitting":
        """What fits the encoder that chooses the targets."""
        chooser = self.options.choosing_targets()
        if chooser is self.options:
            return self
        return Fitting(
            chooser,
            self.store.root,
            self.conventions,
            data_dir=self._data_dir,
            device=self.device,
            progress=self.progress,
        )

    @cached_property
    def interest_stage(self) -> Artefact:
        """Where the interest vectors are kept."""
        if self._encoder_folder is not None:
            _ = self.encoder  # refuse a wrong one before training

        def make(folder: Path) -> None:
            vectors, record = fit_graphau(
                self.dataset,
                self.options.graphau,
                seed=self.seed,
                device=self.device,
                checkpoint=folder / CHECKPOINT,
                progress=self.progress,
            )
            self.keep_vectors(vectors, folder)
            write_json(folder / "training.json", record.model_dump())

        return self.stage("interest", self.interest_inputs, make)

    def keep_vectors(self, vectors: InterestVectors, folder: Path) -> None:
        """Write fitted vectors, cold items placed, and how they spread."""
        users, items = vectors = self.placed(vectors)
        save_file({"users": users, "items": items}, folder / "vectors.safetensors")
        write_json(folder / "spread.json", spread(self.dataset, vectors))

    @cached_property
    def encoder_stage(self) -> Artefact:
        """Where the trained encoder is kept."""

        def make(folder: Path) -> None:
            encoder, record = fit_encoder(
                self.options.encoder,
                self.dataset,
                self.interest.item_vectors,
                options=self.options.encoder_options,
                seed=self.seed,
                device=self.device,
                checkpoint=folder / CHECKPOINT,
                progress=self.progress,
            )
            if self._content is not None:
                encoder.place_cold_items(self._content, self.dataset.is_cold)
            encoder.save(folder, self.dataset)
            write_json(folder / "training.json", record.model_dump())

        inputs = {
            "interest": self.interest_inputs,
            "encoder": source_of(self.options.encoder),
            "options": self._encoder_options.model_dump(),
        }
        return self.stage("encoder", inputs, make)

    @property
    def _base(self) -> dict[str, Any]:
        return {"dataset": self.dataset.fingerprint, "seed": self.seed}

    @property
    def interest_inputs(self) -> dict[str, Any]:
        """What decides the interest vectors."""
        return {"graphau": self.options.graphau.model_dump(), **self._base, **self._content_inputs}

    @property
    def _content_inputs(self) -> dict[str, Any]:
        """What decides where cold items are placed."""
        return {} if self._content is None else {"content": self._words}

    @property
    def _words(self) -> dict[str, Any]:
        """What decides content vectors."""
        words = [self.dataset.titles, self.dataset.texts]
        return {**self.options.content.model_dump(), "words": digest({"": words})}

    @cached_property
    def _content(self) -> Tensor | None:
        """Content vectors, where the data set keeps cold items and has some: (n_items, d)."""
        if not self.options.dataset.cold_items or not self.dataset.is_cold.any():
            return None
        return self._described

    @cached_property
    def _described(self) -> Tensor:
        """Content vectors of all items: (n_items, d)."""
        data, options = self.dataset, self.options.content
        return content_vectors(
            data.titles, data.categories, data.texts or None, options, seed=self.seed
        )

    @cached_property
    def _encoder_key(self) -> str:
        if self._encoder_folder is None:
            return self.encoder_stage.key
        _ = self.encoder  # refuses a wrong one
        files = ("encoder.json", "encoder.safetensors")
        parts = [file_hash(self._encoder_folder / name) for name in files]
        return "-".join(parts + [digest(self._words)] * self._has_newcomers)

    def stage(self, kind: str, inputs: dict[str, Any], make: Callable[[Path], None]) -> Artefact:
        """A stage of the run, made if it is not in the store; its seconds are noted."""
        stage = self.store.get_or_make(kind, {"version": STAGE_VERSION, **inputs}, make)
        self.seconds[kind] = stage.seconds
        return stage

    def _sequences(self) -> Tensor:
        """Train histories, padded as the protocol says: (n_users, max_seq_len)."""
        return self.encoder.sequences(self.dataset.before("train"), side=self.conventions.padding)


def read_vectors(stage: Artefact) -> InterestVectors:
    """What :meth:`Fitting.keep_vectors` wrote."""
    vectors = load_file(stage.folder / "vectors.safetensors")
    return InterestVectors(vectors["users"], vectors["items"])


def _check_sizes(encoder: EncoderOptions, graphau: GraphAUOptions) -> None:
    if encoder.item_start == "graphau" and encoder.embedding_dim != graphau.embedding_dim:
        raise InvalidInputError(
            "encoder_options.embedding_dim must equal graphau.embedding_dim while "
            f"item_start is graphau, got {encoder.embedding_dim} and {graphau.embedding_dim}"
        )
