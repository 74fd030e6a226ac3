r"""ProRL's planner: an encoder reads history and target, a decoder writes the path or stops.

Source: Hou et al. 2026, arXiv:2605.28293, whose T5 of semantic ids this is in small, with one token
an item: the same method by the paper's own words. Differences: docs/methods/prorl.md.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.layers import dropout
from proactrec.encoders.saved import ItemModel, read_model, save_model
from proactrec.prorl.options import ProRLOptions
from proactrec.rng import torch_generator

STOP = 0
"""Column of logits that ends a path: no item is 0."""


class Memory(NamedTuple):
    """What the encoder made of prompts."""

    states: Tensor  # (n, history_len + 1, d)
    is_read: Tensor  # (n, 1, 1, history_len + 1) bool: not padding

    def repeated(self, n_times: int) -> "Memory":
        """Every row so often, one after the other."""
        return Memory(*(part.repeat_interleave(n_times, 0) for part in self))


class Attention(nn.Module):
    """Multi-head attention without biases."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, read: Tensor, mask: Tensor) -> Tensor:
        """What positions of `x` (n, L, d) read of `read` (n, M, d), where `mask` is True."""
        query, key, value = (
            part.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(read), self.value(read))
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        found: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return found


class Layer(nn.Module):
    """Pre-normed attention, attention to a memory where it `has_memory`, and feed-forward."""

    def __init__(self, options: ProRLOptions, *, has_memory: bool) -> None:
        super().__init__()
        dim, self.rate, self.has_memory = options.embedding_dim, options.dropout, has_memory
        self.own, self.own_norm = Attention(dim, options.n_heads), nn.LayerNorm(dim)
        if has_memory:
            self.other, self.other_norm = Attention(dim, options.n_heads), nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, options.inner_dim, bias=False)
        self.contract = nn.Linear(options.inner_dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor, memory: Memory | None = None) -> Tensor:
        """New states (n, L, d); positions read each other where `mask` is True."""
        normed = self.own_norm(x)
        x = x + self._drop(self.own(normed, normed, mask))
        if memory is not None:
            read = self.other(self.other_norm(x), memory.states, memory.is_read)
            x = x + self._drop(read)
        return x + self._drop(self.contract(self._drop(F.relu(self.expand(self.norm(x))))))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate) if self.training else x


class ProRL(ItemModel):
    """The planner, and the centre of its rewards."""

    reward_count: Tensor
    reward_mean: Tensor
    reward_squares: Tensor
    is_frozen: Tensor

    def __init__(self, n_items: int, options: ProRLOptions | None = None) -> None:
        super().__init__()
        self.options = options = options or ProRLOptions()
        self.n_items, dim = n_items, options.embedding_dim
        self.items = nn.Embedding(n_items + 1, dim, padding_idx=0)
        self.stop, self.begin = (nn.Parameter(torch.zeros(dim)) for _ in range(2))
        self.read_at = nn.Parameter(torch.zeros(options.history_len + 1, dim))
        self.written_at = nn.Parameter(torch.zeros(options.max_path_len + 1, dim))
        self.encoder, self.decoder = (
            nn.ModuleList(Layer(options, has_memory=has) for _ in range(options.n_layers))
            for has in (False, True)
        )
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.register_buffer("reward_count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("reward_mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("reward_squares", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("is_frozen", torch.zeros((), dtype=torch.bool))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.items.weight.device

    @property
    def item_tables(self) -> tuple[Tensor, ...]:
        """What items are read and scored by."""
        return (self.items.weight,)

    def start(self, seed: int, item_vectors: Tensor | None = None) -> None:
        """Set fresh weights: tables from N(0, 1), layers from N(0, 1 / width).

        `item_vectors` (n_items + 1, d) are centred and scaled to the length √d of such rows.
        """
        rng = torch_generator(seed, "prorl", "start")
        with torch.no_grad():
            self.items.weight.normal_(generator=rng)
            for vector in (self.stop, self.begin, self.read_at, self.written_at):
                vector.normal_(generator=rng)
            for part in self.modules():
                if isinstance(part, nn.Linear):
                    part.weight.normal_(0, part.in_features**-0.5, generator=rng)
            self.items.weight[0] = 0
        if item_vectors is not None:
            rows = item_vectors - item_vectors[1:].mean(0)
            self.start_items(F.normalize(rows, dim=1) * rows.shape[1] ** 0.5)

    def read(self, history: Tensor, target: Tensor) -> Memory:
        """What the encoder makes of histories (n, history_len), left-padded, and targets (n,)."""
        prompt = torch.cat([history, target[:, None]], 1)
        x, is_read = self.items(prompt) + self.read_at, (prompt != 0)[:, None, None]
        for layer in self.encoder:
            x = layer(x, is_read)
        return Memory(self.encoder_norm(x), is_read)

    def states(self, memory: Memory, path: Tensor) -> Tensor:
        """States before every item of paths (n, T), right-padded, and after the last.

        Returns
        -------
        float tensor, shape (n, T + 1, embedding_dim)
            Those after the end of a path mean nothing.
        """
        begin = self.begin.expand(len(path), 1, -1)
        x = torch.cat([begin, self.items(path)], 1) + self.written_at[: path.shape[1] + 1]
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            x = layer(x, mask, memory)
        normed: Tensor = self.decoder_norm(x)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """Scores of the end of the path (column 0) and of all items: (..., n_items + 1)."""
        table = torch.cat([self.stop[None], self.items.weight[1:]])
        scores: Tensor = F.linear(states, table) / math.sqrt(self.options.embedding_dim)
        return scores

    def save(self, folder: Path, dataset: Dataset) -> None:
        """Write weights (safetensors) and what is needed to load them (JSON) into `folder`."""
        save_model(
            self, folder, "prorl", dataset, {"options": self.options.model_dump(mode="json")}
        )


def load_prorl(folder: Path, item_ids: Sequence[str], content: Tensor | None = None) -> ProRL:
    """The model that :meth:`ProRL.save` wrote, in evaluation mode on the CPU, for these items.

    For items that it doesn't know, `content` and errors see
    :func:`proactrec.encoders.saved.read_model`.
    """

    def build(about: Mapping[str, Any]) -> ProRL:
        return ProRL(len(about["item_ids"]), ProRLOptions(**about["options"]))

    return read_model(folder, "prorl", build, called="ProRL", item_ids=item_ids, content=content)
