"""What every sequence encoder offers, and how one is trained, saved and measured."""

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.layers import CausalTransformer
from proactrec.encoders.losses import full_cross_entropy, sampled_binary_loss
from proactrec.encoders.saved import ItemModel, save_model
from proactrec.errors import InvalidInputError
from proactrec.gpu import at_once
from proactrec.rng import torch_generator
from proactrec.training import StoppingOptions
from proactrec.types import IntArray

NextItemLoss = Literal["sampled", "cross_entropy"]
ENCODE_ROWS = 48
"""Sequences encoded at once: large enough for the matrix products, small enough for the cache."""


class EncoderOptions(Options):
    """Settings that every encoder has; the values are those of ITMPRec's code."""

    embedding_dim: int = Field(64, ge=1, description="length of item and user vectors")
    n_layers: int = Field(2, ge=1, description="transformer layers")
    n_heads: int = Field(2, ge=1, description="attention heads; they share embedding_dim")
    dropout: float = Field(0.5, ge=0, lt=1, description="on input, attention and residuals")
    max_seq_len: int = Field(50, ge=1, description="newest items of a history that are read")
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
    batch_size: int = Field(256, ge=2, description="sequences in a batch")
    stopping: StoppingOptions = StoppingOptions(n_epochs=300, patience=20)

    @model_validator(mode="after")
    def _heads_share_dimensions(self) -> Self:
        if self.embedding_dim % self.n_heads:
            raise InvalidInputError(
                f"embedding_dim must be a multiple of n_heads, "
                f"got {self.embedding_dim} and {self.n_heads}"
            )
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

    Every position of a window predicts its next item.
    """

    def __init__(self, dataset: Dataset, options: EncoderOptions) -> None:
        known, self._length = dataset.before("train"), options.max_seq_len
        self._rows = dataset.n_items + 1
        self._draws_negatives = options.next_item_loss == "sampled"
        self.user_idx, inputs, answers = _windows(known, options)
        if not len(self.user_idx):
            raise InvalidInputError(
                "no user has two train interactions, so there is no next item to learn from"
            )
        self.item_seq, self.answer = torch.from_numpy(inputs), torch.from_numpy(answers)
        self._touched = torch.from_numpy(np.unique(known.user_idx * self._rows + known.item_idx))

    def order(self, rng: torch.Generator) -> Tensor:
        """All windows in random order."""
        return torch.randperm(len(self.item_seq), generator=rng)

    def batch(self, rows: Tensor, rng: torch.Generator, device: torch.device) -> Batch:
        """The windows of these rows with fresh negatives."""
        item_seq, answer = self.item_seq[rows].to(device), self.answer[rows].to(device)
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


def _windows(known: Histories, options: EncoderOptions) -> tuple[IntArray, IntArray, IntArray]:
    """User, inputs and answers of every window, the newest items right-aligned.

    With `windows="all"` older items are cut into further windows that touch but don't overlap.
    """
    length = options.max_seq_len
    users, inputs, answers = [], [], []
    n_windows = 1
    if options.windows == "all":
        n_windows = max(1, int(np.ceil((known.lengths.max() - 1) / length)))
    for number in range(n_windows):
        # Drop `number * length` newest items of whoever has that many left, then read the rest.
        left = known.lengths - number * length
        user_idx = np.flatnonzero(left >= 2)
        starts, ends = known.offsets[:-1][user_idx], known.offsets[:-1][user_idx] + left[user_idx]
        place = ends[:, None] - length - 1 + np.arange(length + 1)[None, :]
        is_inside = place >= starts[:, None]
        piece = np.where(is_inside, known.item_idx[np.maximum(place, 0)], 0)  # (n, length + 1)
        users.append(user_idx)
        inputs.append(piece[:, :-1])
        answers.append(np.where(piece[:, :-1] != 0, piece[:, 1:], 0))
    return np.concatenate(users), np.concatenate(inputs), np.concatenate(answers)


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

    def sequences(self, histories: Histories, *, side: Literal["left", "right"] = "left") -> Tensor:
        """The newest items of all users, padded, as :meth:`encode` reads them: (n_users, L)."""
        return torch.from_numpy(histories.padded(self.options.max_seq_len, side=side))

    def intent_vectors(self, item_seq: Tensor) -> Tensor:
        """Vectors (B, d) of histories (B, L) that intents are made of; here those of `encode`."""
        return self.encode(item_seq)

    @torch.no_grad()
    def encode(self, item_seq: Tensor) -> Tensor:
        """User vectors (B, embedding_dim) of histories (B, max_seq_len), newest item last.

        Histories are left-padded with 0. An empty history gives a finite vector that depends on
        nothing.
        """
        return self.last_states(item_seq.to(self.device))

    def score(self, user_vectors: Tensor) -> Tensor:
        """How well every item fits users (B, embedding_dim): a new tensor (B, n_items + 1)."""
        return user_vectors @ self.item_vectors.T

    def last_states(self, item_seq: Tensor) -> Tensor:
        """States of the last positions, as :meth:`encode`, with gradients in training."""
        # Sequences of one length stand together: their common padding is cut off.
        order = (item_seq != 0).sum(1).argsort()
        blocks = item_seq[order].split(at_once(item_seq, ENCODE_ROWS))
        vectors = torch.cat([self.transformer.last(block) for block in blocks])
        return torch.empty_like(vectors).index_copy(0, order, vectors)

    def training_rows(self, dataset: Dataset) -> TrainingRows:
        """What an epoch goes through."""
        return TrainingSequences(dataset, self.options)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Loss of a batch, a scalar."""
        return self.next_item_loss(self.transformer(batch.item_seq), batch)

    def next_item_loss(self, states: Tensor, batch: Batch) -> Tensor:
        """The next-item part of the loss, given the states (B, L, d)."""
        items = self.transformer.items.weight
        if batch.negative is None:
            return full_cross_entropy(states, batch.answer, items)
        return sampled_binary_loss(states, batch.answer, batch.negative, items)

    def start_epoch(self, rows: TrainingRows, seed: int) -> None:
        """Prepare an epoch, in evaluation mode (for instance: find intents)."""

    def save(self, folder: Path, dataset: Dataset) -> None:
        """Write weights (safetensors) and what is needed to load them (JSON) into `folder`."""
        about = {"encoder": self.name, "options": self.options.model_dump(mode="json")}
        save_model(self, folder, "encoder", dataset, about)
