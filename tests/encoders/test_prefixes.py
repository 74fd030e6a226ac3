"""Prefix rows against a loop over users, and their loss."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.encoders.losses import full_cross_entropy
from proactrec.encoders.prefixes import PrefixOptions, PrefixRows
from proactrec.errors import InvalidInputError

Build = Callable[[list[list[int]]], Dataset]
CPU = torch.device("cpu")
LENGTH = 4
Row = tuple[int, list[int], int]


@pytest.fixture(scope="module")
def histories() -> list[list[int]]:
    """60 users with 1 … 14 of 14 items; every item occurs."""
    rng = np.random.default_rng(3)
    some = [(rng.permutation(14)[: rng.integers(1, 15)] + 1).tolist() for _ in range(59)]
    return [list(range(1, 15)), *some]


def rows_of(dataset: Dataset, *, with_empty: bool, **changes: object) -> PrefixRows:
    return PrefixRows(dataset, PrefixOptions(max_seq_len=LENGTH, **changes), with_empty=with_empty)


def listed(rows: PrefixRows) -> list[Row]:
    batch = rows.batch(torch.arange(len(rows)), torch.Generator(), CPU)
    parts = (rows.user_idx, batch.item_seq, batch.answer)
    return [tuple(row) for row in zip(*(part.tolist() for part in parts), strict=True)]


def naive(histories: list[list[int]], *, newest_only: bool, with_empty: bool) -> list[Row]:
    rows: list[Row] = []
    for user, items in enumerate(histories):
        known = items[:-2] if len(items) >= 3 else items
        known = known[-LENGTH:] if newest_only else known
        for end in range(len(known)):
            prefix = known[:end][-LENGTH:]
            if prefix or with_empty:
                rows.append((user, [0] * (LENGTH - len(prefix)) + prefix, known[end]))
    return rows


@pytest.mark.parametrize("windows", ["last", "all"])
@pytest.mark.parametrize("with_empty", [False, True])
def test_rows_are_those_of_a_loop_over_users(
    dataset_of: Build, histories: list[list[int]], windows: str, with_empty: bool
) -> None:
    found = listed(rows_of(dataset_of(histories), with_empty=with_empty, windows=windows))
    expected = naive(histories, newest_only=windows == "last", with_empty=with_empty)
    assert found == expected


def test_rows_by_hand(dataset_of: Build) -> None:
    dataset = dataset_of([[1, 2, 3, 4, 5, 6, 7, 8], [8, 5, 1], [2, 7]])
    newest = [
        (0, [0, 0, 0, 0], 3),  # train items 1 … 6, of which 3 … 6 are read
        (0, [0, 0, 0, 3], 4),
        (0, [0, 0, 3, 4], 5),
        (0, [0, 3, 4, 5], 6),
        (1, [0, 0, 0, 0], 8),
        (2, [0, 0, 0, 0], 2),  # too short to have held-out items
        (2, [0, 0, 0, 2], 7),
    ]
    assert listed(rows_of(dataset, with_empty=True)) == newest
    everything = listed(rows_of(dataset, with_empty=False, windows="all"))
    assert everything == [
        (0, [0, 0, 0, 1], 2),
        (0, [0, 0, 1, 2], 3),
        (0, [0, 1, 2, 3], 4),
        (0, [1, 2, 3, 4], 5),
        (0, [2, 3, 4, 5], 6),
        (2, [0, 0, 0, 2], 7),
    ]


def test_held_out_items_are_never_read(dataset_of: Build, histories: list[list[int]]) -> None:
    """Other items in the last two places change no row."""
    long = [items for items in histories if len(items) >= 3]
    swapped = [[*items[:-2], items[-1], items[-2]] for items in long]
    options = {"with_empty": True, "windows": "all"}
    before, after = (listed(rows_of(dataset_of(h), **options)) for h in (long, swapped))
    assert before == after
    assert len(before) == sum(len(items) - 2 for items in long)
    for user, item_seq, answer in before:
        assert not {*item_seq, answer} & set(long[user][-2:])


def test_an_epoch_is_some_random_rows(cyclic: Dataset) -> None:
    rows = rows_of(cyclic, with_empty=True, windows="all", rows_per_epoch=100)
    assert len(rows) == 90 * 6
    first, second = (rows.order(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert len(first) == len(first.unique()) == 100
    assert set(first.tolist()) != set(second.tolist())
    assert first.max() >= 300  # drawn from all rows, not from the oldest
    whole = rows_of(cyclic, with_empty=True, windows="all", rows_per_epoch=None)
    order = whole.order(torch.Generator().manual_seed(0))
    assert order.sort().values.tolist() == list(range(540))


def test_sequences_for_intents_are_spread_over_all_rows(cyclic: Dataset) -> None:
    few = rows_of(cyclic, with_empty=False, windows="all", rows_per_epoch=90)
    every = rows_of(cyclic, with_empty=False, windows="all", rows_per_epoch=None)
    assert torch.equal(every.item_seq, every.inputs(torch.arange(450)))
    assert torch.equal(few.item_seq, every.item_seq[::5])


def test_nothing_to_answer_is_refused(dataset_of: Build) -> None:
    wanted = "no user has enough train interactions, so there is no next item to learn from"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        rows_of(dataset_of([[1, 2, 3], [1]]), with_empty=False)


def test_cross_entropy_by_hand_leaves_padding_out() -> None:
    items = torch.tensor([[9.0, 9], [1, 0], [0, 1], [2, 2]], requires_grad=True)
    states = torch.tensor([[1.0, 2], [-1, 0]])
    # Scores of items 1, 2, 3: (1, 2, 6) and (-1, 0, -2).
    e = math.exp
    expected = (math.log(e(1) + e(2) + e(6)) - 2 + math.log(e(-1) + e(0) + e(-2)) + 2) / 2
    loss = full_cross_entropy(states, torch.tensor([2, 3]), items)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert items.grad is not None
    assert items.grad[0].tolist() == [0, 0]
    assert (items.grad[1:] != 0).any(1).all()
