"""What every sequence encoder offers, and how one is trained, saved and measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.config import MOST_DIM, MOST_LAYERS, MOST_LEN
from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.layers import CausalTransformer, check_transformer
from proactrec.encoders.losses import full_cross_entropy, sampled_binary_loss
from proactrec.encoders.saved import ItemModel, save_model
from proactrec.errors import InvalidInputError
from proactrec.gpu import at_once
from proactrec.rng import torch_generator
from proactrec.tables import LargeTableOptions
from proactrec.threads import MapBlocks, shared
from proactrec.training import StoppingOptions
from proactrec.types import IntArray

NextItemLoss = Literal["sampled", "cross_entropy"]
ENCODE_ROWS = 48
"""Sequences encoded at once: large enough for the matrix products, small enough for the cache."""


class EncoderOptions(LargeTableOptions):
    """Settings that every encoder has; the values are those of ITMPRec's code."""

    embedding_dim: int = Field(64, ge=1, le=MOST_DIM, description="length of item and user vectors")
    n_layers: int = Field(2, ge=1, le=MOST_LAYERS, description="transformer layers")
    n_heads: int = Field(2, ge=1, description="attention heads; they share embedding_dim")
    dropout: float = Field(0.5, ge=0, lt=1, description="on input, attention and residuals")
    max_seq_len: int = Field(
        50, ge=1, le=MOST_LEN, description="newest items of a history that are read"
    )
    item_start: Literal["graphau", "random"] = Field(
        "graphau", description="item vectors start from interest vectors, or from N(0, 0.02²)"
    )
    next_item_loss: NextItemLoss = Field(
        "sampled",
        description="against one sampled item (BCE), or all items (cross-entropy), per position",
    )
    windows: Literal["last", "all"] = Field(
        "last", description="train on the newest max_seq_len items only, or on the whole history"
    )
    learning_rate: float = Field(1e-3, gt=0, le=100, description="of Adam")
    batch_size: int = Field(256, ge=2, le=1_000_000, description="sequences in a batch")
    stopping: StoppingOptions = StoppingOptions(n_epochs=300, patience=20)

    @property
    def moves_every_row(self) -> str:
        """Cross-entropy scores all items."""
        return "next_item_loss 'cross_entropy'" if self.next_item_loss == "cross_entropy" else ""

    @model_validator(mode="after")
    def _heads_share_dimensions(self) -> Self:
        check_transformer(self.embedding_dim, self.n_heads, self.n_layers)
        return self


class Batch(NamedTuple):
    """Training sequences with their next items; what an encoder has no use for is None."""

    item_seq: Tensor  # (B, L)
    answer: Tensor  # (B, L) next item at every position, 0 where there is none; (B,) of prefixes
    negative: Tensor | None = None  # as answer: a sampled item that the user has not touched
    partner: Tensor | None = None  # (B, L): another sequence with the same answer


class TrainingRows(Protocol):
    """What an epoch goes through, in batches of random rows."""

    @property
    def item_seq(self) -> Tensor:
        """Sequences (n, L) that stand for all rows, from which intents are found; on the CPU."""

    def order(self, rng: torch.Generator) -> Tensor:
        """The rows of an epoch in random order, (n,)."""

    def batch(self, rows: Tensor, rng: torch.Generator, device: torch.device) -> Batch:
        """The batch of these rows."""


class TrainingSequences:
    """Windows over the train histories, and negatives that the user has not touched in train.

    Every position of a window predicts its next item. A window is held once, with the item behind
    it, as numbers of 32 bits.
    """

    def __init__(self, dataset: Dataset, options: EncoderOptions) -> None:
        known, self._length = dataset.before("train"), options.max_seq_len
        self._rows = dataset.n_items + 1
        self._draws_negatives = options.next_item_loss == "sampled"
        self.user_idx, windows = _windows(known, options)
        if not len(self.user_idx):
            raise InvalidInputError(
                "no user has two train interactions, so there is no next item to learn from"
            )
        self._windows = torch.from_numpy(windows)  # (n, L + 1)
        self._touched = torch.from_numpy(np.unique(known.user_idx * self._rows + known.item_idx))

    @property
    def item_seq(self) -> Tensor:
        """Inputs of all windows, (n, L)."""
        return self._windows[:, :-1]

    def order(self, rng: torch.Generator) -> Tensor:
        """All windows in random order."""
        return torch.randperm(len(self._windows), generator=rng)

    def batch(self, rows: Tensor, rng: torch.Generator, device: torch.device) -> Batch:
        """The windows of these rows with fresh negatives."""
        windows = self._windows[rows].long().to(device)
        item_seq = windows[:, :-1].contiguous()
        answer = windows[:, 1:].masked_fill(item_seq == 0, 0)
        if not self._draws_negatives:
            return Batch(item_seq, answer)
        negative = self._negatives(torch.from_numpy(self.user_idx)[rows], rng)
        return Batch(item_seq, answer, negative.to(device))

    def _negatives(self, user_idx: Tensor, rng: torch.Generator) -> Tensor:
        shape = (len(user_idx), self._length)
        drawn = torch.randint(1, self._rows, shape, generator=rng)
        for _ in range(20):  # who has touched nearly everything keeps what is drawn last
            key = user_idx[:, None] * self._rows + drawn
            place = torch.searchsorted(self._touched, key).clamp(max=len(self._touched) - 1)
            is_touched = self._touched[place] == key
            n_again = int(is_touched.sum())
            if n_again == 0:
                break
            drawn[is_touched] = torch.randint(1, self._rows, (n_again,), generator=rng)
        return drawn


def _windows(known: Histories, options: EncoderOptions) -> tuple[IntArray, NDArray[np.int32]]:
    """User of every window, and its items (n, L + 1), the newest right-aligned.

    With `windows="all"` older items are cut into further windows that touch but don't overlap.
    """
    length = options.max_seq_len
    n_windows = 1
    if options.windows == "all":
        n_windows = max(1, int(np.ceil((known.lengths.max() - 1) / length)))
    # Drop `number * length` newest items of whoever has that many left, then read the rest.
    users = [np.flatnonzero(known.lengths - n * length >= 2) for n in range(n_windows)]
    windows = np.empty((sum(map(len, users)), length + 1), np.int32)
    filled = 0
    for number, user_idx in enumerate(users):
        starts, ends = (bounds[user_idx] for bounds in (known.offsets[:-1], known.offsets[1:]))
        place = (ends - number * length)[:, None] - length - 1 + np.arange(length + 1)[None, :]
        items = known.item_idx[np.maximum(place, 0)]
        windows[filled : filled + len(user_idx)] = np.where(place >= starts[:, None], items, 0)
        filled += len(user_idx)
    return np.concatenate(users), windows


class Encoder(ItemModel):
    """Item sequences to user vectors in the space of its item vectors.

    Subclasses set `name` and `options_type`, and override what they do differently: the network
    (:meth:`build`), the rows it is trained on (:meth:`training_rows`), :meth:`loss`,
    :meth:`start_epoch`, :meth:`score`.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[EncoderOptions]] = EncoderOptions
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "dropout": (0.1, 0.3, 0.5, 0.7),
        "batch_size": (64, 128, 256),
        "n_layers": (1, 2, 3),
    }
    """Values of options that tuning tries, the defaults among them."""

    def __init__(self, n_items: int, options: EncoderOptions | None = None) -> None:
        super().__init__()
        self.options = options or self.options_type()
        self.n_items = n_items
        self.transformer = self.build()
        self.runtime: Callable[[Tensor], Tensor] | None = None
        """Computes :meth:`encode` instead of the transformer, on the CPU; none while training."""

    def build(self) -> CausalTransformer:
        """The network; its weights are set by :meth:`start`."""
        return CausalTransformer(self.n_items, self.options)

    @property
    def item_vectors(self) -> Tensor:
        """Item vectors, shape (n_items + 1, embedding_dim); row 0 (padding) is zero."""
        return self.transformer.items.weight.detach()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.transformer.items.weight.device

    def start(self, seed: int, item_vectors: Tensor | None) -> None:
        """Set fresh weights; `item_vectors` (n_items + 1, d) become the item table if given."""
        self.transformer.initialise(torch_generator(seed, self.name, "start"))
        if item_vectors is not None:
            self.start_items(item_vectors)

    @property
    def item_tables(self) -> tuple[Tensor, ...]:
        """All weights with a row an item, each (n_items + 1, d)."""
        return (self.transformer.items.weight,)

    def sequences(
        self,
        histories: Histories,
        *,
        side: Literal["left", "right"] = "left",
        user_idx: IntArray | None = None,
    ) -> Tensor:
        """The newest items of all users, or of some, padded as :meth:`encode` reads them."""
        length = self.options.max_seq_len
        return torch.from_numpy(histories.padded(length, side=side, user_idx=user_idx))

    def intent_vectors(self, item_seq: Tensor) -> Tensor:
        """Vectors (B, d) of histories (B, L) that intents are made of; here those of `encode`."""
        return self.encode(item_seq)

    @torch.no_grad()
    def encode(self, item_seq: Tensor) -> Tensor:
        """User vectors (B, embedding_dim) of histories (B, max_seq_len), newest item last.

        Histories are left-padded with 0. An empty history gives a finite vector that depends on
        nothing.
        """
        return self.last_states(item_seq.to(self.device), side_by_side=shared)

    def score(self, user_vectors: Tensor) -> Tensor:
        """How well every item fits users (B, embedding_dim): a new tensor (B, n_items + 1)."""
        return user_vectors @ self.item_vectors.T

    def last_states(self, item_seq: Tensor, *, side_by_side: MapBlocks = map) -> Tensor:
        """States of the last positions, as :meth:`encode`, with gradients in training."""
        # Sequences of one length stand together: their common padding is cut off.
        order = (item_seq != 0).sum(1).argsort()
        blocks = item_seq[order].split(at_once(item_seq, ENCODE_ROWS))
        vectors = torch.cat(list(side_by_side(self._last, blocks)))
        return torch.empty_like(vectors).index_copy(0, order, vectors)

    def _last(self, item_seq: Tensor) -> Tensor:
        if self.runtime is None or self.training or item_seq.is_cuda:
            return self.transformer.last(item_seq)
        return self.runtime(self.transformer.without_common_padding(item_seq))

    def training_rows(self, dataset: Dataset) -> TrainingRows:
        """What an epoch goes through."""
        return TrainingSequences(dataset, self.options)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Loss of a batch, a scalar."""
        return self.next_item_loss(self.transformer(batch.item_seq), batch)

    def next_item_loss(self, states: Tensor, batch: Batch) -> Tensor:
        """The next-item part of the loss, given the states (B, L, d)."""
        items = self.transformer.items
        if batch.negative is None:
            return full_cross_entropy(states, batch.answer, items.weight)
        return sampled_binary_loss(
            states, batch.answer, batch.negative, items.weight, touched=items.sparse
        )

    def start_epoch(self, rows: TrainingRows, seed: int) -> None:
        """Prepare an epoch, in evaluation mode (for instance: find intents)."""

    def save(self, folder: Path, dataset: Dataset) -> None:
        """Write weights (safetensors) and what is needed to load them (JSON) into `folder`."""
        about = {"encoder": self.name, "options": self.options.model_dump(mode="json")}
        save_model(self, folder, "encoder", dataset, about)
