"""Filters: by hand, and against plain Python on random events."""

import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.filters import filter_interactions
from proactrec.data.interactions import Interactions
from proactrec.errors import DataError, InvalidInputError

Pair = tuple[str, str]
pairs = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("stuvwxyz")), unique=True, min_size=1
)


def interactions(rows: list[Pair]) -> Interactions:
    users, items = zip(*rows, strict=True)
    times = pl.Series(range(len(rows)), dtype=pl.Int64)
    return Interactions(pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times}))


def rows_of(kept: Interactions) -> list[Pair]:
    return kept.table.select("user_id", "item_id").rows()


def plain_core(rows: list[Pair], k: int) -> list[Pair]:
    """Drop one rare user or item at a time: the order cannot matter."""
    while True:
        users, items = (Counter(row[side] for row in rows) for side in (0, 1))
        rare = next((row for row in rows if users[row[0]] < k or items[row[1]] < k), None)
        if rare is None:
            return rows
        rows = [row for row in rows if row != rare]


def paper_core(rows: list[Pair], k: int) -> list[Pair]:
    """The rule of the public code, word for word."""
    while True:
        before = rows
        for side in (1, 0):
            counts = Counter(row[side] for row in rows)
            if any(count < k for count in counts.values()):
                most = max(counts.values())
                rows = [row for row in rows if k <= counts[row[side]] < most]
        if rows == before:
            return rows


@given(rows=pairs, k=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_k_core_is_the_largest_set_in_which_all_have_k(rows: list[Pair], k: int) -> None:
    wanted = plain_core(rows, k)
    if wanted:
        assert rows_of(filter_interactions(interactions(rows), "k-core", k)) == wanted
    else:
        with pytest.raises(DataError, match=f"leaves none of {len(rows)} interactions"):
            filter_interactions(interactions(rows), "k-core", k)


@given(rows=pairs, k=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_paper_filter_follows_the_rule_of_the_public_code(rows: list[Pair], k: int) -> None:
    wanted = paper_core(rows, k)
    if wanted:
        assert rows_of(filter_interactions(interactions(rows), "paper", k)) == wanted
    else:
        with pytest.raises(DataError, match=f"with k={k} leaves none"):
            filter_interactions(interactions(rows), "paper", k)


@given(rows=pairs, k=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_filtering_twice_changes_nothing(rows: list[Pair], k: int) -> None:
    for name in ("k-core", "paper"):
        try:
            once = filter_interactions(interactions(rows), name, k)
        except DataError:
            continue
        assert filter_interactions(once, name, k).table.equals(once.table)


def test_paper_filter_drops_the_most_frequent_item_too() -> None:
    rows = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y"), ("c", "z")]
    # Item z is below 2, so x with the maximum of 3 goes as well.
    assert rows_of(filter_interactions(interactions(rows), "paper", 1)) == rows
    with pytest.raises(DataError):
        # Then a and b have one row each, below 2.
        filter_interactions(interactions(rows), "paper", 2)


def test_no_filter_keeps_everything() -> None:
    events = interactions([("a", "x"), ("b", "y")])
    assert filter_interactions(events, "none", 5) is events


@pytest.mark.parametrize(
    ("name", "k", "error", "message"),
    [
        ("k-core", 0, InvalidInputError, "k must be at least 1, got 0"),
        ("core", 5, InvalidInputError, "filter must be 'k-core', 'paper' or 'none', got 'core'"),
        (
            "k-core",
            2,
            DataError,
            "the k-core filter with k=2 leaves none of 2 interactions (2 users, 2 items)",
        ),
    ],
)
def test_bad_filter_is_refused(name: str, k: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        filter_interactions(interactions([("a", "x"), ("b", "y")]), name, k)
