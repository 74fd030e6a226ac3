"""Training on prefixes: a row is a prefix of a history, answered once, from its last position.

Encoders whose states see later items, or that compare whole prefixes, can't be trained at every
position of a window as :class:`proactrec.encoders.base.TrainingSequences` does.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, EncoderOptions
from proactrec.errors import InvalidInputError
from proactrec.training import StoppingOptions


class PrefixOptions(EncoderOptions):
    """Settings of encoders that are trained on prefixes.

    On ML-100k 8,192 rows are a fifth of BSARec's and a twelfth of ICSRec's rows.
    """

    next_item_loss: Literal["cross_entropy"] = Field(
        "cross_entropy", description="against all items, from the last position of a prefix"
    )
    rows_per_epoch: int | None = Field(
        8192,
        ge=1,
        description="random rows that make an epoch, after which validation is measured; "
        "None: all of them",
    )
    stopping: StoppingOptions = StoppingOptions(n_epochs=1000, patience=20)


class PrefixRows:
    """Prefixes of the train histories, by user and time; their sequences are built when asked for.

    Parameters
    ----------
    dataset : Dataset
        Only items before the two held-out ones are read.
    options : PrefixOptions
        With `windows="last"` the newest `max_seq_len` train items of a user are all there is: they
        are answered, from those among them that came before. With "all" every train item is
        answered from the `max_seq_len` items before it.
    with_empty : bool
        Whether a user's first item is answered too, from an empty sequence.

    Raises
    ------
    InvalidInputError
        If there is nothing to answer.
    """

    def __init__(self, dataset: Dataset, options: PrefixOptions, *, with_empty: bool) -> None:
        known = dataset.before("train")
        starts, ends = torch.from_numpy(known.offsets).unfold(0, 2, 1).unbind(1)  # (n_users,)
        if options.windows == "last":
            starts = torch.maximum(starts, ends - options.max_seq_len)
        self._length, self._n_per_epoch = options.max_seq_len, options.rows_per_epoch
        self._items, user_idx = torch.from_numpy(known.item_idx), torch.from_numpy(known.user_idx)
        place = torch.arange(len(self._items))
        is_row = place >= starts[user_idx] + (0 if with_empty else 1)
        self._place, self.user_idx = place[is_row], user_idx[is_row]  # (n_rows,)
        self._start, self.answer = starts[self.user_idx], self._items[is_row]
        if not len(self):
            raise InvalidInputError(
                "no user has enough train interactions, so there is no next item to learn from"
            )

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def item_seq(self) -> Tensor:
        """Inputs (n, L) of evenly spaced rows, at most as many as an epoch has."""
        n = min(len(self), self._n_per_epoch or len(self))
        return self.inputs(torch.arange(n) * len(self) // n)

    def inputs(self, rows: Tensor) -> Tensor:
        """What rows (B,) are answered from, left-padded: (B, L)."""
        place = self._place[rows, None] - self._length + torch.arange(self._length)  # (B, L)
        is_inside = place >= self._start[rows, None]
        return self._items[place.clamp_(min=0)].mul_(is_inside)

    def order(self, rng: torch.Generator) -> Tensor:
        """Random different rows, as many as make an epoch."""
        return torch.randperm(len(self), generator=rng)[: self._n_per_epoch]

    def batch(self, rows: Tensor, rng: torch.Generator, device: torch.device) -> Batch:
        """The prefixes of these rows with the items that follow them."""
        return Batch(self.inputs(rows).to(device), self.answer[rows].to(device))
