"""What policies are built from, and the guide within its rails."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proactrec.config import Options, merged
from proactrec.data.dataset import Histories
from proactrec.data.items import Items
from proactrec.encoders.fitting import encoder_type, evaluate_next_item
from proactrec.errors import InvalidInputError
from proactrec.files import read_json, write_json
from proactrec.fitting.models import Models
from proactrec.fitting.options import DEFAULT_CATEGORIES, Conventions, FittingOptions
from proactrec.guidance.course import Rails
from proactrec.guidance.goals import Goal
from proactrec.guidance.guide import Guide, check_prediction
from proactrec.guidance.rails import check_rails, targets_in
from proactrec.intents import Intents, fit_intents
from proactrec.plugins import source_of
from proactrec.policies.base import Policy
from proactrec.policies.ingredients import Fit, OptionsT
from proactrec.policies.next_item import NextItem
from proactrec.ranking import next_item_figures, popularity_places
from proactrec.targets import (
    Targets,
    check_choice,
    fixed_targets,
    given_targets,
    prematch,
    select_targets,
    share_seen,
)

RAILS_VERSION = 4
"""Part of the names of guidance within rails: raised when they come to rule otherwise."""
ANSWERS = "answers.sqlite"
"""File of the store that holds a language model's answers."""


class Fitting(Models):
    """Data set to trained policy: the :class:`Ingredients` that a policy is built from.

    Every stage is a property, computed on first use and kept in the store. For parameters see
    :class:`~proactrec.fitting.models.Models`.
    """

    def __init__(
        self, options: FittingOptions, store: Path, *conventions: Conventions, **same: Any
    ):
        super().__init__(options, store, *conventions, **same)
        if options.target_encoder is not None:
            encoder_type(options.target_encoder).options_type(**options.target_encoder_options)
        check_prediction(self.policy_kind, options.rails)
        self._policy_options: Options = self.policy_options(self.policy_kind.options_type)
        self.models: dict[str, Path] = {}  # of the policy, by kind

    @cached_property
    def category(self) -> str:
        """The category to promote."""
        name = self.options.category or DEFAULT_CATEGORIES.get(self.dataset.name)
        if name is None:
            raise InvalidInputError(
                f"category must be named for {self.dataset.name}; "
                f"there are {', '.join(self.dataset.items.category_names[:20]) or 'none'}"
            )
        return name

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

    @property
    def used_intents(self) -> Intents | None:
        """The intents, if the policy asked for them."""
        return self.__dict__.get("intents")

    def check(self) -> None:
        """Refuse what the data set shows to be impossible, before anything is trained."""
        check_rails(self.options.rails, self.dataset)
        if self.options.target_items:
            given_targets(self.dataset, self.options.target_items)
        elif self.options.goal.is_on:
            targets_in(self.options.rails, self.items, self.category)
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
        if self.options.goal.is_on:
            found = targets_in(self.options.rails, self.items, self.category)
            return prematch(*self.interest, found, len(found))
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

    @property
    def answers(self) -> Path:
        """File of a language model's answers."""
        return self.store.root / ANSWERS

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """Options of a policy: those handed in where it has them, with the run's changes."""
        return kind(**merged(self.conventions.policy_defaults(kind), self.options.policy_options))

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
        return self.guide_with_rails if self.options.rails.is_on else Guide(self.policy, self.items)

    @cached_property
    def guide_with_rails(self) -> Guide:
        """The policy with rails and a recommender, even where every rail is off."""
        rails = Rails(self.options.rails, self.items, seed=self.seed)
        return Guide(self.policy, self.items, rails, NextItem(self.encoder))

    @cached_property
    def goal(self) -> Goal | None:
        """The targets as items of which whichever suits is led to, if that is asked for."""
        asked = self.options.goal
        if asked.target == "every":
            return None
        items = self.targets.item_idx
        rows = torch.from_numpy(items).to(self.device)
        if asked.target == "chosen":
            return Goal(rows, self._chooser_guide, every=asked.reweigh)
        everybody = np.arange(self.dataset.n_users)
        fixed = fixed_targets(asked.target, self.interest, everybody, items, self.known)
        return Goal(rows, fixed=torch.from_numpy(fixed).to(self.device))

    @cached_property
    def _chooser_guide(self) -> Guide | None:
        """Who says which target suits; None: the guide itself."""
        asked = self.options.goal
        if asked.chooser is None and not asked.needs_encoder(self.options.policy):
            return None
        recommender = NextItem(self.encoder) if asked.needs_encoder(self.options.policy) else None
        policy = self.policy if asked.chooser is None else self._choosing.policy
        return Guide(policy, self.items, None, recommender)

    @cached_property
    def _choosing(self) -> "Fitting":
        """What fits the policy that says which target suits, where it is another."""
        changes: dict[str, Any] = {"policy": self.options.goal.chooser, "policy_options": {}}
        return self._beside(self.options.model_copy(update=changes))

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
        if self.options.goal.is_on:
            inputs["goal"] = self.options.goal.model_dump()
            if self.options.goal.chooser is not None:
                chooser = self._choosing
                inputs["chooser"] = [chooser._policy_source, chooser.policy_settings]
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
        return self._beside(chooser)

    def _beside(self, options: FittingOptions) -> "Fitting":
        """The same with other options, in the same store."""
        return Fitting(
            options,
            self.store.root,
            self.conventions,
            data_dir=self._data_dir,
            device=self.device,
            progress=self.progress,
        )
