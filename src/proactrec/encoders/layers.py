"""The causal transformer that every encoder shares (BERT style: post-LN, gelu)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.encoders.base import EncoderOptions

MASKED = -10_000.0
"""Added to masked attention scores: finite, so that an all-padding sequence gives no NaN."""


MOST_WEIGHTS = 1_000_000_000
"""Of a transformer's layers: 16 GB while they are trained."""


def check_transformer(
    embedding_dim: int, n_heads: int, n_layers: int, inner_dim: int | None = None
) -> None:
    r"""Refuse attention heads that can't share the dimensions evenly, and more layers than fit.

    A layer has :math:`4 d^2` weights of attention and :math:`2 d d_\text{inner}` behind it, where
    :math:`d_\text{inner} = 4 d` if not given.
    """
    if embedding_dim % n_heads:
        raise InvalidInputError(
            f"embedding_dim must be a multiple of n_heads, got {embedding_dim} and {n_heads}"
        )
    inner = 4 * embedding_dim if inner_dim is None else inner_dim
    n_weights = n_layers * embedding_dim * (4 * embedding_dim + 2 * inner)
    if n_weights > MOST_WEIGHTS:
        raise InvalidInputError(
            f"embedding_dim and n_layers must make at most {MOST_WEIGHTS:,} weights, got "
            f"{n_weights:,} by {embedding_dim} and {n_layers}"
        )


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each followed by dropout, residual and LayerNorm."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.attention_norm, self.output_norm = (nn.LayerNorm(dim, eps=1e-12) for _ in range(2))
        self.expand, self.contract = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """New states of all positions, (B, L, d).

        `mask` (B, 1, L, L) is added to the attention scores; None means causal, without padding.
        """
        return self._transform(x, self._attend(x, mask))

    def last(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """New state of the last position only, (B, d)."""
        return self._transform(x[:, -1], self._attend_last(x, mask))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What the heads of all positions read, (B, L, d)."""
        query, key, value = (
            part.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=2)
        )  # (B, n_heads, L, d / n_heads)
        if self.training:
            assert mask is not None
            scores = query @ key.transpose(2, 3) / math.sqrt(key.shape[3]) + mask
            attended = self._drop(scores.softmax(3)) @ value
        else:
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=mask is None
            )
        side_by_side: Tensor = attended.transpose(1, 2).flatten(2)
        return side_by_side

    def _attend_last(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The last position of :meth:`_attend`, (B, d).

        Keys and values are never computed: their projections move to the one query and to the one
        result, q·(W x) = (Wᵀ q)·x and Σ a (W x) = W (Σ a x). The key's bias adds the same to all
        scores, which softmax takes out again. The value's bias counts as often as
        the weights add up to, which is once unless dropout has removed some.
        """
        newest = x[:, -1]
        of_query, of_key, of_value = self.query_key_value.weight.chunk(3)
        query_bias, _, value_bias = self.query_key_value.bias.chunk(3)
        heads = (self.n_heads, -1)
        query = F.linear(newest, of_query, query_bias).unflatten(1, heads)  # (B, H, d / H)
        scale = 1 / math.sqrt(query.shape[2])
        query = torch.einsum("bhk,hkd->bhd", query, of_key.unflatten(0, heads))
        scores = query @ x.transpose(1, 2) * scale  # (B, H, L)
        if mask is not None:
            scores = scores + mask[:, :, -1]
        weights = self._drop(scores.softmax(2))
        return attended_values(weights, x, of_value, value_bias)

    def _transform(self, x: Tensor, attended: Tensor) -> Tensor:
        return self._feed_forward(self._residual(x, attended))

    def _residual(self, x: Tensor, attended: Tensor) -> Tensor:
        normed: Tensor = self.attention_norm(x + self._drop(self.out(attended)))
        return normed

    def _feed_forward(self, x: Tensor) -> Tensor:
        wide = F.gelu(self.expand(x))
        normed: Tensor = self.output_norm(x + self._drop(self.contract(wide)))
        return normed

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout) if self.training else x


class CausalTransformer(nn.Module):
    """Item sequences to states: item plus position, LayerNorm, dropout, then the layers.

    Parameters
    ----------
    n_items : int
        The item table has `n_items + 1` rows; row 0 is padding and stays zero.
    make_layer
        Builds a layer; :class:`TransformerLayer` by default.
    cuts_padding : bool
        Whether columns that are padding for everybody change nothing and may be left out.
    """

    def __init__(
        self,
        n_items: int,
        options: "EncoderOptions",
        *,
        make_layer: Callable[[], nn.Module] | None = None,
        cuts_padding: bool = True,
    ) -> None:
        super().__init__()
        self.dropout, self.max_len = options.dropout, options.max_seq_len
        self.cuts_padding, dim = cuts_padding, options.embedding_dim
        self.items = nn.Embedding(n_items + 1, dim, padding_idx=0)
        self.positions = nn.Embedding(self.max_len, dim)
        self.input_norm = nn.LayerNorm(dim, eps=1e-12)
        self.layers = nn.ModuleList(
            make_layer() if make_layer else TransformerLayer(dim, options.n_heads, options.dropout)
            for _ in range(options.n_layers)
        )

    def initialise(self, rng: torch.Generator) -> None:
        """Weights from N(0, 0.02²), biases 0, LayerNorm 1 and 0, the padding row 0."""
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() == 2:
                    weight.normal_(0, 0.02, generator=rng)
                else:
                    weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            self.items.weight[0] = 0

    def forward(self, item_seq: Tensor) -> Tensor:
        """States of all positions, (B, L, d), of int sequences (B, L)."""
        x, mask = self._embed(item_seq), attention_mask(item_seq)
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def last(self, item_seq: Tensor) -> Tensor:
        """State of the last position only, (B, d).

        Leading columns that are padding for everybody are cut off first; they are masked anyway.
        """
        item_seq = self.without_common_padding(item_seq)
        # Without padding and dropout the causal mask alone is left, which is faster.
        may_be_plain = not (self.training or item_seq.is_cuda)
        is_plain = may_be_plain and bool((item_seq != 0).all())
        return self.newest(item_seq, is_plain=is_plain)

    def newest(self, item_seq: Tensor, *, is_plain: bool = False) -> Tensor:
        """As :meth:`last`, of sequences as they are; `is_plain` says that nothing is padding.

        What it does depends on nothing but shapes, so that it can be traced.
        """
        x, mask = self._embed(item_seq), None if is_plain else attention_mask(item_seq)
        for layer in self.layers[:-1]:
            x = layer(x, mask)
        last_layer = self.layers[-1]
        assert isinstance(last_layer, TransformerLayer)
        return last_layer.last(x, mask)

    def without_common_padding(self, item_seq: Tensor) -> Tensor:
        """Sequences (B, L) without the leading columns that are padding for everybody.

        All of them on a GPU, where what is padding would have to be waited for.
        """
        is_item = item_seq != 0
        # An empty history attends to all padding alike: cut, it would depend on its neighbours.
        if not self.cuts_padding or item_seq.is_cuda or not bool(is_item.any(1).all()):
            return item_seq
        return item_seq[:, int(is_item.any(0).int().argmax()) :]

    def _embed(self, item_seq: Tensor) -> Tensor:
        positions = self.positions.weight[self.max_len - item_seq.shape[1] :]
        x = self.input_norm(self.items(item_seq) + positions)
        return dropout(x, self.dropout) if self.training else x


def attended_values(weights: Tensor, x: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """What heads read by weights (B, H, L), which may not add up to 1, of x (B, L, d): (B, d)."""
    heads = (weights.shape[1], -1)
    attended: Tensor = torch.einsum("bhd,hkd->bhk", weights @ x, value.unflatten(0, heads))
    attended = attended + weights.sum(2, keepdim=True) * bias.unflatten(0, heads)
    return attended.flatten(1)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Inverted dropout; on the CPU the rate is rounded to 1/256, one random byte an element.

    PyTorch's own draws a double per element in one thread, which took 40 % of a training epoch.
    """
    if x.is_cuda or rate == 0:
        return F.dropout(x, rate)
    dropped = min(round(rate * 256), 255)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    is_kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return x * is_kept.to(x.dtype).mul_(256 / (256 - dropped))


def attention_mask(item_seq: Tensor) -> Tensor:
    """0 where the key is an item and not after the query, else `MASKED`: (B, 1, L, L)."""
    length = item_seq.shape[1]
    is_allowed = torch.ones(length, length, dtype=torch.bool, device=item_seq.device).tril()
    is_allowed = is_allowed & (item_seq != 0)[:, None, None, :]
    mask = torch.full_like(is_allowed, MASKED, dtype=torch.float32)
    return mask.masked_fill_(is_allowed, 0.0)
