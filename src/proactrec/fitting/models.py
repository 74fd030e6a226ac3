"""Trained models of a data set, stage by stage; finished stages are never done again."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.cold_start import place_items
from proactrec.config import digest
from proactrec.content import content_vectors
from proactrec.data.dataset import Dataset
from proactrec.data.load import load
from proactrec.encoders.base import Encoder, EncoderOptions
from proactrec.encoders.fitting import encoder_type, fit_encoder, load_encoder
from proactrec.encoders.saved import read_about
from proactrec.errors import InvalidInputError
from proactrec.files import write_json
from proactrec.fitting.artefacts import CHECKPOINT, Artefact, ArtefactStore, file_hash
from proactrec.fitting.device import device_for
from proactrec.fitting.options import Conventions, FittingOptions
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau, spread
from proactrec.plugins import source_of
from proactrec.policies.registry import policy_type
from proactrec.progress import Progress, silent

STAGE_VERSION = 1
"""Part of every artefact's name: raised when a stage's result changes."""


class Models:
    """A data set with the models trained on it, each kept in the store as it is done.

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
        self.policy_kind = policy_type(options.policy)
        self.store, self._data_dir = ArtefactStore(store, progress), data_dir
        self._encoder_folder, self.progress = encoder_folder, progress
        self.device = device_for(self.policy_kind, device)
        self.seconds: dict[str, float] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, filtered as its own options say."""
        return load(self.options.dataset, data_dir=self._data_dir)

    @cached_property
    def interest(self) -> InterestVectors:
        """GraphAU's interest vectors."""
        return read_vectors(self.interest_stage)

    @cached_property
    def encoder(self) -> Encoder:
        """The trained encoder, on the device."""
        content, own = self._described if self._has_newcomers else None, [self._encoder_kind]
        return load_encoder(self.encoder_folder, self.dataset.item_ids, content, own).to(
            self.device
        )

    @property
    def encoder_folder(self) -> Path:
        """Where the trained encoder is: the one brought along, or the stage's."""
        return self._encoder_folder or self.encoder_stage.folder

    @cached_property
    def _has_newcomers(self) -> bool:
        """Whether there are items that an encoder brought along does not know."""
        if self._encoder_folder is None:
            return False
        about = read_about(self._encoder_folder, "encoder", called="encoder")
        return not set(self.dataset.item_ids) <= set(about["item_ids"])

    def placed(self, vectors: InterestVectors) -> InterestVectors:
        """The vectors with cold items where their content suggests: see :class:`Ingredients`."""
        if self._content is None:
            return vectors
        items = place_items(
            vectors.item_vectors, self._content, self.dataset.items.is_cold, is_unit=True
        )
        return vectors._replace(item_vectors=items)

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
                encoder.place_cold_items(self._content, self.dataset.items.is_cold)
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
        if not self.options.dataset.cold_items or not self.dataset.items.is_cold.any():
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
