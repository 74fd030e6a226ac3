"""A guide as one folder: written once, opened anywhere, without the data set it was fitted on.

`guide.json` says what it is; `items.parquet` and `users.parquet` are what it knows by id; weights
lie in `encoder/` and `models/`, prototypes in `intents.safetensors`, what was learned from answers
in `knowledge.safetensors`. Opening it builds the policy again from these, with rows for items that
came later.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from polars.exceptions import PolarsError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.cold_start import place_items
from proactrec.config import digest
from proactrec.content import content_vectors
from proactrec.data.catalogue import Catalogue
from proactrec.data.items import Items
from proactrec.encoders.base import Encoder
from proactrec.encoders.fitting import load_encoder
from proactrec.errors import ArtefactError, InvalidInputError, UnknownIdError
from proactrec.files import replacing_folder, write_json
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.learned import knowledge_of, tensors_of
from proactrec.guidance.rails import RailsOptions
from proactrec.intents import Intents
from proactrec.plugins import source_of
from proactrec.policies.base import Learner, Policy
from proactrec.policies.ingredients import Fit, OptionsT
from proactrec.policies.next_item import NextItem
from proactrec.policies.registry import policy_type
from proactrec.progress import Progress, silent

FORMAT_VERSION = 1
NAMED_BY = ("dataset", "policy", "policy_version", "policy_options", "seed", "n_items", "made")
"""What says in `guide.json` that a guide is another one."""
ABOUT, ITEMS, USERS = "guide.json", "items.parquet", "users.parquet"
ENCODER, MODELS, INTENTS = "encoder", "models", "intents.safetensors"
KNOWLEDGE = "knowledge.safetensors"
PACKAGES = ("proactrec", "torch", "numpy")


@dataclass(frozen=True)
class Recipe:
    """What a guide's policy is built from, beside items and users.

    Parameters
    ----------
    dataset : mapping
        `name` and `fingerprint` of the data that models were fitted on.
    policy : str
        Name, or path of a .py file, see :func:`proactrec.policies.registry.policy_type`.
    policy_options : mapping
        All of them.
    encoder : Path
        Folder of the encoder.
    models : mapping
        Folder of every model of the policy's own, by kind.
    intents : Intents, optional
    """

    dataset: Mapping[str, str]
    policy: str
    policy_options: Mapping[str, Any]
    encoder: Path
    models: Mapping[str, Path]
    intents: Intents | None = None


@dataclass(frozen=True, eq=False)
class SavedGuide:
    """A guide with all that it is saved by: made by fitting, or opened.

    Parameters
    ----------
    guide : Guide
        Within rails, perhaps none of them on: who opted out gets plain items.
    known : KnownUsers
    recipe : Recipe
    seed : int
        Decides everything random.
    n_fitted_items : int
        Items of the guide, the first ones, that models were fitted on; the others came later.
    knowledge_version : int
        Number of batches of answers that were learned from.
    """

    guide: Guide
    known: KnownUsers
    recipe: Recipe
    seed: int
    n_fitted_items: int
    knowledge_version: int = 0

    @property
    def rails(self) -> RailsOptions:
        """The rails, off ones included."""
        return RailsOptions() if self.guide.rails is None else self.guide.rails.options

    def learned(self, knowledge: Any) -> "SavedGuide":
        """The guide with knowledge that one more batch of answers brought."""
        guide, batches = self.guide.knowing(knowledge), self.knowledge_version + 1
        return SavedGuide(guide, self.known, self.recipe, self.seed, self.n_fitted_items, batches)

    def save(self, folder: Path) -> None:
        """Write the folder; it appears whole or not at all.

        Raises
        ------
        InvalidInputError
            If something else lies there, or the guide holds items that came after the fit.
        """
        check_place(folder)
        if self.n_fitted_items < len(self.guide.items):
            raise InvalidInputError("a guide opened with later items can't be saved: fit it anew")
        with replacing_folder(folder) as partial:
            self._write(partial)

    def _write(self, folder: Path) -> None:
        guide, recipe = self.guide, self.recipe
        guide.items.save(folder / ITEMS)
        self.known.save(folder / USERS)
        _copy(recipe.encoder, folder / ENCODER)
        for kind, model in recipe.models.items():
            _copy(model, folder / MODELS / kind)
        if recipe.intents is not None:
            recipe.intents.save(folder / INTENTS)
        if isinstance(guide.policy, Learner):
            save_file(tensors_of(guide.policy.knowledge), folder / KNOWLEDGE)
        write_json(folder / ABOUT, self.about())

    def about(self) -> dict[str, Any]:
        """What the guide is, from what, and how much it knows."""
        recipe = self.recipe
        return {
            "format_version": FORMAT_VERSION,
            "dataset": dict(recipe.dataset),
            "policy": recipe.policy,
            "policy_source": source_of(recipe.policy),
            "policy_version": type(self.guide.policy).version,
            "policy_options": dict(recipe.policy_options),
            "rails": self.rails.said(),
            "shows_again": self.guide.shows_again,
            "seed": self.seed,
            "n_items": self.n_fitted_items,
            "n_users": len(self.known.index),
            "knowledge_version": self.knowledge_version,
            "versions": {name: version(name) for name in PACKAGES},
            "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        }


class Kept:
    """The :class:`~proactrec.policies.ingredients.Ingredients` that lie in a guide's folder.

    Parameters
    ----------
    folder : Path
    about : mapping
        Of `guide.json`.
    items : Items
        With those that came after the fit.
    known : KnownUsers
    seed : int
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Any], items: Items, known: KnownUsers, seed: int
    ) -> None:
        self.items, self.user_ids, self.known = items, known.user_ids, known.fitted
        self.seed, self.progress = seed, silent
        self._folder, self._about, self._n_fitted = folder, about, about["n_items"]

    progress: Progress
    device = "cpu"

    @cached_property
    def content(self) -> Tensor | None:
        """Content vectors of all items, if some came after the fit and something is known of them.

        Without, later items stand at the mean of the others.
        """
        items = self.items
        if len(items) == self._n_fitted:
            return None
        try:
            return content_vectors(items.titles, items.categories, items.texts or None)
        except InvalidInputError:
            return None

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, with rows for later items."""
        return load_encoder(self._folder / ENCODER, self.items.item_ids, self.content)

    @cached_property
    def intents(self) -> Intents:
        """The intents."""
        return Intents.load(self._folder / INTENTS)

    def fitted(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of a model that the guide keeps; nothing is trained here.

        Raises
        ------
        ArtefactError
            If it keeps none.
        """
        folder = self._folder / MODELS / kind
        if not folder.is_dir():
            raise ArtefactError(f"guide {self._folder} is damaged: {MODELS}/{kind} is missing")
        return folder

    def extended(self, item_vectors: Tensor) -> Tensor:
        """Item vectors with unit rows for later items: see :class:`Ingredients`."""
        n_later = len(self.items) + 1 - len(item_vectors)
        if not n_later:
            return item_vectors
        if self.content is None:
            mean = torch.nn.functional.normalize(item_vectors[1:].mean(0), dim=0)
            return torch.cat([item_vectors, mean.expand(n_later, -1)])
        nothing = item_vectors.new_zeros(n_later, item_vectors.shape[1])
        is_later = torch.arange(len(self.items)).numpy() >= self._n_fitted
        whole = torch.cat([item_vectors, nothing])
        return place_items(whole, self.content, is_later, is_unit=True)

    @property
    def answers(self) -> Path:
        """File of a language model's answers, beside the folder, which never changes."""
        return self._folder.with_name(f"{self._folder.name}.answers.sqlite")

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """The policy's options as they were saved."""
        return kind(**self._about["policy_options"])


def open_guide(
    folder: Path | str, later_items: Catalogue | None = None, *, seed: int | None = None
) -> SavedGuide:
    """The guide in a folder.

    Parameters
    ----------
    later_items : Catalogue, optional
        What there is to show now: those of its items that the guide does not know are placed by
        their titles, categories and texts.
    seed : int, optional
        Draws the phase of plain rounds and the like; by default the guide's own.

    Raises
    ------
    UnknownIdError
        If the folder holds no guide.
    ArtefactError
        If a file is missing or damaged, or of another format.
    """
    folder = Path(folder)
    about = read_about(folder)
    try:
        return _opened(folder, about, later_items, about["seed"] if seed is None else seed)
    except ArtefactError:
        raise
    except (OSError, ValueError, KeyError, PolarsError, SafetensorError) as error:
        sentence = " ".join(str(error).split())
        raise ArtefactError(f"guide {folder} can't be opened: {sentence}") from error


def _opened(
    folder: Path, about: dict[str, Any], later_items: Catalogue | None, draws: int
) -> SavedGuide:
    known = KnownUsers.load(folder / USERS)
    items = Items.load(folder / ITEMS, about["dataset"]["name"])
    if later_items is not None:
        items = items.extended(later_items)
    kept, kind = Kept(folder, about, items, known, draws), policy_type(about["policy"])
    if (source_of(about["policy"]), kind.version) != (
        about["policy_source"],
        about["policy_version"],
    ):
        raise ArtefactError(
            f"the policy {about['policy']} is not the one of guide {folder}: fit anew"
        )
    policy = kind.build(kept)
    if isinstance(policy, Learner):
        saved = load_file(folder / KNOWLEDGE)
        knowledge = knowledge_of(policy.knowledge, saved, about["n_items"], len(items))
        policy = policy.knowing(knowledge)
    rails = Rails(RailsOptions(**about["rails"]), items, seed=draws)
    guide = Guide(policy, items, rails, NextItem(kept.encoder), shows_again=about["shows_again"])
    models = {path.name: path for path in (folder / MODELS).glob("*")}
    intents = Intents.load(folder / INTENTS) if (folder / INTENTS).exists() else None
    recipe = Recipe(
        about["dataset"],
        about["policy"],
        about["policy_options"],
        folder / ENCODER,
        models,
        intents,
    )
    return SavedGuide(guide, known, recipe, draws, about["n_items"], about["knowledge_version"])


def built_policy(folder: Path, name: str, options: Mapping[str, Any], saved: SavedGuide) -> Policy:
    """Another policy on what lies in the folder of an opened guide, or its own with other options.

    Raises
    ------
    UnknownIdError
        If there is no policy of this name.
    InvalidInputError
        If an option is wrong, or the policy can't guide real users.
    ArtefactError
        If it needs a model that the guide does not keep.
    """
    about = {**read_about(folder), "policy_options": options}
    kept = Kept(folder, about, saved.guide.items, saved.known, saved.seed)
    policy = policy_type(name).build(kept)
    if hasattr(policy, "reading"):
        raise InvalidInputError(f"policy {name} reads the minds of simulated users")
    if name == saved.recipe.policy and isinstance(policy, Learner):
        return policy.knowing(saved.guide.knowledge)
    return policy


def check_place(folder: Path) -> None:
    """Raise :class:`InvalidInputError` if a guide can't be written there: something else is."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / ABOUT).is_file():
        raise InvalidInputError(f"{folder} is not empty, and no guide: choose another folder")


def read_about(folder: Path) -> dict[str, Any]:
    """What `guide.json` of a folder says, checked."""
    if not (folder / ABOUT).is_file():
        raise UnknownIdError(f"{folder} holds no guide: make one with `proactrec guide fit`")
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        found = about["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"guide {folder} is damaged: {ABOUT} can't be read ({error})"
        ) from error
    if found != FORMAT_VERSION:
        raise ArtefactError(
            f"guide {folder} has the format {found}, this proactrec reads {FORMAT_VERSION}"
        )
    return about


def guide_name(folder: Path) -> str:
    """A short name that no other guide has."""
    about = read_about(folder)
    return digest({key: about[key] for key in NAMED_BY})


def _copy(source: Path, target: Path) -> None:
    """Weights and what describes them; nothing of how a store keeps them."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix in (".safetensors", ".json") and path.name != "manifest.json":
            shutil.copyfile(path, target / path.name)
