"""What policies are built from, whether models were trained just now or lie in a saved guide."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.items import Items
from proactrec.encoders.base import Encoder
from proactrec.graphau import InterestVectors
from proactrec.intents import Intents
from proactrec.progress import Progress

OptionsT = TypeVar("OptionsT", bound=Options)
Fit = Callable[["Training", Path], None]
"""Fills a folder with a model; what it keeps there as `checkpoint.safetensors` survives a kill."""


class Training(Protocol):
    """What models are trained on; there is none where a saved guide is opened."""

    @property
    def dataset(self) -> Dataset:
        """Histories and catalogue."""
        ...

    @property
    def seed(self) -> int:
        """Decides everything random."""
        ...

    @property
    def device(self) -> str:
        """Where models are trained."""
        ...

    @property
    def item_vectors(self) -> Tensor:
        """Interest vectors of items (n_items + 1, d), where models of one's own may start."""
        ...

    @property
    def progress(self) -> Progress:
        """Told how far long work is."""
        ...

    def part(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of what only the training of a model needs, made as by :meth:`fitted`."""
        ...

    def placed(self, vectors: InterestVectors) -> InterestVectors:
        """Vectors of one's own model, with cold items where their content suggests."""
        ...


class Ingredients(Protocol):
    """What policies are built from; each is made when it is first asked for."""

    @property
    def items(self) -> Items:
        """The catalogue, by inside index; in an opened guide with items that came later."""
        ...

    @property
    def content(self) -> Tensor | None:
        """Content vectors of the items (n_items, k), where some came after the fit."""
        ...

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Ids of the known users."""
        ...

    @property
    def known(self) -> Histories:
        """Histories of the known users that models were fitted on, by their rows."""
        ...

    @property
    def device(self) -> str:
        """Where policies decide: their tables go there."""
        ...

    @property
    def encoder(self) -> Encoder:
        """The trained sequence encoder, on the device."""
        ...

    @property
    def intents(self) -> Intents:
        """Intents in the encoder's space."""
        ...

    @property
    def seed(self) -> int:
        """Decides everything random."""
        ...

    def fitted(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of a model of one's own; `fit` fills it once for a data set, seed and `inputs`.

        In an opened guide it is what the guide keeps.
        """
        ...

    def extended(self, item_vectors: Tensor) -> Tensor:
        """Item vectors (n_fitted + 1, d) with unit rows for items that came after the fit."""
        ...

    @property
    def answers(self) -> Path:
        """File of a language model's answers, which runs share."""
        ...

    @property
    def progress(self) -> Progress:
        """Told how far long work is."""
        ...

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """The policy's own options: the protocol's, where it has some, with the run's changes."""
        ...
