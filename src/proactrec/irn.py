r"""IRN: a causal transformer that sees the objective from every position and writes a path to it.

Source: Zhu et al. 2023, *Influential Recommender System*, arXiv:2211.10002, with the sizes of
ITMPRec's code. The objective comes first here and last in the paper: attention knows no order but
that of positions and mask, and these are the paper's. So the history is an ordinary causal
sequence, and its newest item is the last position. Differences: docs/methods/irn.md.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.config import Options
from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.base import ENCODE_ROWS
from proactrec.encoders.layers import TransformerLayer, dropout
from proactrec.encoders.saved import read_model, save_model
from proactrec.errors import InvalidInputError
from proactrec.progress import Progress, silent
from proactrec.ranking import best_item
from proactrec.rng import generator, torch_generator
from proactrec.training import StoppingOptions, TrainingRecord, train
from proactrec.types import IntArray

VALIDATION_SHARE = 0.1


class IRNOptions(Options):
    """Settings of IRN; the values are those of ITMPRec's code."""

    embedding_dim: int = Field(64, ge=1, description="length of item vectors and states")
    user_dim: int = Field(32, ge=1, description="length of user vectors")
    n_layers: int = Field(2, ge=1, description="transformer layers")
    n_heads: int = Field(2, ge=1, description="attention heads; they share embedding_dim")
    inner_dim: int = Field(256, ge=1, description="width inside the feed-forward part")
    dropout: float = Field(0.05, ge=0, lt=1, description="on input, attention and residuals")
    max_seq_len: int = Field(50, ge=2, description="newest items that are read, plus the objective")
    min_piece_len: int = Field(20, ge=2, description="shortest piece of a history to train on")
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
    batch_size: int = Field(256, ge=1, description="pieces in a batch")
    stopping: StoppingOptions = StoppingOptions(n_epochs=300, patience=10, min_epochs=10)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.embedding_dim % self.n_heads:
            raise InvalidInputError(
                f"embedding_dim must be a multiple of n_heads, "
                f"got {self.embedding_dim} and {self.n_heads}"
            )
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


class IRN(nn.Module):
    """Influential Recommender Network.

    Parameters
    ----------
    n_items, n_users : int
    options : IRNOptions, optional
    """

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

    def start(self, seed: int, item_vectors: Tensor | None = None) -> None:
        """Set fresh weights; `item_vectors` (n_items + 1, d) become the item table if given."""
        rng, table = torch_generator(seed, "irn", "start"), self.items.weight
        if item_vectors is not None and item_vectors.shape != table.shape:
            raise InvalidInputError(
                f"item_vectors must have shape {tuple(table.shape)}, "
                f"got {tuple(item_vectors.shape)}"
            )
        with torch.no_grad():
            table.normal_(generator=rng)
            self.users.weight.normal_(generator=rng)
            for layer in self._decoders():
                layer.initialise(rng)
            _start_linear(self.impression, rng)
            _start_linear(self.output, rng)
            if item_vectors is not None:
                table.copy_(item_vectors)
            for padding in (table, self.output.weight, self.output.bias):
                padding[0] = 0

    def impressionability(self, user_idx: Tensor) -> Tensor:
        """How strongly users (B,) are drawn to their objective, r_u, unbounded: (B, 1)."""
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

        The objective's column holds w_obj r_u in every row. The other columns hold w_h where the
        key is an item that is not after the query, else -inf. Position 0 is the objective's own;
        it reads itself only, or all items with `objective_sees="history"`.

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
                for rows in order.split(ENCODE_ROWS)
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
        about = {
            "n_items": self.n_items,
            "n_users": self.n_users,
            "options": self.options.model_dump(mode="json"),
        }
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


class Pieces(NamedTuple):
    """Parts of histories to train on: `item_seq` is left-padded, its last item the objective."""

    user_idx: IntArray  # (n_pieces,)
    item_seq: IntArray  # (n_pieces, max_seq_len)

    def of(self, rows: IntArray) -> "Pieces":
        """These pieces only."""
        return Pieces(self.user_idx[rows], self.item_seq[rows])


def cut_pieces(known: Histories, options: IRNOptions, rng: np.random.Generator) -> Pieces:
    """Histories cut from the oldest item on into pieces that touch but don't overlap.

    Every piece has a random length between `min_piece_len` and `max_seq_len`; a user's last piece
    takes what is left, and is left out if that is a single item.
    """
    shortest, longest = options.min_piece_len, options.max_seq_len
    n_most = max(1, math.ceil(known.lengths.max(initial=0) / shortest))
    drawn = rng.integers(shortest, longest + 1, (len(known.lengths), n_most))
    ends = np.minimum(drawn.cumsum(1), known.lengths[:, None])  # (n_users, n_most)
    lengths = np.diff(ends, axis=1, prepend=0)
    user_idx, number = (lengths >= 2).nonzero()
    length, end = lengths[user_idx, number], ends[user_idx, number]
    within = np.arange(longest)[None, :] - longest + end[:, None]  # place in the history
    is_inside = within >= (end - length)[:, None]
    source = known.offsets[:-1][user_idx][:, None] + within
    return Pieces(user_idx, np.where(is_inside, known.item_idx[np.where(is_inside, source, 0)], 0))


def split_pieces(pieces: Pieces, rng: np.random.Generator) -> tuple[Pieces, Pieces]:
    """Pieces to train on and a random tenth, at least one, to validate with."""
    n_pieces = len(pieces.user_idx)
    if n_pieces < 2:
        raise InvalidInputError(
            f"IRN needs two pieces of train histories, to train and to validate, got {n_pieces}"
        )
    order = rng.permutation(n_pieces)
    n_validation = max(1, round(n_pieces * VALIDATION_SHARE))
    return pieces.of(order[n_validation:]), pieces.of(order[:n_validation])


def next_item_losses(model: IRN, item_seq: Tensor, user_idx: Tensor) -> Tensor:
    r"""Cross-entropy :math:`-\ln p(i_{q+1} \mid i_{\le q}, o, u)` at every position with an answer.

    The last answer is the objective itself, which the model sees.

    Parameters
    ----------
    item_seq : int tensor, shape (B, max_seq_len)
    user_idx : int tensor, shape (B,)

    Returns
    -------
    float tensor, shape (n_answers,)
        The pieces' items in order; padding is no answer.
    """
    answer = item_seq[:, 1:]
    states = model(item_seq[:, :-1], user_idx, item_seq[:, -1])  # (B, L - 1, d)
    is_answer = answer != 0
    output = model.output
    logits = F.linear(states[is_answer], output.weight[1:], output.bias[1:])
    return F.cross_entropy(logits, answer[is_answer] - 1, reduction="none")


def fit_irn(
    dataset: Dataset,
    item_vectors: Tensor | None = None,
    options: IRNOptions | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[IRN, TrainingRecord]:
    """Train IRN on pieces of train histories; the epoch with the least validation loss is kept.

    The record's score is minus the validation loss, on a tenth of the pieces. Neither the
    validation nor the test items of the data set are in any piece.

    Parameters
    ----------
    item_vectors : float tensor, shape (n_items + 1, embedding_dim), optional
        Where the item table starts (interest vectors); required when `item_start` is "graphau".
    """
    options = options or IRNOptions()
    if options.item_start == "graphau" and item_vectors is None:
        raise InvalidInputError("item_vectors are needed for item_start='graphau', got None")
    model = IRN(dataset.n_items, dataset.n_users, options)
    model.start(seed, item_vectors if options.item_start == "graphau" else None)
    model.to(device)
    rng = generator(seed, "irn", "pieces")
    pieces, held_out = split_pieces(cut_pieces(dataset.before("train"), options, rng), rng)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), eps=1e-9
    )
    record = train(
        model,
        optimizer,
        run_epoch=lambda rng: _run_epoch(model, optimizer, pieces, rng),
        validate=lambda: -validation_loss(model, held_out),
        stopping=options.stopping,
        seed=seed,
        stage="irn",
        learning_rate=lambda record: learning_rate_after(record, options),
        checkpoint=checkpoint,
        progress=progress,
    )
    return model, record


def validation_loss(model: IRN, pieces: Pieces) -> float:
    """Mean of :func:`next_item_losses` over all answers of the pieces."""
    item_seq, user_idx = _tensors(model, pieces)
    with torch.no_grad():
        blocks = zip(item_seq.split(64), user_idx.split(64), strict=True)
        return float(torch.cat([next_item_losses(model, *block) for block in blocks]).mean())


def learning_rate_after(record: TrainingRecord, options: IRNOptions) -> float:
    """Learning rate after these epochs: halved after every `halve_after` without a better score.

    A function of the record alone, so that a resumed run goes on as it would have.
    """
    rate, best, n_stale = options.learning_rate, -math.inf, 0
    for epoch in record.epochs:
        n_stale = 0 if epoch.score > best else n_stale + 1
        best = max(best, epoch.score)
        if n_stale == options.halve_after:
            rate, n_stale = rate / 2, 0
    return rate


def load_irn(folder: Path, dataset: Dataset) -> IRN:
    """The model that :meth:`IRN.save` wrote, in evaluation mode on the CPU.

    Raises
    ------
    ArtefactError
        If a file is missing or damaged, or the model was trained on another data set.
    """

    def build(about: Mapping[str, Any]) -> IRN:
        return IRN(about["n_items"], about["n_users"], IRNOptions(**about["options"]))

    return read_model(folder, "irn", dataset, build, called="IRN")


def _run_epoch(
    model: IRN, optimizer: torch.optim.Optimizer, pieces: Pieces, rng: torch.Generator
) -> float:
    item_seq, user_idx = _tensors(model, pieces)
    losses = []
    for rows in torch.randperm(len(item_seq), generator=rng).split(model.options.batch_size):
        rows = rows.to(model.device)
        optimizer.zero_grad()
        loss = next_item_losses(model, item_seq[rows], user_idx[rows]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def _tensors(model: IRN, pieces: Pieces) -> tuple[Tensor, Tensor]:
    """Items and users of pieces, where the model is."""
    item_seq, user_idx = torch.from_numpy(pieces.item_seq), torch.from_numpy(pieces.user_idx)
    return item_seq.to(model.device), user_idx.to(model.device)


def _start_linear(layer: nn.Linear, rng: torch.Generator) -> None:
    """PyTorch's start of a linear layer: U(-1/√n, 1/√n) for weight and bias."""
    bound = 1 / math.sqrt(layer.in_features)
    for weight in (layer.weight, layer.bias):
        weight.uniform_(-bound, bound, generator=rng)
