r"""The stochastic transformer: items and sequences are Gaussians, attention is by distance.

A Gaussian with diagonal covariance :math:`\Sigma` is the point :math:`(\mu, \sqrt\Sigma)` in 2d
dimensions: there the squared 2-Wasserstein distance
:math:`W = |\mu_1 - \mu_2|^2 + |\sqrt{\Sigma_1} - \sqrt{\Sigma_2}|^2` is the squared Euclidean one.

Source: Fan et al. 2022, arXiv:2201.06035 (STOSA), as MStein uses it.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.encoders.layers import CausalTransformer, attended_values, attention_mask, dropout

if TYPE_CHECKING:
    from proactrec.encoders.mstein import MSteinOptions

HIDDEN = 1.0 - 2.0**32
"""Attention score of hidden keys, as published: finite, and lower than any distance makes it."""
LEAST_COVARIANCE = 1e-24
"""Under a root; keeps its gradient finite."""


def positive(x: Tensor) -> Tensor:
    """ELU(x) + 1, which makes a covariance of any number."""
    return F.elu(x).add_(1)


def root(covariance: Tensor) -> Tensor:
    """Square roots of diagonal covariances."""
    return covariance.clamp(min=LEAST_COVARIANCE).sqrt()


def points_of(means: Tensor, covariances: Tensor) -> Tensor:
    """Points (n, 2d) of means (n, d) and what makes their covariances (n, d)."""
    return torch.cat([means, root(positive(covariances))], 1)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of all rows of x (n, k) to all rows of y (m, k): (n, m), >= 0.

    Of Gaussians as points it is their squared 2-Wasserstein distance.
    """
    across = torch.addmm(y.square().sum(1), x, y.T, alpha=-2)
    return across.add_(x.square().sum(1, keepdim=True)).relu_()


class WassersteinLayer(nn.Module):
    """Attention by distance, then feed-forward, for means and covariances.

    With `mean_stream="frozen"` only the covariance passes through the layer, and the mean's weights
    beyond queries and keys are never used.
    """

    def __init__(self, options: "MSteinOptions") -> None:
        super().__init__()
        dim, self.n_heads, self.dropout = options.embedding_dim, options.n_heads, options.dropout
        self.attention_dropout = options.attention_dropout
        self.updates_mean = options.mean_stream == "updated"
        self.mean_projection, self.covariance_projection = (
            nn.Linear(dim, 3 * dim) for _ in range(2)
        )  # query, key, value
        self.mean_out, self.covariance_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attention_norm = nn.LayerNorm(dim, eps=1e-12)  # one for both
        self.mean_feed_forward = FeedForward(dim, self.dropout)
        self.covariance_feed_forward = FeedForward(dim, self.dropout)

    def forward(self, mean: Tensor, covariance: Tensor, is_hidden: Tensor) -> tuple[Tensor, Tensor]:
        r"""New means and covariances of all positions, both (B, L, d).

        The weights are the softmax of :math:`-W(q; k) / \sqrt{d_h}` over the keys that `is_hidden`
        (B, 1, L, L) leaves. With the points :math:`q, k` that is
        :math:`(2 q^\top k - |k|^2) / \sqrt{d_h}`: :math:`|q|^2` is the same for all keys.
        """
        query_mean, key_mean, value_mean = self._heads(self.mean_projection(mean))
        query, key, value = self._heads(positive(self.covariance_projection(covariance)))
        query_point = torch.cat([query_mean, root(query)], 3)  # (B, H, L, 2 d_h)
        key_point = torch.cat([key_mean, root(key)], 3)
        scale = 1 / math.sqrt(query.shape[3])
        length = key_point.square().sum(3)[:, :, None] * scale  # (B, H, 1, L)
        scores = (2 * scale * query_point) @ key_point.transpose(2, 3) - length
        weights = self._weights(scores.masked_fill(is_hidden, HIDDEN))
        spread = (weights.square() @ value).transpose(1, 2).flatten(2)
        shift = (weights @ value_mean).transpose(1, 2).flatten(2) if self.updates_mean else None
        return self._transform(mean, covariance, shift, spread)

    def last(self, mean: Tensor, covariance: Tensor, is_hidden: Tensor) -> tuple[Tensor, Tensor]:
        """New mean and covariance of the last position only, both (B, d); `is_hidden` is (B, L).

        The values of the means are never computed: Σ a (W x) = W (Σ a x). Keys and the values of
        the covariances are: the distance and ELU + 1 are not linear in them.
        """
        dim, heads = mean.shape[2], (self.n_heads, -1)
        of_mean, of_covariance = self.mean_projection, self.covariance_projection
        query_mean = F.linear(mean[:, -1], of_mean.weight[:dim], of_mean.bias[:dim])
        key_mean = F.linear(mean, of_mean.weight[dim : 2 * dim], of_mean.bias[dim : 2 * dim])
        newest = covariance[:, -1]
        query = positive(F.linear(newest, of_covariance.weight[:dim], of_covariance.bias[:dim]))
        key, value = positive(
            F.linear(covariance, of_covariance.weight[dim:], of_covariance.bias[dim:])
        ).chunk(2, dim=2)  # (B, L, d)
        scale = 1 / math.sqrt(dim // self.n_heads)
        length = (key_mean.square() + key).unflatten(2, heads).sum(3).transpose(1, 2)  # (B, H, L)
        products = self._per_head(query_mean) @ key_mean.transpose(1, 2)
        products = products + self._per_head(root(query)) @ root(key).transpose(1, 2)
        scores = ((2 * products - length) * scale).masked_fill(is_hidden[:, None], HIDDEN)
        weights = self._weights(scores)
        spread = self._own_heads(weights.square() @ value)
        shift = None
        if self.updates_mean:
            value_of = of_mean.weight[2 * dim :], of_mean.bias[2 * dim :]
            shift = attended_values(weights, mean, *value_of)
        return self._transform(mean[:, -1], newest, shift, spread)

    def _transform(
        self, mean: Tensor, covariance: Tensor, shift: Tensor | None, spread: Tensor
    ) -> tuple[Tensor, Tensor]:
        covariance = self._add(covariance, self.covariance_out(spread))
        covariance = positive(self.covariance_feed_forward(covariance))
        if shift is None:
            return mean, covariance
        return self.mean_feed_forward(self._add(mean, self.mean_out(shift))), covariance

    def _add(self, x: Tensor, change: Tensor) -> Tensor:
        change = dropout(change, self.dropout) if self.training else change
        normed: Tensor = self.attention_norm(change + x)
        return normed

    def _weights(self, scores: Tensor) -> Tensor:
        weights = scores.softmax(-1)
        return dropout(weights, self.attention_dropout) if self.training else weights

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key, value of projections (B, L, 3 d): each (B, H, L, d_h)."""
        parts = x.unflatten(2, (3, self.n_heads, -1)).transpose(1, 3)  # (B, H, 3, L, d_h)
        query, key, value = parts.unbind(2)
        return query, key, value

    def _per_head(self, query: Tensor) -> Tensor:
        """Queries (B, d) as (B, H, d), each head's own part with zeros elsewhere."""
        parts: Tensor = query.unflatten(1, (self.n_heads, 1, -1))  # (B, H, 1, d_h)
        own = torch.eye(self.n_heads, dtype=query.dtype, device=query.device)[:, :, None]
        return (parts * own).flatten(2)

    def _own_heads(self, attended: Tensor) -> Tensor:
        """Of results (B, H, d) with every head's weights, each head's own part: (B, d)."""
        parts = attended.unflatten(2, (self.n_heads, -1))  # (B, H, H, d_h)
        return torch.cat([parts[:, head, head] for head in range(self.n_heads)], 1)


class FeedForward(nn.Module):
    """LN(Drop(W₂ ELU(W₁ x)) + x), inner width 4d."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.expand, self.contract = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """New states, shaped like x (..., d)."""
        change = self.contract(F.elu(self.expand(x)))
        change = dropout(change, self.dropout) if self.training else change
        normed: Tensor = self.norm(change + x)
        return normed


class StochasticTransformer(CausalTransformer):
    """Item sequences to Gaussians, as points [mean, root of covariance] (B, L, 2d).

    Both item tables have `n_items + 1` rows; row 0 is padding and stays zero.
    """

    def __init__(self, n_items: int, options: "MSteinOptions") -> None:
        super().__init__(n_items, options, make_layer=lambda: WassersteinLayer(options))
        self.item_covariances = nn.Embedding(n_items + 1, options.embedding_dim, padding_idx=0)
        self.position_covariances = nn.Embedding(options.max_seq_len, options.embedding_dim)

    def initialise(self, rng: torch.Generator) -> None:
        """Weights from N(0.01, 0.02²), biases 0, LayerNorm 1 and 0, the padding rows 0."""
        super().initialise(rng)
        with torch.no_grad():
            for weight in self.parameters():
                if weight.dim() == 2:
                    weight.add_(0.01)
            for table in (self.items, self.item_covariances):
                table.weight[0] = 0

    def item_points(self) -> Tensor:
        """Items as points (n_items + 1, 2d), with gradients; row 0 means nothing."""
        return points_of(self.items.weight, self.item_covariances.weight)

    def item_points_of(self) -> Callable[[Tensor], Tensor]:
        """Gives points (n, 2d) of items (n,), with gradients; of sparse tables, of these alone."""
        if not self.items.sparse:
            return self.item_points().__getitem__
        return lambda idx: points_of(self.items(idx), self.item_covariances(idx))

    def forward(self, item_seq: Tensor) -> Tensor:
        """Points of all positions, (B, L, 2d), of int sequences (B, L)."""
        mean, covariance = self._embed_both(item_seq)
        is_hidden = attention_mask(item_seq) != 0
        for layer in self.layers:
            mean, covariance = layer(mean, covariance, is_hidden)
        return torch.cat([mean, root(covariance)], 2)

    def newest(self, item_seq: Tensor, *, is_plain: bool = False) -> Tensor:
        """Point of the last position only, (B, 2d), of sequences as they are."""
        mean, covariance = self._embed_both(item_seq)
        if len(self.layers) > 1:
            is_hidden = attention_mask(item_seq) != 0
            for layer in self.layers[:-1]:
                mean, covariance = layer(mean, covariance, is_hidden)
        last_layer = self.layers[-1]
        assert isinstance(last_layer, WassersteinLayer)
        mean, covariance = last_layer.last(mean, covariance, item_seq == 0)
        return torch.cat([mean, root(covariance)], 1)

    def _embed_both(self, item_seq: Tensor) -> tuple[Tensor, Tensor]:
        """Means and covariances that the first layer reads, both (B, L, d)."""
        positions = self.position_covariances.weight[self.max_len - item_seq.shape[1] :]
        covariance = self.input_norm(self.item_covariances(item_seq) + positions)
        covariance = dropout(covariance, self.dropout) if self.training else covariance
        return F.elu(self._embed(item_seq)), positive(covariance)
