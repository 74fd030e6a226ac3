"""Random views: what each operation may and may not do."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.encoders.augmentation import random_view

LENGTH = 12
ROWS = st.lists(st.integers(0, LENGTH), min_size=1, max_size=8)
SEED = st.integers(0, 2**31)
CROP, MASK, REORDER = range(3)


def sequences(lengths: list[int]) -> torch.Tensor:
    """Left-padded; the items of every row are all different."""
    rows = [[0] * (LENGTH - n) + list(range(101, 101 + n)) for n in lengths]
    return torch.tensor(rows)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def operations(n_rows: int, seed: int) -> list[int]:
    """What is done to every row: the first thing that is drawn."""
    return torch.randint(3, (n_rows,), generator=generator(seed)).tolist()


def check_row(before: list[int], after: list[int], operation: int) -> None:
    items = [i for i in before if i]
    n = len(items)
    if operation == CROP:
        kept = [i for i in after if i]
        size = min(n, max(1, n // 5))  # floor(0.2 n), one at least
        assert after == [0] * (LENGTH - size) + kept, "padding stands on the left"
        begin = items.index(kept[0]) if kept else 0
        assert kept == items[begin : begin + size], "a contiguous piece"
    elif operation == MASK:
        assert [b for b, a in zip(before, after, strict=True) if a not in (0, b)] == []
        n_masked = n - sum(1 for i in after if i)
        assert n_masked == 7 * n // 10  # floor(0.7 n)
    else:
        assert sorted(after) == sorted(before)
        moved = [k for k in range(LENGTH) if before[k] != after[k]]
        assert not moved or max(moved) - min(moved) + 1 <= n // 5, "a contiguous piece"


@settings(deadline=None)
@given(ROWS, SEED)
def test_views_obey_their_operation(lengths: list[int], seed: int) -> None:
    before = sequences(lengths)
    after = random_view(before, generator(seed))
    assert torch.equal(before, sequences(lengths)), "input untouched"
    drawn = operations(len(lengths), seed)
    for row, operation in enumerate(drawn):
        check_row(before[row].tolist(), after[row].tolist(), operation)


@settings(deadline=None)
@given(SEED)
def test_a_single_item_survives_every_operation(seed: int) -> None:
    before = sequences([1] * 30)
    assert torch.equal(random_view(before, generator(seed)), before)


@settings(deadline=None)
@given(ROWS, SEED)
def test_one_seed_gives_one_view(lengths: list[int], seed: int) -> None:
    first, again = (random_view(sequences(lengths), generator(seed)) for _ in range(2))
    assert torch.equal(first, again)


def test_operations_and_places_are_drawn_evenly() -> None:
    n_rows = 6000
    before = sequences([10] * n_rows)
    after = random_view(before, generator(0)).numpy()
    drawn = np.array(operations(n_rows, 0))
    for operation in range(3):
        share = (drawn == operation).mean()
        assert abs(share - 1 / 3) < 4 * math.sqrt(1 / 3 * 2 / 3 / n_rows)
    # Crops of 2 of 10 start at 0 … 7 (the published draw leaves out the last place).
    starts = after[drawn == CROP, -2] - 101
    assert set(starts.tolist()) == set(range(8))
    counts = np.bincount(starts, minlength=8)
    assert np.abs(counts - len(starts) / 8).max() < 4 * math.sqrt(len(starts) / 8)
    # Every item is masked 7 times in 10.
    masked = (after[drawn == MASK][:, -10:] == 0).mean(0)
    assert np.abs(masked - 0.7).max() < 4 * math.sqrt(0.7 * 0.3 / (drawn == MASK).sum())
    # A piece of 2 items is turned round half of the time.
    is_reorder = drawn == REORDER
    turned = (after[is_reorder] != before.numpy()[is_reorder]).any(1).mean()
    assert abs(turned - 1 / 2) < 4 * math.sqrt(1 / 4 / is_reorder.sum())
