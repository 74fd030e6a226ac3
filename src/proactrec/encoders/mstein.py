r"""MStein: items and users are Gaussians, ranked by the 2-Wasserstein distance.

Source: Fan et al. 2023, arXiv:2301.12197. A vector here is the point
:math:`(\mu, \sqrt\Sigma)`, twice `embedding_dim` long; see :mod:`proactrec.encoders.stochastic`.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import MOST_DIM, MOST_LAYERS
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, Encoder, EncoderOptions, TrainingRows
from proactrec.encoders.losses import pair_contrast
from proactrec.encoders.similar_items import most_similar_items, similar_view
from proactrec.encoders.stochastic import (
    StochasticTransformer,
    positive,
    root,
    squared_distances,
)
from proactrec.training import StoppingOptions


class MSteinOptions(EncoderOptions):
    """Settings of MStein; the values are those of its authors' README."""

    embedding_dim: int = Field(
        64,
        ge=1,
        le=MOST_DIM,
        description="length of a mean and of a covariance; vectors are twice as long",
    )
    n_layers: int = Field(1, ge=1, le=MOST_LAYERS, description="transformer layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="on input and residuals")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="on attention weights")
    next_item_loss: Literal["sampled"] = Field(
        "sampled", description="BPR of distances against one sampled item per position"
    )
    mean_stream: Literal["updated", "frozen"] = Field(
        "updated",
        description="means pass through the layers, or, as in the public code, never change",
    )
    ranks: Literal["nearest", "farthest"] = Field(
        "nearest", description="which items score highest; 'farthest' is a bug of ITMPRec's code"
    )
    pvn_loss_weight: float = Field(
        0.01, ge=0, description="of max(W(user, answer) - W(answer, sampled item), 0)"
    )
    sequence_loss_weight: float = Field(0.005, ge=0, description="of the view contrast")
    temperature: float = Field(1e-6, gt=0, description="of the view contrast")
    insert_share: float = Field(0.3, ge=0, le=1, description="items that a similar one precedes")
    substitute_share: float = Field(0.5, ge=0, le=1, description="items replaced by a similar one")
    mask_share: float = Field(0.7, ge=0, le=1, description="items that a view masks")
    crop_share: float = Field(0.2, ge=0, le=1, description="piece that a view keeps")
    reorder_share: float = Field(0.7, ge=0, le=1, description="piece that a view shuffles")
    threshold: int = Field(
        16, ge=0, description="longest history that is never cropped or shuffled"
    )
    stopping: StoppingOptions = StoppingOptions(n_epochs=300, patience=30)


class MStein(Encoder):
    """BPR of distances + PVN + contrast of two views by distance."""

    name: ClassVar[str] = "mstein"
    options_type: ClassVar[type[EncoderOptions]] = MSteinOptions
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        **Encoder.search_space,
        "pvn_loss_weight": (0.005, 0.01, 0.1),
        "sequence_loss_weight": (0.001, 0.005, 0.05),
    }
    options: MSteinOptions
    transformer: StochasticTransformer
    _most_similar: Tensor

    def build(self) -> StochasticTransformer:
        """The stochastic transformer."""
        return StochasticTransformer(self.n_items, self.options)

    @property
    def item_tables(self) -> tuple[Tensor, ...]:
        """Means and what makes the covariances."""
        return self.transformer.items.weight, self.transformer.item_covariances.weight

    @property
    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """Items as points, shape (n_items + 1, 2 embedding_dim); row 0 (padding) is zero."""
        points = self.transformer.item_points()
        points[0] = 0
        return points

    def score(self, user_vectors: Tensor) -> Tensor:
        """Mean squared distance of users (B, 2d) to all items, less that to every item.

        A new tensor (B, n_items + 1). Ranks as minus the distance does; the mean gives the sigmoid
        that policies take of it both signs, as the BPR loss does by the sampled item's distance.
        """
        distances = squared_distances(user_vectors, self.item_vectors)
        scores = distances[:, 1:].mean(1, keepdim=True) - distances
        return scores.neg_() if self.options.ranks == "farthest" else scores

    def training_rows(self, dataset: Dataset) -> TrainingRows:
        """What an epoch goes through; similar items, which views take, are found here."""
        if self.options.sequence_loss_weight > 0:
            self._most_similar = most_similar_items(dataset.before("train"), dataset.n_items)
        return super().training_rows(dataset)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Weighted sum of the BPR, PVN and view losses."""
        total = self.next_item_loss(self.transformer(batch.item_seq), batch)
        if self.options.sequence_loss_weight == 0:
            return total
        sequences = batch.item_seq.cpu()
        first, second = (self.transformer(self._view(sequences, rng)) for _ in range(2))
        contrast = distance_contrast(first, second, self.options.temperature)
        return total + self.options.sequence_loss_weight * contrast

    def next_item_loss(self, states: Tensor, batch: Batch) -> Tensor:
        """BPR and weighted PVN of points (B, L, 2d) over the positions that have an answer."""
        assert batch.negative is not None
        is_real, points = batch.answer != 0, self.transformer.item_points_of()
        users, answers = states[is_real], points(batch.answer[is_real])  # (n, 2d)
        return distance_loss(
            users, answers, points(batch.negative[is_real]), self.options.pvn_loss_weight
        )

    def _view(self, item_seq: Tensor, rng: torch.Generator) -> Tensor:
        return similar_view(item_seq, self._most_similar, rng, self.options).to(self.device)


def distance_loss(users: Tensor, answers: Tensor, negatives: Tensor, pvn_weight: float) -> Tensor:
    r"""BPR of distances, plus `pvn_weight` times PVN (positive closer than it is to the negative).

    .. math::
        -\ln \sigma(W(h, e_n) - W(h, e_y)) + w \max(W(h, e_y) - W(e_y, e_n), 0)

    Parameters
    ----------
    users, answers, negatives : float tensors, shape (n, 2d)
        Points of users, of their next items and of sampled other items; the mean of all rows is
        returned.
    """
    positive_distance = (users - answers).square().sum(1)
    negative_distance = (users - negatives).square().sum(1)
    between_items = (answers - negatives).square().sum(1)
    bpr = F.softplus(positive_distance - negative_distance).mean()
    return bpr + pvn_weight * F.relu(positive_distance - between_items).mean()


def distance_contrast(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    r"""Contrast of matching sequences by the similarity :math:`1 / (1 + W) / \tau`.

    W is the distance over all positions together. Covariances pass ELU + 1 once more, as
    published, which adds 1 to them. At :math:`\tau = 10^{-6}` the softmax is nearly 0 or 1; the
    loss is finite because log-softmax takes the maximum of a row out first.

    Parameters
    ----------
    x, y : float tensors, shape (B, L, 2d)
        Points of two views.
    """
    x, y = (_once_more_positive(points).flatten(1) for points in (x, y))
    pairs = [1 / (1 + squared_distances(a, b)) / temperature for a, b in ((x, y), (x, x), (y, y))]
    return pair_contrast(*pairs)


def _once_more_positive(points: Tensor) -> Tensor:
    mean, spread = points.chunk(2, dim=2)
    return torch.cat([mean, root(positive(spread.square()))], 2)
