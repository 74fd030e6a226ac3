"""What policies are built from in tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from proactrec.config import digest
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.items import Items
from proactrec.encoders.base import Encoder
from proactrec.errors import InvalidInputError
from proactrec.graphau import InterestVectors
from proactrec.intents import Intents
from proactrec.policies.ingredients import Fit, OptionsT
from proactrec.progress import Progress, silent


@dataclass(frozen=True)
class ToyIngredients:
    """Ingredients and training in one, see :mod:`proactrec.policies.ingredients`.

    Parameters
    ----------
    item_vectors : float tensor, shape (n_items + 1, d)
        Of interest.
    folder : Path, optional
        Where models are fitted, each once.
    options : mapping
        Of the policy; what it does not know is left aside.
    """

    dataset: Dataset
    encoder: Encoder
    intents: Intents
    item_vectors: Tensor
    folder: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    progress: Progress = silent
    content: None = None

    @property
    def items(self) -> Items:
        """The catalogue."""
        return self.dataset.items

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Ids of everybody."""
        return self.dataset.user_ids

    @property
    def known(self) -> Histories:
        """Train histories."""
        return self.dataset.before("train")

    @property
    def answers(self) -> Path:
        """File of a language model's answers."""
        return self._own_folder / "answers.sqlite"

    @property
    def _own_folder(self) -> Path:
        if self.folder is None:
            raise InvalidInputError("folder must be given where something is kept, got None")
        return self.folder

    def fitted(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """Folder of a model, fitted when it is first asked for."""
        made = self._own_folder / f"{kind}-{digest(inputs)}"
        if not made.exists():
            made.mkdir(parents=True)
            fit(self, made)
        return made

    def part(self, kind: str, inputs: Mapping[str, Any], fit: Fit) -> Path:
        """The same."""
        return self.fitted(kind, inputs, fit)

    def placed(self, vectors: InterestVectors) -> InterestVectors:
        """As they are: no item is cold."""
        return vectors

    def extended(self, item_vectors: Tensor) -> Tensor:
        """As they are: no item came later."""
        return item_vectors

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """Those of the options that this kind has."""
        return kind(**{n: value for n, value in self.options.items() if n in kind.model_fields})
