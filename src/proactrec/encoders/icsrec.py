"""ICSRec: prefixes that lead to the same item share an intent, and are pulled together.

Source: Qin et al. 2024, arXiv:2310.14318, on the transformer of SASRec.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, Encoder, TrainingRows
from proactrec.encoders.losses import contrast, full_cross_entropy
from proactrec.encoders.prefixes import PrefixOptions, PrefixRows
from proactrec.intents import cluster

COMPARED_ROWS = 4096
"""Rows whose inputs are compared at once when partners are sought."""


class ICSRecOptions(PrefixOptions):
    """Settings of ICSRec; the values are those of its authors' scripts, fewer intents apart."""

    windows: Literal["all"] = Field("all", description="every train item but the first is answered")
    coarse_loss_weight: float = Field(
        0.3, ge=0, description="of the contrast of prefixes with the same answer (lambda, CICL)"
    )
    fine_loss_weight: float = Field(
        0.1, ge=0, description="of the contrast of prefixes with their intent (beta, FICL)"
    )
    n_intents: int = Field(32, ge=1, le=100_000, description="k-means clusters of prefix vectors")
    partner: Literal["last", "random"] = Field(
        "last",
        description="prefix with the same answer: the last different one, or a random other one",
    )
    mask_equal: bool = Field(
        True, description="prefixes with the same answer, or intent, are no negatives (f_neg)"
    )
    second_pass: bool = Field(
        True, description="contrasts read the prefix again, with other dropout than the answer"
    )


class ICSRec(Encoder):
    """Cross-entropy + coarse + fine intent contrast; fine intents are found anew every epoch."""

    name: ClassVar[str] = "icsrec"
    options_type: ClassVar[type[PrefixOptions]] = ICSRecOptions
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        **Encoder.search_space,
        "coarse_loss_weight": (0.1, 0.2, 0.3),
        "fine_loss_weight": (0.05, 0.1, 0.3),
    }
    options: ICSRecOptions
    _centres: Tensor

    def training_rows(self, dataset: Dataset) -> TrainingRows:
        """Every train item but a user's first, with the items before it and a partner."""
        return PartneredRows(dataset, self.options)

    def start_epoch(self, rows: TrainingRows, seed: int) -> None:
        """Cluster the last-position vectors of the rows' sequences."""
        if self.options.fine_loss_weight > 0:
            vectors = self.intent_vectors(rows.item_seq)
            # Fewer sequences than intents (a tiny data set) leave an intent per sequence.
            self._centres = cluster(vectors, min(self.options.n_intents, len(vectors)), seed=seed)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Weighted sum of the next-item, coarse and fine losses."""
        options, items = self.options, self.transformer.items.weight
        if options.coarse_loss_weight == 0 and options.fine_loss_weight == 0:
            return full_cross_entropy(self.last_states(batch.item_seq), batch.answer, items)
        first, again, partner = self._states(batch)
        total = full_cross_entropy(first, batch.answer, items)
        if options.coarse_loss_weight > 0:
            coarse = self._contrast(again, partner, batch.answer)
            total = total + options.coarse_loss_weight * coarse
        if options.fine_loss_weight > 0:
            fine = self._intent_contrast(again) + self._intent_contrast(partner)
            total = total + options.fine_loss_weight * fine
        return total

    def _states(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """States of the prefixes, of the prefixes read again and of their partners, each (B, d)."""
        assert batch.partner is not None
        passes = [batch.item_seq] * (2 if self.options.second_pass else 1)
        # One call: the more sequences are sorted by length, the less padding is left.
        states = self.last_states(torch.cat([*passes, batch.partner])).split(len(batch.item_seq))
        return states[0], states[-2], states[-1]

    def _intent_contrast(self, vectors: Tensor) -> Tensor:
        """Contrast of vectors (B, d) with their nearest raw centres, taken at unit length."""
        nearest = torch.cdist(vectors.detach(), self._centres).argmin(1)
        return self._contrast(vectors, F.normalize(self._centres[nearest], dim=1), nearest)

    def _contrast(self, x: Tensor, y: Tensor, label: Tensor) -> Tensor:
        is_same = label[:, None] == label if self.options.mask_equal else None
        return contrast(x, y, is_same)


class PartneredRows(PrefixRows):
    """Prefixes that are not empty, each with another prefix that has the same answer.

    These are the segments of the paper's "dynamic segmentation" after its last two items are
    taken off: every train item but a user's first is answered, from the items before it.
    """

    def __init__(self, dataset: Dataset, options: ICSRecOptions) -> None:
        super().__init__(dataset, options, with_empty=False)
        self._draws_partners = options.partner == "random"
        # Rows with the same answer stand together, in their order.
        self._grouped = self.answer.argsort(stable=True)
        self._rank = torch.empty_like(self._grouped)
        self._rank[self._grouped] = torch.arange(len(self))
        n = torch.bincount(self.answer)
        self._group_start, self._group_size = n.cumsum(0) - n, n  # by answer
        if not self._draws_partners:
            self._partner = self._last_different()

    def batch(self, rows: Tensor, rng: torch.Generator, device: torch.device) -> Batch:
        """The prefixes of these rows, the items that follow them, and their partners."""
        partner = self._drawn(rows, rng) if self._draws_partners else self._partner[rows]
        batch = super().batch(rows, rng, device)
        return batch._replace(partner=self.inputs(partner).to(device))

    def _last_different(self) -> Tensor:
        """The last row with the same answer and another input; the last one if all are equal."""
        newest = self._group_start + self._group_size - 1  # by answer; nonsense where there is none
        last = self._grouped[newest[self.answer]]  # (n_rows,)
        rows = torch.arange(len(self)).split(COMPARED_ROWS)
        is_other = torch.cat([(self.inputs(r) != self.inputs(last[r])).any(1) for r in rows])
        # Who equals the last row takes the last one that differs from that: the same for all.
        other = torch.full_like(self._group_size, -1)
        other.scatter_reduce_(0, self.answer[is_other], is_other.nonzero()[:, 0], "amax")
        other = other[self.answer]
        return torch.where(is_other | (other < 0), last, other)

    def _drawn(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Random other rows with the same answer; a row itself where there is no other."""
        answer = self.answer[rows]
        start, n_others = self._group_start[answer], self._group_size[answer] - 1
        step = 1 + (torch.rand(len(rows), generator=rng, dtype=torch.float64) * n_others).long()
        return self._grouped[start + (self._rank[rows] - start + step) % (n_others + 1)]
