"""Steps of touched rows: torch's SparseAdam, and Adam where all rows have gradients."""

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proactrec.config import digest
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.bsarec import BSARecOptions
from proactrec.encoders.mstein import MSteinOptions
from proactrec.errors import InvalidInputError
from proactrec.graphau import GraphAUOptions
from proactrec.optimizers import Adam
from proactrec.tables import LARGE_TABLE, RowAdam, adam, rows_of

SETTINGS = {"lr": 0.1, "weight_decay": 0.01}
N_ROWS, DIM = 6, 3
Rows = st.lists(st.integers(0, N_ROWS - 1), min_size=1, max_size=8)


def table() -> Tensor:
    start = torch.Generator().manual_seed(1)
    return torch.randn(N_ROWS, DIM, dtype=torch.float64, generator=start).requires_grad_()


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def loss_of(weight: Tensor, rows: list[int], *, touched: bool) -> Tensor:
    """Every row is drawn to a point of its own; a row that occurs twice counts twice."""
    near = rows_of(weight, torch.tensor(rows), touched=touched)
    return (near - torch.tensor(rows)[:, None]).square().sum()


@settings(deadline=None, max_examples=40)
@given(st.lists(Rows, min_size=1, max_size=12))
def test_touched_rows_move_as_by_torchs_sparse_adam(batches: list[list[int]]) -> None:
    """But for its eps, 1e-8, which it adds before and not behind the correction of the root."""
    ours, theirs = table(), table()
    optimizers = RowAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    for batch in batches:
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            step(optimizer, loss_of(weight, batch, touched=True))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("touched", [True, False])
def test_a_table_whose_rows_are_all_touched_moves_as_by_adam(touched: bool) -> None:
    """Weight decay included."""
    ours, theirs = table(), table()
    optimizers = RowAdam([ours], **SETTINGS), torch.optim.Adam([theirs], **SETTINGS)
    for _ in range(20):
        step(optimizers[0], loss_of(ours, [*range(N_ROWS), 2], touched=touched))
        step(optimizers[1], loss_of(theirs, [*range(N_ROWS), 2], touched=False))
    torch.testing.assert_close(ours, theirs)


def test_a_table_beside_other_weights_moves_alone() -> None:
    """Other weights are Adam's, and a table may have both kinds of gradients by turns."""
    weight, bias = table(), torch.ones(DIM, dtype=torch.float64, requires_grad=True)
    twin, twin_bias = (x.detach().clone().requires_grad_() for x in (weight, bias))
    both = [RowAdam([weight, bias], **SETTINGS), torch.optim.Adam([twin, twin_bias], **SETTINGS)]
    for number in range(12):
        rows = torch.arange(N_ROWS)
        near = rows_of(weight, rows, touched=number % 3 > 0)
        step(both[0], ((near + bias) * rows[:, None]).square().sum())
        step(both[1], ((twin + twin_bias) * rows[:, None]).square().sum())
    torch.testing.assert_close(weight, twin)
    torch.testing.assert_close(bias, twin_bias)


def test_rows_without_a_gradient_stay_with_their_moments() -> None:
    weight = table()
    optimizer = RowAdam([weight], **SETTINGS)
    step(optimizer, loss_of(weight, [0, 1], touched=True))
    before, state = weight.detach().clone(), optimizer.state[weight]["exp_avg"].clone()
    step(optimizer, loss_of(weight, [1, 1, 4], touched=True))
    assert (weight != before).any(1).tolist() == [False, True, False, False, True, False]
    changed = (optimizer.state[weight]["exp_avg"] != state).any(1)
    assert changed.tolist() == [False, True, False, False, True, False]
    assert optimizer.state[weight]["step"] == 2


def test_the_gradient_of_touched_rows_is_that_of_the_table() -> None:
    gradients = []
    for touched in (True, False):
        weight = table()
        loss_of(weight, [3, 1, 3], touched=touched).backward()
        assert weight.grad is not None
        assert weight.grad.is_sparse == touched
        gradients.append(weight.grad.to_dense())
    torch.testing.assert_close(*gradients)


def test_one_door_gives_both_kinds() -> None:
    assert type(adam([table()], lr=0.1, touched=False)) is Adam
    touched = adam([table()], lr=0.1, weight_decay=0.2, touched=True)
    assert isinstance(touched, RowAdam)
    assert (touched.defaults["lr"], touched.defaults["weight_decay"]) == (0.1, 0.2)


@pytest.mark.parametrize("kind", [GraphAUOptions, EncoderOptions, MSteinOptions])
def test_auto_goes_by_size_where_a_batch_touches_few_rows(kind: Any) -> None:
    sizes = (20_001, LARGE_TABLE - 1, LARGE_TABLE)
    assert [kind().touches_rows(n) for n in sizes] == [False, False, True]
    assert kind(table_steps="touched").touches_rows(2)
    assert not kind(table_steps="dense").touches_rows(10**7)


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        (GraphAUOptions, {"n_layers": 2}, "n_layers above 1"),
        (EncoderOptions, {"next_item_loss": "cross_entropy"}, "next_item_loss 'cross_entropy'"),
        (BSARecOptions, {}, "next_item_loss 'cross_entropy'"),
    ],
)
def test_where_every_row_moves_steps_are_dense(
    kind: Any, changes: dict[str, Any], why: str
) -> None:
    assert not kind(**changes).touches_rows(10**7)
    wanted = f"where every batch moves every row ({why}), got 'touched'"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        kind(table_steps="touched", **changes)


@pytest.mark.parametrize("kind", [GraphAUOptions, EncoderOptions, MSteinOptions, BSARecOptions])
def test_what_was_fitted_before_keeps_its_name(kind: Any) -> None:
    """The new settings are in the name of an artefact only where somebody chose them."""
    assert not {"table_steps", "n_validated"} & set(kind().model_dump())
    chosen = [kind(), kind(table_steps="dense"), kind(n_validated=50)]
    assert len({digest(options.model_dump()) for options in chosen}) == 3
    assert kind(**chosen[2].model_dump()) == chosen[2]
