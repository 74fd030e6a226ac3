"""A round on a GPU asks the GPU nothing: what users have lies there, and rows stay where they are.

On the CPU, NumPy builds masks and a mask picks rows in less time than torch. On a GPU either would
have to wait until all work is done, copy down, and copy up what was made: so there the same is made
of tensors that stay, and of all rows where telling how many there are would cost more.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from proactrec.data.dataset import Histories, Side
from proactrec.errors import InvalidInputError

BLOCK_SCORES, MOST_ROWS = 64_000_000, 32_768
"""Scores of a block, and its journeys at most: a table of scores takes 256 MB."""
ENCODED_ROWS = 8192
"""Sequences that are encoded at once."""


def usable_device(name: str) -> str:
    """The device to use, whatever its capitals; "auto" takes a GPU if there is one.

    Raises
    ------
    InvalidInputError
        If the device does not exist here.
    """
    meant = name.lower()
    if meant.split(":")[0] not in ("auto", "cpu", "cuda"):
        raise InvalidInputError(f"device must be cpu, cuda or auto, got {name!r}")
    if meant == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=meant)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(
            f"device must be cpu, cuda or auto and exist here, got {name!r}"
        ) from error
    return meant


def most_rows(n_columns: int) -> int:
    """Journeys that are decided at once on a GPU, each with scores of so many items."""
    return min(MOST_ROWS, max(1, BLOCK_SCORES // n_columns))


def at_once(where: Tensor, on_cpu: int) -> int:
    """Sequences that are encoded at once where a tensor is."""
    return ENCODED_ROWS if where.is_cuda else on_cpu


def rows_where(mask: Tensor) -> Tensor:
    """Rows in which a mask (n,) holds; on a GPU all rows, so that nobody waits for their number."""
    if mask.is_cuda:
        return torch.arange(len(mask), device=mask.device)
    return mask.nonzero()[:, 0]


class Held(NamedTuple):
    """Histories on a device: what :class:`Histories` and `ranking` do with NumPy."""

    offsets: Tensor  # (n_users + 1,)
    item_idx: Tensor  # (n_interactions + 1,), 0 behind the last
    longest: int  # history

    @classmethod
    def of(cls, histories: Histories, device: torch.device) -> Self:
        """Histories, copied once."""
        item_idx = torch.from_numpy(histories.item_idx)
        return cls(
            torch.from_numpy(histories.offsets).to(device),
            torch.cat([item_idx, item_idx.new_zeros(1)]).to(device),
            int(histories.lengths.max(initial=0)),
        )

    def padded(self, user: Tensor, length: int, side: Side) -> Tensor:
        """The newest `length` items of users (n,), padded with 0: (n, length)."""
        ends = self.offsets[user + 1]
        kept = (ends - self.offsets[user]).clamp(max=length)[:, None]
        position = torch.arange(length, device=user.device)
        if side == "left":
            position = position - (length - kept)
        is_outside = (position < 0) | (position >= kept)  # (n, length)
        source = (ends[:, None] - kept + position).masked_fill(is_outside, len(self.item_idx) - 1)
        return self.item_idx[source]

    def everything(self, user: Tensor) -> Tensor:
        """All items of users (n,), 0 behind them: (n, longest)."""
        return self.padded(user, self.longest, "right")

    def penalties(self, user: Tensor, n_rows: int) -> Tensor:
        """-inf for padding and what users (n,) have, else 0: (n, n_rows)."""
        penalty = torch.zeros(len(user), n_rows, device=user.device)
        penalty[:, 0] = -torch.inf
        return penalty.scatter_(1, self.everything(user), -torch.inf)

    def places(self, scores: Tensor, item_idx: Tensor, user: Tensor) -> Tensor:
        """0-based place of one item (n,) among those that its user (n,) does not have: (n,).

        `scores` (n, n_items + 1) are overwritten; a user has each item once.
        """
        is_above = scores.gt_(scores.gather(1, item_idx[:, None]))
        held = self.everything(user)
        n_held = (is_above.gather(1, held) * (held > 0)).sum(1)
        return (is_above[:, 1:].sum(1) - n_held).long()
