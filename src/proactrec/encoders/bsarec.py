r"""BSARec: a transformer whose layers mix attention with a filter of the frequencies over time.

Source: Shin et al. 2024, arXiv:2312.10325. In every layer, with :math:`\mathrm{low}` the slowest
frequencies of :math:`x` along the positions and :math:`b` learned per channel,

.. math::
    y = \mathrm{low} + b^2 \odot (x - \mathrm{low}), \quad F = \mathrm{LN}(x + \mathrm{Drop}(y)),
    \quad x \leftarrow \alpha F + (1 - \alpha)\, \mathrm{LN}(x + \mathrm{Drop}(\mathrm{MHA}(x)))

and then the feed-forward part. The filter mixes all positions, padding and later ones too, so only
the last state is ever trained or used.
"""

import math
from functools import lru_cache
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, Encoder, TrainingRows
from proactrec.encoders.layers import CausalTransformer, TransformerLayer
from proactrec.encoders.losses import full_cross_entropy
from proactrec.encoders.prefixes import PrefixOptions, PrefixRows


class BSARecOptions(PrefixOptions):
    """Settings of BSARec; the values are those of its authors' code."""

    n_heads: int = Field(1, ge=1, description="attention heads; they share embedding_dim")
    filter_share: float = Field(
        0.9, ge=0, le=1, description="of the filter in a layer, the rest is attention (alpha)"
    )
    cutoff: int = Field(
        3, ge=0, description="the lowest floor(cutoff / 2) + 1 frequencies pass the filter whole"
    )


class BSARec(Encoder):
    """Cross-entropy of the next item, from the last position of every prefix."""

    name: ClassVar[str] = "bsarec"
    options_type: ClassVar[type[PrefixOptions]] = BSARecOptions
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        **Encoder.search_space,
        "filter_share": (0.1, 0.3, 0.5, 0.7, 0.9),
        "cutoff": (1, 3, 5, 7, 9),
    }
    options: BSARecOptions

    def build(self) -> CausalTransformer:
        """The transformer of filtering layers."""
        return FilteringTransformer(self.n_items, self.options)

    def training_rows(self, dataset: Dataset) -> TrainingRows:
        """Every prefix of a user's newest train items, the empty one too."""
        return PrefixRows(dataset, self.options, with_empty=True)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Loss of a batch, a scalar."""
        states = self.last_states(batch.item_seq)
        return full_cross_entropy(states, batch.answer, self.transformer.items.weight)


class FilteringTransformer(CausalTransformer):
    """The shared transformer with BSARec's layers; padding is never cut off."""

    def __init__(self, n_items: int, options: BSARecOptions) -> None:
        super().__init__(
            n_items, options, make_layer=lambda: BSARecLayer(options), cuts_padding=False
        )

    def initialise(self, rng: torch.Generator) -> None:
        """Weights as in the shared transformer; `high_gain` from N(0, 1)."""
        super().initialise(rng)
        for layer in self.layers:
            assert isinstance(layer, BSARecLayer)
            nn.init.normal_(layer.high_gain, generator=rng)


class BSARecLayer(TransformerLayer):
    """Filter and attention side by side, then feed-forward, each with residual and LayerNorm."""

    def __init__(self, options: BSARecOptions) -> None:
        super().__init__(options.embedding_dim, options.n_heads, options.dropout)
        self.filter_share, self.n_passing = options.filter_share, options.cutoff // 2 + 1
        self.filter_norm = nn.LayerNorm(options.embedding_dim, eps=1e-12)
        self.high_gain = nn.Parameter(torch.ones(1, 1, options.embedding_dim))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """New states of all positions, (B, L, d); `mask` as in :class:`TransformerLayer`."""
        attended = self._residual(x, self._attend(x, mask))
        return self._mix(self._filtered(x, self.low(x)), attended)

    def last(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """New state of the last position only, (B, d)."""
        newest, basis = x[:, -1], self._basis(x)
        low = x.transpose(1, 2) @ (basis @ basis[-1])  # (B, d): one row of the projection
        attended = self._residual(newest, self._attend_last(x, mask))
        return self._mix(self._filtered(newest, low), attended)

    def low(self, x: Tensor) -> Tensor:
        """The lowest frequencies of x (B, L, d) along its positions, as a real FFT gives them."""
        basis = self._basis(x)
        return basis @ (basis.T @ x)

    def _filtered(self, x: Tensor, low: Tensor) -> Tensor:
        # b² x + (1 - b²) low
        mixed = torch.lerp(low, x, self.high_gain.square().view(-1))
        normed: Tensor = self.filter_norm(x + self._drop(mixed))
        return normed

    def _mix(self, filtered: Tensor, attended: Tensor) -> Tensor:
        return self._feed_forward(torch.lerp(attended, filtered, self.filter_share))

    def _basis(self, x: Tensor) -> Tensor:
        # A number, also while a trace hands out sizes as tensors: those would be cached.
        return low_frequencies(int(x.shape[1]), self.n_passing, x.device).to(x)


@lru_cache(maxsize=32)
def low_frequencies(length: int, n_passing: int, device: torch.device | None = None) -> Tensor:
    r"""Orthonormal waves over `length` places that span the lowest frequencies: (length, n_waves).

    :math:`Q Q^\top x` keeps the first `n_passing` bins of a real FFT of x and drops the others:
    the mean, then a cosine and a sine a bin; the fastest bin of an even length has no sine.
    """
    places = torch.arange(length, dtype=torch.float64)
    waves = [torch.ones(length, dtype=torch.float64)]
    for number in range(1, min(n_passing, length // 2 + 1)):
        angle = 2 * math.pi * number / length * places
        waves.append(angle.cos())
        if 2 * number < length:
            waves.append(angle.sin())
    return torch.stack([wave / wave.norm() for wave in waves], 1).float().to(device)
