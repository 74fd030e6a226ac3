"""Similar items against naive loops, and views that insert or substitute them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import proactrec.encoders.similar_items as similar_items
from proactrec.data.dataset import Histories
from proactrec.encoders.mstein import MSteinOptions
from proactrec.encoders.similar_items import (
    inserted,
    most_similar_items,
    similar_view,
    similarity_blocks,
    substituted,
)

LENGTH, N_ITEMS = 12, 40
ROWS = st.lists(st.integers(0, LENGTH), min_size=1, max_size=8)
SEED = st.integers(0, 2**31)


def histories(rows: list[list[int]]) -> Histories:
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return Histories(offsets, np.array([item for row in rows for item in row], dtype=np.int64))


def naive_similarity(rows: list[list[int]], n_items: int) -> np.ndarray:
    total = np.zeros((n_items + 1, n_items + 1))
    count = np.zeros(n_items + 1)
    for row in rows:
        for i in set(row):
            count[i] += 1
            for j in set(row) - {i}:
                total[i, j] += 1 / math.log(1 + len(set(row)))
    for i in range(1, n_items + 1):
        for j in range(1, n_items + 1):
            if total[i, j]:
                total[i, j] /= math.sqrt(count[i] * count[j])
    return total


@pytest.fixture
def rows() -> list[list[int]]:
    """30 users of 0 … 12 of 20 items, some twice; item 20 is touched by nobody."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, 20, rng.integers(0, 13)).tolist() for _ in range(30)]


@pytest.mark.parametrize("cells", [1, 100, 10**6])
def test_similarity_equals_naive_loops(
    rows: list[list[int]], cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_items, "SIMILARITY_CELLS", cells)
    blocks = list(similarity_blocks(histories(rows), 20))
    assert len(blocks) == {1: 20, 100: 7, 10**6: 1}[cells]
    assert torch.cat([items for items, _ in blocks]).tolist() == list(range(1, 21))
    found = torch.cat([similarity for _, similarity in blocks])
    naive = naive_similarity(rows, 20)
    np.testing.assert_allclose(found, naive[1:], atol=1e-12)
    best = most_similar_items(histories(rows), 20)
    assert best[0] == best[20] == 0
    np.testing.assert_allclose(naive[np.arange(1, 20), best[1:20]], naive[1:20].max(1))


def test_similar_items_by_hand() -> None:
    # 1 and 2 share two short histories, 1 and 3 one; 4 stands alone; 5 and 6 only share one.
    known = histories([[1, 2], [2, 1], [1, 3, 5, 6], [4]])
    assert most_similar_items(known, 6).tolist() == [0, 2, 1, 5, 0, 3, 3]


def sequences(lengths: list[int]) -> torch.Tensor:
    """Left-padded; row r holds items of 1 … 20 in a row's own order."""
    rows = [
        [0] * (LENGTH - n) + [(7 * r + k) % 20 + 1 for k in range(n)] for r, n in enumerate(lengths)
    ]
    return torch.tensor(rows)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def items_of(row: torch.Tensor) -> list[int]:
    return [i for i in row.tolist() if i]


def n_touched(n: int, share: float) -> int:
    return min(n, max(1, math.floor(share * n)))


@settings(deadline=None)
@given(ROWS, SEED)
def test_inserting_puts_similar_items_before_their_items(lengths: list[int], seed: int) -> None:
    before = sequences(lengths)
    similar = torch.where(before > 0, before + 20, 0)  # of item i: i + 20
    order = torch.rand(before.shape, generator=generator(seed))
    view = inserted(before, similar, 0.3, order)
    assert view.shape == before.shape
    for row, after in zip(before, view, strict=True):
        old, new = items_of(row), items_of(after)
        assert after.tolist() == [0] * (LENGTH - len(new)) + new, "padding stands on the left"
        n_all = len(old) + n_touched(len(old), 0.3)
        assert len(new) == min(n_all, LENGTH)
        kept = [i for i in new if i <= 20]
        assert kept == old[len(old) - len(kept) :], "the newest, in their order"
        assert all(new[k + 1] == i - 20 for k, i in enumerate(new) if i > 20)
        if n_all <= LENGTH:
            assert kept == old


@settings(deadline=None)
@given(ROWS, SEED)
def test_substituting_replaces_its_share(lengths: list[int], seed: int) -> None:
    before = sequences(lengths)
    similar = torch.where(before > 0, before + 20, 0)
    order = torch.rand(before.shape, generator=generator(seed))
    view = substituted(before, similar, 0.5, order)
    is_changed = view != before
    assert torch.equal(view[is_changed], similar[is_changed])
    assert is_changed.sum(1).tolist() == [n_touched(n, 0.5) for n in lengths]


@settings(deadline=None)
@given(ROWS, SEED)
def test_views_are_reproducible_and_leave_their_input_alone(lengths: list[int], seed: int) -> None:
    before = sequences(lengths)
    best = torch.arange(21).roll(-1)
    options = MSteinOptions(threshold=6)
    first, again = (similar_view(before, best, generator(seed), options) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(before, sequences(lengths))
    assert ((first >= 0) & (first <= 20)).all()
    is_empty = torch.tensor(lengths) == 0
    assert first[is_empty].sum() == 0


def kinds(n: int, n_rows: int, threshold: int) -> np.ndarray:
    """Share of the five operations, told from what is left of rows 1 … n."""
    before = sequences([n]).expand(n_rows, -1)
    best = torch.cat([torch.zeros(1).long(), torch.arange(21, 41), torch.ones(20).long()])
    shares = {"insert": 0.1, "substitute": 1.0, "mask": 0.3, "crop": 0.5, "reorder": 1.0}
    options = MSteinOptions(
        threshold=threshold, **{f"{name}_share": s for name, s in shares.items()}
    )
    view = similar_view(before, best, generator(0), options)
    n_items, n_new = (view > 0).sum(1), (view > 20).sum(1)
    is_insert, is_substitute = (n_items == n + 1) & (n_new == 1), n_new == n
    is_mask, is_crop = n_items == n - int(0.3 * n), n_items == n // 2
    is_reorder = (n_items == n) & (n_new == 0)
    found = torch.stack([is_insert, is_substitute, is_mask, is_crop, is_reorder])
    assert (found.sum(0) == 1).all()
    return found.double().mean(1).numpy()


def test_operations_are_drawn_evenly_from_three_or_five() -> None:
    n_rows = 4000
    for threshold, expected in [(10, [1 / 3] * 3 + [0, 0]), (9, [1 / 5] * 5)]:
        error = 4 * math.sqrt(1 / 4 / n_rows)
        np.testing.assert_allclose(kinds(10, n_rows, threshold), expected, atol=error)


def test_items_without_a_similar_one_are_given_random_ones() -> None:
    n_rows = 4000
    before = torch.tensor([[0, 0, 1, 2]]).expand(n_rows, -1)
    best = torch.tensor([0, 0, 5, 0, 0, 0, 0])  # only item 2 has one
    options = MSteinOptions(insert_share=0, substitute_share=1, mask_share=0)
    view = similar_view(before, best, generator(0), options)
    assert view[:, 0].sum() == 0
    both = view[(view[:, 1] == 0) & (view[:, 3] == 5)]  # substituted whole
    counts = np.bincount(both[:, 2].numpy(), minlength=7)
    assert counts[0] == 0
    n = len(both)
    assert n > n_rows / 4
    assert np.abs(counts[1:] - n / 6).max() < 4 * math.sqrt(n * 1 / 6 * 5 / 6)
