"""Places among items, and the figures made of them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import proactrec.ranking as ranking
from proactrec.data.dataset import Histories
from proactrec.ranking import (
    answer_places,
    best_item,
    drawn_answers,
    hit_rate,
    mean_and_deviation,
    ndcg,
    next_item_figures,
    penalties,
    places,
    popularity_places,
)

CPU = torch.device("cpu")
# Users 0, 1, 2 know items (1, 2), (), (3).
KNOWN = Histories(np.array([0, 2, 2, 3]), np.array([1, 2, 3]))
PLACES = st.lists(st.integers(0, 40), min_size=1, max_size=20).map(np.array)


def test_padding_and_known_items_are_penalised() -> None:
    hidden = penalties(KNOWN, np.array([2, 0, 1]), 5, CPU) == -torch.inf
    assert hidden.int().tolist() == [[1, 0, 0, 1, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]


def test_place_counts_allowed_items_that_score_strictly_higher() -> None:
    users = torch.tensor([[1.0, 0.0]])
    items = torch.tensor([[9.0, 9], [5, 0], [4, 0], [3, 0], [4, 1], [1, 0]])
    nobody = np.array([1])
    # Scores 5, 4, 3, 4, 1 of items 1 … 5; item 0 is padding whatever its score.
    for item, place in [(1, 0), (2, 1), (4, 1), (3, 3), (5, 4)]:
        assert places(users @ items.T, torch.tensor([item]), KNOWN, nobody).item() == place


def test_known_items_do_not_stand_in_the_way_even_of_a_known_item() -> None:
    users, items = torch.tensor([[1.0]]), torch.tensor([[0.0], [5], [4], [3], [2]])
    for item, place in [(3, 0), (2, 0), (4, 1)]:
        found = places(users @ items.T, torch.tensor([item]), KNOWN, np.array([0]))
        assert found.item() == place


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 6))
def test_places_equal_a_plain_sort(seed: int, n_items: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.standard_normal((4, dim)).astype(np.float32)
    items = rng.standard_normal((n_items + 1, dim)).astype(np.float32)
    target = rng.integers(1, n_items + 1, 4)
    nothing = Histories(np.zeros(5, np.int64), np.zeros(0, np.int64))
    scores32 = torch.from_numpy(users @ items.T)
    found = places(scores32, torch.from_numpy(target), nothing, np.arange(4))
    scores = (users.astype(np.float64) @ items.T.astype(np.float64))[:, 1:]
    order = np.argsort(-scores, axis=1)
    expected = np.argmax(order == target[:, None] - 1, axis=1)
    np.testing.assert_array_equal(found, expected)


def test_best_item_is_the_first_of_equals() -> None:
    assert best_item(torch.tensor([[0.0, 2, 2], [-1, -3, -1]])).tolist() == [1, 0]


def test_answers_are_ranked_in_blocks_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    users, items = torch.randn(3, 4, generator=rng), torch.randn(6, 4, generator=rng)
    answers = np.array([4, 0, 5])
    asked: list[list[int]] = []

    def score(rows: np.ndarray) -> torch.Tensor:
        asked.append(rows.tolist())
        return users[torch.from_numpy(rows)] @ items.T

    whole = answer_places(score, answers, KNOWN, 6)
    monkeypatch.setattr(ranking, "SCORE_BLOCK", 1)
    monkeypatch.setattr(ranking, "BLOCK_USERS", 1)
    np.testing.assert_array_equal(answer_places(score, answers, KNOWN, 6), whole)
    assert asked == [[0, 2], [0], [2]]  # user 1 has no answer


def test_many_items_are_not_read_anew_for_every_user() -> None:
    asked: list[int] = []

    def score(rows: np.ndarray) -> torch.Tensor:
        asked.append(len(rows))
        return torch.zeros(len(rows), 2_000_000).index_fill_(1, torch.tensor([7]), 1.0)

    known = Histories(np.zeros(6, np.int64), np.zeros(0, np.int64))
    assert answer_places(score, np.array([7, 8, 0, 7, 9]), known, 2_000_000).tolist() == [
        0,
        1,
        0,
        1,
    ]
    assert asked == [4]


def test_answers_are_drawn_by_the_seed_and_the_rest_left_out() -> None:
    answers = np.arange(400) % 5  # every fifth user has none
    kept, note = drawn_answers(answers, 100, 50, seed=3)
    assert note == " of 50 of 320 users"
    assert np.count_nonzero(kept) == 50
    assert (kept[kept > 0] == answers[kept > 0]).all()
    np.testing.assert_array_equal(drawn_answers(answers, 100, 50, seed=3)[0], kept)
    assert (drawn_answers(answers, 100, 50, seed=4)[0] != kept).any()
    assert drawn_answers(answers, 100, 320, seed=3)[0] is answers


def test_all_answers_are_ranked_unless_that_takes_too_many_scores() -> None:
    answers = np.ones(3000, np.int64)
    assert drawn_answers(answers, 600_000, None, seed=0) == (answers, "")
    kept, note = drawn_answers(answers, 1_000_001, None, seed=0)
    assert (kept.sum(), note) == (1999, " of 1,999 of 3,000 users")
    assert drawn_answers(answers, 10**9, None, seed=0)[0].sum() == 1000


def test_figures_by_hand() -> None:
    place = np.array([0, 2, 5, 30])
    assert hit_rate(place, 5) == 2 / 4
    assert ndcg(place, 5) == pytest.approx((1 + 1 / 2) / 4)
    assert ndcg(place, 10) == pytest.approx((1 + 1 / 2 + 1 / math.log2(7)) / 4)
    figures = next_item_figures(place)
    assert list(figures) == ["hr@5", "ndcg@5", "hr@10", "ndcg@10", "hr@20", "ndcg@20"]
    assert figures["hr@20"] == 3 / 4


@settings(deadline=None, max_examples=50)
@given(PLACES, st.integers(1, 30))
def test_figures_lie_in_bounds_and_a_perfect_list_gives_one(place: np.ndarray, k: int) -> None:
    assert 0 <= ndcg(place, k) <= hit_rate(place, k) <= 1
    assert ndcg(place * 0, k) == hit_rate(place * 0, k) == 1


@settings(deadline=None, max_examples=50)
@given(PLACES, st.integers(1, 30))
def test_a_better_place_never_lowers_a_figure(place: np.ndarray, k: int) -> None:
    better = np.maximum(place - 1, 0)
    assert ndcg(better, k) >= ndcg(place, k)
    assert hit_rate(better, k) >= hit_rate(place, k)


def test_popularity_ranks_by_count_then_by_index_among_unknown_items() -> None:
    # Items 1 … 4 are known to 1, 2, 2, 0 users.
    known = Histories(np.array([0, 2, 4, 5]), np.array([2, 3, 3, 1, 2]))
    # User 0 knows 2, 3: left 1, 4. User 1 knows 3, 1: left 2, 4. User 2 knows 2: left 3, 1, 4.
    assert popularity_places(5, np.array([4, 2, 4]), known).tolist() == [1, 0, 2]
    assert popularity_places(5, np.array([1, 0, 1]), known).tolist() == [0, 1]


def test_mean_and_deviation_by_hand() -> None:
    figures = mean_and_deviation(np.array([1.0, 3.0, 5.0]))
    assert figures == {"mean": 3.0, "std": pytest.approx(math.sqrt((4 + 0 + 4) / 3))}
