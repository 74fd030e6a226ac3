"""A trained model in its folder: weights as safetensors, and JSON that says what it is.

A model knows items, and users, by id: it opens beside any later data set.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from proactrec.cold_start import place_items
from proactrec.data.dataset import Dataset
from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.types import BoolArray, IntArray

FORMAT_VERSION = 2


class ItemModel(nn.Module):
    """A network with tables that have a row for every item, and perhaps for every user."""

    @property
    def item_tables(self) -> tuple[Tensor, ...]:
        """All weights with a row an item, each (n_items + 1, ...); row 0 is padding."""
        raise NotImplementedError

    @property
    def user_tables(self) -> tuple[Tensor, ...]:
        """All weights with a row a user, each (n_users, ...)."""
        return ()

    @torch.no_grad()
    def start_items(self, item_vectors: Tensor) -> None:
        """Make these vectors (n_items + 1, d) the first item table; padding stays zero."""
        table = self.item_tables[0]
        if item_vectors.shape != table.shape:
            raise InvalidInputError(
                f"item_vectors must have shape {tuple(table.shape)}, "
                f"got {tuple(item_vectors.shape)}"
            )
        table.copy_(item_vectors)
        table[0] = 0

    @torch.no_grad()
    def place_cold_items(self, content: Tensor, is_cold: BoolArray) -> None:
        """Give items without train interactions the rows that their content suggests.

        Training only pushes such items away, as negatives: what it leaves in their rows is
        replaced by :func:`proactrec.cold_start.place_items`.
        """
        for table in self.item_tables:
            rows = table.view(len(table), -1)  # a bias has a number an item
            rows.copy_(place_items(rows, content, is_cold, is_unit=False))


ModelT = TypeVar("ModelT", bound=ItemModel)


def save_model(
    model: ItemModel, folder: Path, stem: str, dataset: Dataset, about: Mapping[str, Any]
) -> None:
    """Write `stem`.safetensors and `stem`.json; `about` is what the model is built from again.

    The JSON holds the ids of items, and of users where the model has rows of them, in the model's
    order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / f"{stem}.safetensors")
    content = {
        "format_version": FORMAT_VERSION,
        **about,
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "item_ids": dataset.item_ids,
        "user_ids": dataset.user_ids if model.user_tables else (),
    }
    (folder / f"{stem}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_about(folder: Path, stem: str, *, called: str) -> dict[str, Any]:
    """What the JSON of a saved model says, its `item_ids` and `user_ids` among it.

    Raises
    ------
    ArtefactError
        If the file is missing or damaged, or of another format.
    """
    try:
        about: dict[str, Any] = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        found = about["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{called} {folder} can't be read: {error}") from error
    if found != FORMAT_VERSION:
        raise ArtefactError(
            f"{called} {folder} is of format {found}, not {FORMAT_VERSION} (which knows items by "
            "id): delete it to train it anew"
        )
    return about


def read_model(
    folder: Path,
    stem: str,
    build: Callable[[Mapping[str, Any]], ModelT],
    *,
    called: str,
    item_ids: Sequence[str],
    content: Tensor | None = None,
    user_ids: Sequence[str] = (),
) -> ModelT:
    """The model that :func:`save_model` wrote, in evaluation mode on the CPU.

    Its tables have the rows of `item_ids` and `user_ids`, in this order; those of items and users
    that are not named are left out. Where the ids are the model's own, so are all weights.

    - An item that the model does not know gets the row that its content suggests, see
      :func:`proactrec.cold_start.place_items`, by the named items that it knows. Without content
      it gets the mean of all items that the model knows: the row that a map from content gives
      when content says nothing, so that it is neither favoured nor shunned.
    - A user that the model does not know gets the mean of all users that it knows.

    Parameters
    ----------
    build
        Makes the model, with any weights, from what the JSON says.
    called : str
        What errors call it, e.g. "encoder".
    content : float tensor, shape (n_items, n_components), optional
        Of the items of `item_ids`, as :func:`proactrec.content.content_vectors` gives them.

    Raises
    ------
    ArtefactError
        If a file is missing or damaged, or the model knows none of the items.
    """
    about = read_about(folder, stem, called=called)
    try:
        model = build(about)
        model.load_state_dict(load_file(folder / f"{stem}.safetensors"))
        own_items, own_users = about["item_ids"], about["user_ids"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{called} {folder} can't be read: {error}") from error
    user_ids = user_ids if model.user_tables else ()
    items, users = places(own_items, item_ids), places(own_users, user_ids)
    if not (items >= 0).any():
        raise ArtefactError(
            f"{called} {folder} was trained on {about['dataset']} and knows none of the "
            f"{len(items)} items here"
        )
    if (list(item_ids), list(user_ids)) != (own_items, own_users):
        other = build({**about, "item_ids": item_ids, "user_ids": user_ids})
        model = _arranged(model, other, items, users, content)
    return model.eval()


def places(known: Sequence[str], wanted: Sequence[str]) -> IntArray:
    """Place of every wanted id among the known ones, -1 where it is none of them."""
    place = {name: number for number, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in wanted], dtype=np.int64)


def _arranged(
    model: ModelT, other: ModelT, items: IntArray, users: IntArray, content: Tensor | None
) -> ModelT:
    """`other`, with the weights of `model` in the rows of these items and users (-1: unknown)."""
    if content is not None and len(content) != len(items):
        raise InvalidInputError(
            f"content must have a row for each of the {len(items)} items, got {len(content)}"
        )
    weights = model.state_dict()
    for name, table in model.named_parameters():
        if any(table is own for own in model.item_tables):
            padding, rows = table.detach()[:1], table.detach()[1:]
            weights[name] = torch.cat([padding, _rows(rows, items)])
        if any(table is own for own in model.user_tables):
            weights[name] = _rows(table.detach(), users)
    other.load_state_dict(weights)
    if content is not None and (items < 0).any():
        other.place_cold_items(content, items < 0)
    return other


def _rows(table: Tensor, places: IntArray) -> Tensor:
    """Rows of a table (n, ...) at these places, its mean where a place is -1."""
    return torch.cat([table, table.mean(0, keepdim=True)])[torch.from_numpy(places)]
