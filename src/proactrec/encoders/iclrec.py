"""ICLRec: a SASRec-style encoder that also pulls views of a sequence to the intent of its user.

Source: Chen et al. 2022, arXiv:2202.02519. Defaults are those of ITMPRec's code.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.encoders.augmentation import random_view
from proactrec.encoders.base import ENCODE_ROWS, Batch, Encoder, EncoderOptions, TrainingRows
from proactrec.encoders.losses import contrast
from proactrec.gpu import at_once
from proactrec.intents import cluster


class ICLRecOptions(EncoderOptions):
    """Settings of ICLRec."""

    n_intents: int = Field(32, ge=1, le=100_000, description="k-means clusters of user vectors")
    intent_loss_weight: float = Field(0.1, ge=0, description="of the intent contrast (lambda)")
    sequence_loss_weight: float = Field(0.0, ge=0, description="of the view contrast (beta)")
    pool: Literal["all", "items"] = Field(
        "all", description="mean over all positions, as published, or over real items only"
    )
    ignore_same_intent: bool = Field(
        False, description="users of the same intent are no negatives ('de-noise')"
    )


class ICLRec(Encoder):
    """Next-item loss + intent contrast + sequence contrast; intents are found anew every epoch."""

    name: ClassVar[str] = "iclrec"
    options_type: ClassVar[type[EncoderOptions]] = ICLRecOptions
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        **Encoder.search_space,
        "n_intents": (8, 16, 32, 64),
        "intent_loss_weight": (0.05, 0.1, 0.3),
    }
    options: ICLRecOptions
    _centres: Tensor

    def start_epoch(self, rows: TrainingRows, seed: int) -> None:
        """E-step: cluster the pooled vectors of all training sequences."""
        vectors = self.intent_vectors(rows.item_seq)
        # Fewer sequences than intents (a tiny data set) leave an intent per sequence.
        n_intents = min(self.options.n_intents, len(vectors))
        self._centres = cluster(vectors, n_intents, seed=seed)

    @torch.no_grad()
    def intent_vectors(self, item_seq: Tensor) -> Tensor:
        """Mean state of every sequence (B, L) → (B, d), which is what intents are made of."""
        item_seq = item_seq.to(self.device)
        blocks = item_seq.split(at_once(item_seq, ENCODE_ROWS))
        return torch.cat([self._pooled(self.transformer(block), block) for block in blocks])

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Weighted sum of the next-item, intent and sequence losses."""
        options = self.options
        states = self.transformer(batch.item_seq)
        total = self.next_item_loss(states, batch)
        if options.intent_loss_weight == 0 and options.sequence_loss_weight == 0:
            return total
        sequences = batch.item_seq.cpu()
        views = [random_view(sequences, rng).to(self.device) for _ in range(2)]
        view_states = [self.transformer(view) for view in views]
        if options.intent_loss_weight > 0:
            # The nearest raw centre by distance, used at unit length, as published.
            query = self._pooled(states, batch.item_seq).detach()
            nearest = torch.cdist(query, self._centres).argmin(1)
            intents = F.normalize(self._centres[nearest], dim=1)
            same = nearest[:, None] == nearest[None, :] if options.ignore_same_intent else None
            pairs = [
                contrast(self._pooled(state, view), intents, same)
                for state, view in zip(view_states, views, strict=True)
            ]
            total = total + options.intent_loss_weight * (pairs[0] + pairs[1]) / 2
        if options.sequence_loss_weight > 0:
            flat = [state.flatten(1) for state in view_states]
            total = total + options.sequence_loss_weight * contrast(flat[0], flat[1])
        return total

    def _pooled(self, states: Tensor, item_seq: Tensor) -> Tensor:
        if self.options.pool == "all":
            return states.mean(1)
        is_item = (item_seq != 0)[:, :, None]
        return (states * is_item).sum(1) / is_item.sum(1).clamp(min=1)
