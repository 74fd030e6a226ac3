"""Pairs of items counted at once and item by item: the same table, and what is left out of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import proactrec.policies.together as together
from proactrec.data.dataset import Dataset, Histories
from proactrec.policies.together import counted_at_once, counted_by_item, information
from proactrec.policies.views import companions

N_ROWS = 9
Item = st.integers(1, N_ROWS - 1)
Drawn = st.lists(st.lists(Item, max_size=7), min_size=1, max_size=12)


def histories(drawn: list[list[int]]) -> Histories:
    offsets = np.cumsum([0, *map(len, drawn)]).astype(np.int64)
    return Histories(offsets, np.array([item for items in drawn for item in items], np.int64))


def random_histories(n_users: int, n_rows: int) -> Histories:
    rng = np.random.default_rng(0)
    return histories([rng.integers(1, n_rows, 1 + user % 12).tolist() for user in range(n_users)])


@settings(deadline=None, max_examples=60)
@given(Drawn)
def test_item_by_item_gives_the_table_of_all_at_once(drawn: list[list[int]]) -> None:
    """Items that a user repeats, users with one item and items that nobody has among them."""
    known = histories(drawn)
    expected = counted_at_once(known, N_ROWS).to_dense().float()
    found, transposed = counted_by_item(known, N_ROWS)
    torch.testing.assert_close(found.to_dense(), expected)
    assert torch.equal(transposed.to_dense(), found.to_dense().T)


@pytest.mark.parametrize("read_at_once", [1, 3, 1024])
def test_popular_items_are_counted_by_parts_of_their_users(
    read_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = random_histories(200, 30)
    monkeypatch.setattr(together, "COUNTED_USERS", read_at_once)
    found, _ = counted_by_item(known, 30)
    expected = counted_at_once(known, 30).to_dense().float()
    torch.testing.assert_close(found.to_dense(), expected)


def test_an_item_keeps_the_pairs_that_tell_most(monkeypatch: pytest.MonkeyPatch) -> None:
    known, n_rows = random_histories(200, 30), 30
    whole, _ = counted_by_item(known, n_rows)
    monkeypatch.setattr(together, "KEPT_PAIRS", 4 * n_rows)
    some, transposed = counted_by_item(known, n_rows)
    whole, some = whole.to_dense(), some.to_dense()
    assert torch.equal(transposed.to_dense(), some.T)
    has = np.zeros((200, n_rows))
    np.add.at(has, (known.user_idx, known.item_idx), 1)
    pairs = has.T @ has
    told = torch.from_numpy((pairs.sum(1) - np.diag(pairs)) ** 0.75) * whole
    for item in range(1, n_rows):
        kept = some[item] > 0
        assert kept.sum() == 4
        assert torch.equal(some[item][kept], whole[item][kept])
        assert told[item][kept].min() >= told[item][~kept].max() - 1e-3


def test_many_pairs_are_counted_of_the_newest_items(monkeypatch: pytest.MonkeyPatch) -> None:
    known = histories([[1, 2, 3, 4], [4, 3], [2, 1], [5, 1, 2]])
    assert information(known, N_ROWS)[0].dtype == torch.float64
    monkeypatch.setattr(together, "NEWEST", 2)
    monkeypatch.setattr(together, "COUNTED_PAIRS", 4 * 4 + 2 * 2 + 2 * 2 + 3 * 3)
    assert information(known, N_ROWS)[0].dtype == torch.float64
    monkeypatch.setattr(together, "COUNTED_PAIRS", 4 * 4 + 2 * 2 + 2 * 2 + 3 * 3 - 1)
    found, transposed = information(known, N_ROWS)
    newest = histories([[3, 4], [4, 3], [2, 1], [1, 2]])
    expected = counted_at_once(newest, N_ROWS).to_dense().float()
    torch.testing.assert_close(found.to_dense(), expected)
    assert torch.equal(transposed.to_dense(), found.to_dense().T)


def test_newest_items_of_every_user() -> None:
    known = histories([[1, 2, 3], [], [4], [5, 6]])
    newest = known.newest(2)
    assert [newest.of(user).tolist() for user in range(4)] == [[2, 3], [], [4], [5, 6]]
    assert [known.newest(9).of(user).tolist() for user in range(4)] == [[1, 2, 3], [], [4], [5, 6]]


def test_companions_of_many_pairs_are_those_of_few(
    parity_dataset: Callable[[list[list[str]], int], Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, up to rounding; where items keep few pairs, still what the same users have."""
    dataset = parity_dataset([[]] * 40, 8)
    users, items = companions(dataset, 41)
    monkeypatch.setattr(together, "COUNTED_PAIRS", 0)
    large_users, large_items = companions(dataset, 41)
    torch.testing.assert_close(large_items @ large_items.T, items @ items.T, atol=2e-3, rtol=0)
    torch.testing.assert_close(large_users @ large_items.T, users @ items.T, atol=2e-3, rtol=0)
    monkeypatch.setattr(together, "KEPT_PAIRS", 8 * 41)
    _, few = companions(dataset, 41)
    alike, parity = few[1:] @ few[1:].T, torch.arange(40) % 2
    same = parity[:, None] == parity
    assert alike[same].mean() > alike[~same].mean() + 0.1
