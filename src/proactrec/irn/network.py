r"""IRN: a causal transformer that sees the objective from every position and writes a path to it.

Source: Zhu et al. 2023, *Influential Recommender System*, arXiv:2211.10002, with the sizes of
ITMPRec's code. The objective comes first here and last in the paper: attention knows no order but
that of positions and mask, and these are the paper's. So the history is an ordinary causal
sequence, and its newest item is the last position. Differences: docs/methods/irn.md.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.config import MOST_DIM, MOST_LAYERS, MOST_LEN, Options
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import ENCODE_ROWS
from proactrec.encoders.layers import TransformerLayer, check_transformer, dropout
from proactrec.encoders.saved import ItemModel, read_model, save_model
from proactrec.errors import InvalidInputError
from proactrec.gpu import at_once
from proactrec.ranking import best_item
from proactrec.rng import torch_generator
from proactrec.training import StoppingOptions


class IRNOptions(Options):
    """Settings of IRN; the values are those of ITMPRec's code."""

    embedding_dim: int = Field(
        64, ge=1, le=MOST_DIM, description="length of item vectors and states"
    )
    user_dim: int = Field(32, ge=1, le=MOST_DIM, description="length of user vectors")
    n_layers: int = Field(2, ge=1, le=MOST_LAYERS, description="transformer layers")
    n_heads: int = Field(2, ge=1, description="attention heads; they share embedding_dim")
    inner_dim: int = Field(256, ge=1, le=MOST_DIM, description="width inside the feed-forward part")
    dropout: float = Field(0.05, ge=0, lt=1, description="on input, attention and residuals")
    max_seq_len: int = Field(
        50, ge=2, le=MOST_LEN, description="newest items that are read, plus the objective"
    )
    min_piece_len: int = Field(
        20, ge=2, le=MOST_LEN, description="shortest piece of a history to train on"
    )
    history_weight: float = Field(0.05, description="mask value of the history's items (w_h)")
    objective_weight: float = Field(1.0, ge=0, description="factor of impressionability (w_obj)")
    objective_sees: Literal["itself", "history"] = Field(
        "itself",
        description="what the objective's own position reads; history, as published, tells every "
        "position of training what comes after it",
    )
    item_start: Literal["graphau", "random"] = Field(
        "graphau", description="item vectors start from interest vectors, or from N(0, 1)"
    )
    learning_rate: float = Field(8e-3, gt=0, le=100, description="of Adam, at the start")
    halve_after: int = Field(
        4, ge=1, description="epochs without a better validation loss that halve the learning rate"
    )
    batch_size: int = Field(256, ge=1, le=1_000_000, description="pieces in a batch")
    stopping: StoppingOptions = StoppingOptions(n_epochs=300, patience=10, min_epochs=10)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_transformer(self.embedding_dim, self.n_heads, self.n_layers, self.inner_dim)
        if self.min_piece_len > self.max_seq_len:
            raise InvalidInputError(
                f"min_piece_len must be at most max_seq_len, "
                f"got {self.min_piece_len} and {self.max_seq_len}"
            )
        return self


class DecoderLayer(TransformerLayer):
    r"""Attention, a learned bias, feed-forward (ReLU); each with dropout, residual and LayerNorm.

    The bias is what cross-attention to a memory of zeros comes to: its values are all
    :math:`b_v`, so it gives :math:`W_o b_v + b_o` whatever the weights, the same for everybody.
    """

    def __init__(self, dim: int, n_heads: int, inner_dim: int, dropout: float) -> None:
        super().__init__(dim, n_heads, dropout)
        self.expand, self.contract = nn.Linear(dim, inner_dim), nn.Linear(inner_dim, dim)
        self.memory_bias, self.memory_norm = nn.Parameter(torch.zeros(dim)), nn.LayerNorm(dim)

    def initialise(self, rng: torch.Generator) -> None:
        """PyTorch's start of its decoder layer: Xavier for attention, Kaiming for the rest."""
        with torch.no_grad():
            nn.init.xavier_uniform_(self.query_key_value.weight, generator=rng)
            for bias in (self.query_key_value.bias, self.out.bias, self.memory_bias):
                bias.zero_()
            _start_linear(self.expand, rng)
            _start_linear(self.contract, rng)
            self.out.weight.uniform_(-1, 1, generator=rng).div_(math.sqrt(self.out.in_features))

    def _transform(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.attention_norm(x + self._drop(self.out(attended)))
        x = self.memory_norm(x + self._drop(self.memory_bias.expand_as(x)))
        wide = self._drop(F.relu(self.expand(x), inplace=True))
        normed: Tensor = self.output_norm(x + self._drop(self.contract(wide)))
        return normed


class IRN(ItemModel):
    """Influential Recommender Network."""

    positions: Tensor

    def __init__(self, n_items: int, n_users: int, options: IRNOptions | None = None) -> None:
        super().__init__()
        self.options = options = options or IRNOptions()
        self.n_items, self.n_users, dim = n_items, n_users, options.embedding_dim
        self.items = nn.Embedding(n_items + 1, dim, padding_idx=0)
        self.users = nn.Embedding(n_users, options.user_dim)
        self.impression = nn.Linear(options.user_dim, 1)
        self.layers = nn.ModuleList(
            DecoderLayer(dim, options.n_heads, options.inner_dim, options.dropout)
            for _ in range(options.n_layers)
        )
        self.output = nn.Linear(dim, n_items + 1)
        self.register_buffer("positions", sinusoid(options.max_seq_len, dim), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.items.weight.device

    @property
    def item_tables(self) -> tuple[Tensor, ...]:
        """What items are read by, and what they are scored by."""
        return self.items.weight, self.output.weight, self.output.bias

    @property
    def user_tables(self) -> tuple[Tensor, ...]:
        """User vectors."""
        return (self.users.weight,)

    def start(self, seed: int, item_vectors: Tensor | None = None) -> None:
        """Set fresh weights; `item_vectors` (n_items + 1, d) become the item table if given."""
        rng = torch_generator(seed, "irn", "start")
        with torch.no_grad():
            self.items.weight.normal_(generator=rng)
            self.users.weight.normal_(generator=rng)
            for layer in self._decoders():
                layer.initialise(rng)
            _start_linear(self.impression, rng)
            _start_linear(self.output, rng)
            for table in self.item_tables:
                table[0] = 0
        if item_vectors is not None:
            self.start_items(item_vectors)

    def impressionability(self, user_idx: Tensor) -> Tensor:
        """How strongly users (B,) are drawn to their objective, :math:`r_u`, unbounded: (B, 1)."""
        impression: Tensor = self.impression(self.users(user_idx))
        return impression

    def forward(self, history: Tensor, user_idx: Tensor, objective: Tensor) -> Tensor:
        """States of all positions of histories.

        Parameters
        ----------
        history : int tensor, shape (B, w), w < max_seq_len
            Left-padded with 0, newest item last.
        user_idx, objective : int tensors, shape (B,)

        Returns
        -------
        float tensor, shape (B, w, embedding_dim)
        """
        x, mask = self._embed(history, objective), self.mask(history, user_idx)
        for layer in self.layers:
            x = layer(x, mask)
        return x[:, 1:]

    def mask(self, history: Tensor, user_idx: Tensor) -> Tensor:
        """What is added to attention scores, the personalised impressionability mask.

        The objective's column holds :math:`w_{obj} r_u` in every row. The other columns hold
        :math:`w_h` where the key is an item that is not after the query, else -inf. Position 0 is
        the objective's own; it reads itself only, or all items with `objective_sees="history"`.

        Parameters
        ----------
        history : int tensor, shape (B, w)
        user_idx : int tensor, shape (B,)

        Returns
        -------
        float tensor, shape (B, 1, w + 1, w + 1)
            Axes: piece, head, query, key.
        """
        n_rows, width = history.shape
        is_allowed = torch.ones(width + 1, width, dtype=torch.bool, device=history.device).tril(-1)
        if self.options.objective_sees == "history":
            is_allowed[0] = True
        is_allowed = is_allowed & (history != 0)[:, None, :]  # (B, w + 1, w)
        items = torch.full_like(is_allowed, -torch.inf, dtype=self.positions.dtype)
        items.masked_fill_(is_allowed, self.options.history_weight)
        objective = self.options.objective_weight * self.impressionability(user_idx)
        column = objective[:, :, None].expand(n_rows, width + 1, 1)
        return torch.cat([column, items], 2)[:, None]

    @torch.no_grad()
    def state_before_objective(
        self, history: Tensor, user_idx: Tensor, objective: Tensor
    ) -> Tensor:
        """State of the newest position of histories, as the last of :meth:`forward`.

        Histories of one length stand together, their common padding is cut off, and the last layer
        is computed for the newest position only.

        Parameters
        ----------
        history : int tensor, shape (B, max_seq_len - 1)
            Left-padded with 0, newest item last; may be empty.
        user_idx, objective : int tensors, shape (B,)

        Returns
        -------
        float tensor, shape (B, embedding_dim)
        """
        history, user_idx, objective = (x.to(self.device) for x in (history, user_idx, objective))
        order = (history != 0).sum(1).argsort()
        states = torch.cat(
            [
                self._newest(history[rows], user_idx[rows], objective[rows])
                for rows in order.split(at_once(history, ENCODE_ROWS))
            ]
        )
        return torch.empty_like(states).index_copy(0, order, states)

    def score(self, states: Tensor) -> Tensor:
        """Logits of every item for states (B, embedding_dim): a new tensor (B, n_items + 1).

        Column 0, padding, means nothing.
        """
        return F.linear(states, self.output.weight.detach(), self.output.bias.detach())

    @torch.no_grad()
    def paths(
        self,
        history: Tensor,
        user_idx: Tensor,
        objective: Tensor,
        penalty: Tensor,
        n_steps: int,
    ) -> Tensor:
        """Items that lead to the objective, each written after those before it.

        A path doesn't end with its objective: it goes on to `n_steps` items.

        Parameters
        ----------
        history : int tensor, shape (B, max_seq_len - 1)
        user_idx, objective : int tensors, shape (B,)
        penalty : float tensor, shape (B, n_items + 1)
            -inf for what may not be on the path, else 0. Items of the history and of the path
            itself are left out anyway.
        n_steps : int

        Returns
        -------
        int tensor, shape (B, n_steps)
            0 where nothing is left.
        """
        history, steps = history.to(self.device), []
        penalty = penalty.to(self.device).scatter(1, history, -torch.inf)
        penalty[:, 0] = -torch.inf
        for _ in range(n_steps):
            states = self.state_before_objective(history, user_idx, objective)
            scores = self.score(states).add_(penalty)
            item_idx = best_item(scores)[:, None]
            item_idx = item_idx.masked_fill(scores.gather(1, item_idx) == -torch.inf, 0)
            penalty.scatter_(1, item_idx, -torch.inf)
            history = torch.cat([history[:, 1:], item_idx], 1)
            steps.append(item_idx)
        return torch.cat(steps, 1)

    def save(self, folder: Path, dataset: Dataset) -> None:
        """Write weights (safetensors) and what is needed to load them (JSON) into `folder`."""
        about = {"options": self.options.model_dump(mode="json")}
        save_model(self, folder, "irn", dataset, about)

    def _embed(self, history: Tensor, objective: Tensor) -> Tensor:
        """Objective, then history, with the positions that the paper gives them: (B, w + 1, d)."""
        sequence = torch.cat([objective[:, None], history], 1)
        width = history.shape[1]
        positions = self.positions[-width - 1 :].roll(1, 0)  # the objective stands last in line
        x = self.items(sequence) * math.sqrt(self.options.embedding_dim) + positions
        return dropout(x, self.options.dropout) if self.training else x

    def _newest(self, history: Tensor, user_idx: Tensor, objective: Tensor) -> Tensor:
        # Padding is never a key, so cutting off what all share changes nothing.
        if not history.is_cuda:  # which would have to be waited for
            history = history[:, int((history != 0).any(0).int().argmax()) :]
        x, mask = self._embed(history, objective), self.mask(history, user_idx)
        *below, last = self._decoders()
        for layer in below:
            x = layer(x, mask)
        return last.last(x, mask)

    def _decoders(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


def sinusoid(n_positions: int, dim: int) -> Tensor:
    """Position vectors: sines on even and cosines on odd entries, (n_positions, dim)."""
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000) / dim))
    angle = torch.arange(n_positions)[:, None] * rate[None, :]
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :dim]


def load_irn(
    folder: Path,
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    content: Tensor | None = None,
) -> IRN:
    """The model that :meth:`IRN.save` wrote, in evaluation mode on the CPU, for these users.

    User n is the one with `user_ids[n]`, item n + 1 the one with `item_ids[n]`. A user that the
    model doesn't know has the mean impressionability. For items that it doesn't know, `content`
    and errors see :func:`proactrec.encoders.saved.read_model`.
    """

    def build(about: Mapping[str, Any]) -> IRN:
        sizes = len(about["item_ids"]), len(about["user_ids"])
        return IRN(*sizes, IRNOptions(**about["options"]))

    return read_model(
        folder, "irn", build, called="IRN", item_ids=item_ids, content=content, user_ids=user_ids
    )


def _start_linear(layer: nn.Linear, rng: torch.Generator) -> None:
    """PyTorch's start of a linear layer: U(-1/√n, 1/√n) for weight and bias."""
    bound = 1 / math.sqrt(layer.in_features)
    for weight in (layer.weight, layer.bias):
        weight.uniform_(-bound, bound, generator=rng)
