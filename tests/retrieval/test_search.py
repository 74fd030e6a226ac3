"""The exact search against brute force, and what it does with exclusions, ties and nothing left."""

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from proactrec.retrieval import search as search_module
from proactrec.retrieval.neighbours import Neighbours
from proactrec.retrieval.scores import KINDS, Score
from proactrec.retrieval.search import ExactSearch, search_in
from proactrec.retrieval.table import Int8Table
from proactrec.types import FloatArray

from .judge import best, scores

N_TABLES, N_CASES = 100, 100


def drawn_items(rng: np.random.Generator, kind: str) -> FloatArray:
    """A table: of any lengths, of unit rows in clusters, or of small integers with many equals."""
    n, size = int(rng.integers(2, 400)), int(rng.integers(2, 70))
    items = rng.standard_normal((n, size))
    if kind == "clustered":
        items = items[rng.integers(0, 5, n) % n] + 0.05 * items
        items /= np.linalg.norm(items, axis=1, keepdims=True)
    if kind == "equal":
        items = rng.integers(-2, 3, (max(1, n // 4), size))[rng.integers(0, max(1, n // 4), n)]
    items[0] = 0
    return items.astype(np.float32)


def drawn_score(rng: np.random.Generator, items: FloatArray) -> Score:
    """A journey's score with numbers as policies have them; whole numbers where the table's are."""
    user, target = items[rng.integers(0, len(items), 2)] * np.float32(rng.choice([0.5, 1, 2]))
    kind, is_unit = KINDS[rng.integers(3)], bool(np.allclose(np.linalg.norm(items[1:], axis=1), 1))
    per_item = rng.choice([0.0, 0.25, 0.5, -1.0], len(items)).astype(np.float32)
    if kind == "foreseen" or rng.random() < 0.3:
        user = user / max(np.linalg.norm(user), 1.0)
    has_own = bool(rng.integers(2))
    return Score(
        kind,
        np.ascontiguousarray(user, np.float32),
        target,
        per_item if has_own else per_item[:0],
        (float(per_item.min()), float(per_item.max())) if has_own else (0.0, 0.0),
        here=float(rng.choice([-0.5, 0.0, 0.25])),
        is_sigmoid=bool(rng.integers(2)),
        by_unit=bool(rng.integers(2)) and is_unit,
        slope=float(rng.choice([-2.0, 0.0, 4.0])),
        interest=float(rng.choice([0.0, 1.0])),
        step=float(rng.choice([0.0, 0.02])),
        kept_share=float(rng.choice([0.5, 0.8, 1.0])),
    )


def drawn_penalty(rng: np.random.Generator, n: int) -> FloatArray:
    """Padding and any share of items may not be shown."""
    penalty = np.where(rng.random(n) < rng.choice([0.0, 0.3, 1.0]), -np.inf, 0.0)
    penalty[0] = -np.inf
    return penalty.astype(np.float32)


@pytest.mark.parametrize("kind", ["any", "clustered", "equal"])
def test_all_of_the_best_are_found_in_10_000_cases(kind: str) -> None:
    """With ties and exclusions: none of the best k is ever missed, and none is excluded."""
    rng = np.random.default_rng(KINDS.index("guided") + len(kind))
    n_ruled_out = n_all = 0
    for _ in range(N_TABLES):
        items = drawn_items(rng, kind)
        search = ExactSearch(torch.from_numpy(items))
        for _ in range(N_CASES // 3 + 1):
            score, penalty = drawn_score(rng, items), drawn_penalty(rng, len(items))
            k = int(rng.choice([1, 1, 5, 33]))
            found = search.best(score, penalty, k)
            assert found is not None
            assert (np.diff(found.item_idx) > 0).all()
            assert (penalty[found.item_idx] == 0).all()
            must = best(score, items, penalty, k)
            true = scores(score, items)
            missed = np.setdiff1d(must, found.item_idx)
            assert missed.size == 0, (score, k, true[must], true[found.item_idx])
            if len(must) == k:
                assert found.least <= true[must].min() + 1e-5
            n_all += int((penalty == 0).sum())
            n_ruled_out += int((penalty == 0).sum()) - len(found.item_idx)
    assert n_ruled_out > 0.2 * n_all


def test_bounds_rule_out_nearly_everything_of_a_large_table() -> None:
    rng = np.random.default_rng(5)
    items = rng.standard_normal((50_000, 64)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    items[0] = 0
    search, penalty = ExactSearch(torch.from_numpy(items)), np.zeros(50_000, np.float32)
    penalty[0] = -np.inf
    for kind in KINDS:
        user = rng.standard_normal(64).astype(np.float32) / np.float32(8)
        score = Score(kind, user, items[7], is_sigmoid=True, slope=4.0, step=0.01)
        found = search.best(score, penalty, 33 if kind == "foreseen" else 1)
        assert found is not None
        assert len(found.item_idx) < 1_000
        wanted = best(score, items, penalty, 1)
        assert wanted[0] in found.item_idx


def test_what_is_excluded_raises_no_bound() -> None:
    """The best items are all excluded: the next ones are found, though far below."""
    items = np.zeros((10, 2), np.float32)
    items[1:6], items[6:] = [1, 0], [[0.1, 0], [0.2, 0], [0.2, 0], [-1, 0]]
    penalty = np.array([-np.inf, *[-np.inf] * 5, 0, 0, 0, 0], np.float32)
    score = Score("relevance", np.array([1, 0], np.float32), np.zeros(2, np.float32))
    found = ExactSearch(torch.from_numpy(items)).best(score, penalty, 1)
    assert found is not None
    assert found.item_idx.tolist() == [7, 8]


def test_the_table_bounds_its_errors() -> None:
    rng = torch.Generator().manual_seed(3)
    vectors = torch.randn(1000, 48, generator=rng) * torch.rand(1000, 1, generator=rng) * 30
    vectors[0] = 0
    rows, about = Int8Table.of(vectors)
    off = np.linalg.norm(vectors.numpy().astype(np.float64) - rows * about[0][:, None], axis=1)
    assert (off <= about[1] + 1e-12).all()
    assert rows.dtype == np.int8
    assert (np.abs(rows[1:]).max(1) == 127).all()


def test_too_many_equals_are_all_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "MOST", 20)
    search = ExactSearch(torch.ones(50, 4))
    score = Score("relevance", np.ones(4, np.float32), np.zeros(4, np.float32))
    assert search.best(score, np.zeros(50, np.float32), 1) is None


def test_catalogues_are_searched_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.eye(40)
    assert search_in(vectors) is None  # scoring everything is quicker
    monkeypatch.setattr(search_module, "LARGE", 10)
    assert isinstance(search_in(vectors), ExactSearch)
    monkeypatch.setattr(search_module, "HUGE", 20)
    assert isinstance(search_in(vectors), Neighbours)


def test_without_numba_all_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "LARGE", 10)
    usual = importlib.util.find_spec
    missing: Any = lambda name: None if name == "numba" else usual(name)  # noqa: E731
    monkeypatch.setattr(search_module, "find_spec", missing)
    assert search_in(torch.eye(40)) is None


def test_neighbours_find_what_is_near_user_or_target() -> None:
    """Of clustered items nearly all of the best ten by a guided score."""
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((50, 16))
    items = centres[rng.integers(0, 50, 20_001)] + 0.4 * rng.standard_normal((20_001, 16))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    items[0] = 0
    items = items.astype(np.float32)
    search, penalty = Neighbours(torch.from_numpy(items)), np.zeros(len(items), np.float32)
    penalty[[0, *range(1, 20_001, 7)]] = -np.inf
    n_found = 0
    for user, target in rng.integers(1, 20_001, (50, 2)):
        score = Score("guided", items[user], items[target], is_sigmoid=True, by_unit=True)
        found = search.best(score, penalty, 10)
        assert found is not None
        assert (penalty[found.item_idx] == 0).all()
        n_found += len(np.intersect1d(best(score, items, penalty, 10), found.item_idx))
    assert n_found > 0.95 * 50 * 10
