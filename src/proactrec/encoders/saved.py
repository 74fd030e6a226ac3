"""A trained model in its folder: weights as safetensors, and JSON that says what it is."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from proactrec.data.dataset import Dataset
from proactrec.errors import ArtefactError

FORMAT_VERSION = 1
ModelT = TypeVar("ModelT", bound=nn.Module)


def save_model(
    model: nn.Module, folder: Path, stem: str, dataset: Dataset, about: Mapping[str, Any]
) -> None:
    """Write `stem`.safetensors and `stem`.json; `about` is what the model is built from again."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / f"{stem}.safetensors")
    content = {
        "format_version": FORMAT_VERSION,
        **about,
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
    }
    (folder / f"{stem}.json").write_text(json.dumps(content, indent=2) + "\n")


def read_model(
    folder: Path,
    stem: str,
    dataset: Dataset,
    build: Callable[[Mapping[str, Any]], ModelT],
    *,
    called: str,
) -> ModelT:
    """The model that :func:`save_model` wrote, in evaluation mode on the CPU.

    Parameters
    ----------
    build
        Makes the model, with any weights, from what the JSON says.
    called : str
        What errors call it, e.g. "encoder".

    Raises
    ------
    ArtefactError
        If a file is missing or damaged, or the model was trained on another data set.
    """
    try:
        about = json.loads((folder / f"{stem}.json").read_text())
        if about["dataset_fingerprint"] != dataset.fingerprint:
            raise ArtefactError(
                f"{called} {folder} was trained on {about['dataset']} "
                f"({about['dataset_fingerprint']}), not on {dataset.name} ({dataset.fingerprint})"
            )
        model = build(about)
        model.load_state_dict(load_file(folder / f"{stem}.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(f"{called} {folder} can't be read: {error}") from error
    return model.eval()
