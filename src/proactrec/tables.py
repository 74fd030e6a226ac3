"""Steps of tables with a row a user or an item: of the rows that a batch touches, or of them all.

A dense step of Adam passes over whole tables, which at a million rows takes a second and a half
whatever the batch. A batch touches a few thousand rows.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.optimizers import Adam

LARGE_TABLE = 50_000
"""Rows from which `table_steps="auto"` moves touched rows only: there dense batches of GraphAU
begin to take longer, at a million thirty times as long. Smaller tables are fitted as ever."""


class LargeTableOptions(Options):
    """Settings of training that matter where there are many users or items."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"table_steps", "n_validated"})

    table_steps: Literal["auto", "dense", "touched"] = Field(
        "auto",
        description="rows of user and item tables that a step of Adam moves: all (dense), those "
        f"that the batch touches, or touched ones from {LARGE_TABLE:,} users or items on (auto)",
    )
    n_validated: int | None = Field(
        None,
        ge=2,
        description="users whose validation answer is ranked after each epoch, drawn by the seed; "
        "None: all, or as many as take 2,000,000,000 scores, but 1,000 at least",
    )

    @property
    def moves_every_row(self) -> str:
        """The setting by which every batch has a gradient in every row; empty if none does."""
        return ""

    @model_validator(mode="after")
    def _touched_rows_are_few(self) -> Self:
        if self.table_steps == "touched" and self.moves_every_row:
            raise InvalidInputError(
                "table_steps must be 'auto' or 'dense' where every batch moves every row "
                f"({self.moves_every_row}), got 'touched'"
            )
        return self

    def touches_rows(self, n_rows: int) -> bool:
        """Whether steps move touched rows only, the largest table having `n_rows`."""
        if self.table_steps == "auto":
            return n_rows >= LARGE_TABLE and not self.moves_every_row
        return self.table_steps == "touched"


def rows_of(table: Tensor, idx: Tensor, *, touched: bool) -> Tensor:
    """Rows (n, d) of a table; where `touched`, its gradient is sparse and holds no other rows."""
    return F.embedding(idx, table, sparse=True) if touched else table[idx]


class RowAdam(Adam):
    """Adam that moves only those rows of a table that a sparse gradient holds.

    Other rows stay, and so do their moments; the number of steps is the table's. So does
    ``torch.optim.SparseAdam``, but for weight decay: it is added to the gradient as in Adam, so a
    row decays when it is moved. Weights with dense gradients are stepped by Adam.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move what has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    _step(weight, self.state[weight], group)
                    weight.grad = None  # Adam passes over it
        super().step()


def adam(
    parameters: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0, touched: bool
) -> torch.optim.Optimizer:
    """Adam, of touched rows or of all."""
    if touched:
        return RowAdam(parameters, lr=lr, weight_decay=weight_decay)
    return Adam(parameters, lr=lr, weight_decay=weight_decay)


def _step(weight: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    assert weight.grad is not None
    if not state:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
    state["step"] += 1
    n_steps, (first, second) = float(state["step"]), group["betas"]
    gradient = weight.grad.coalesce()
    rows, gradient = gradient.indices()[0], gradient.values()
    tables = weight, state["exp_avg"], state["exp_avg_sq"]
    was, mean, square = (table[rows] for table in tables)
    gradient = gradient + group["weight_decay"] * was
    mean, square = mean.lerp(gradient, 1 - first), square.lerp(gradient.square(), 1 - second)
    spread = (square / (1 - second**n_steps)).sqrt() + group["eps"]
    moved = was - group["lr"] / (1 - first**n_steps) * mean / spread
    for table, values in zip(tables, (moved, mean, square), strict=True):
        table.index_copy_(0, rows, values)
