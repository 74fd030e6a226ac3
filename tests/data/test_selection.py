"""Which events count: by hand, and what is said of those that do not."""

import re
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.load import DatasetOptions, load_dataset
from proactrec.data.selection import SelectionOptions, select_events
from proactrec.errors import DataError, InvalidInputError

DAY = 86_400
START = 1_577_836_800  # 2020-01-01
EVENTS = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "b", "c"],
        "item_id": ["x", "y", "z", "x", "y", "z"],
        "timestamp": [START + DAY * day for day in (0, 1, 2, 1, 1, 5)],
        "rating": [5.0, 3.0, None, 1.0, 4.0, 2.0],
    }
)
ITEMS = Catalogue(
    pl.DataFrame(
        {
            "item_id": ["x", "y", "z"],
            "title": ["X", "Y", "Z"],
            "categories": pl.Series([["A"], ["A", "B"], []], dtype=pl.List(pl.String)),
        }
    )
)


def selected(
    events: pl.DataFrame = EVENTS, **rules: Any
) -> tuple[list[tuple[str, str]], list[str]]:
    kept, removed = select_events(Interactions(events), ITEMS, SelectionOptions(**rules))
    return kept.table.select("user_id", "item_id").rows(), [step.sentence for step in removed]


ALL = EVENTS.select("user_id", "item_id").rows()


@pytest.mark.parametrize(
    ("rules", "kept", "said"),
    [
        ({}, [0, 1, 2, 3, 4, 5], None),
        ({"min_rating": 3}, [0, 1, 4], "a rating of at least 3 removed 1 of 3 users, 1 of 3 items"),
        (
            {"since": "2020-01-02"},
            [1, 2, 3, 4, 5],
            "the days 2020-01-02 to the last removed 0",
        ),
        (
            {"until": "2020-01-02"},
            [0, 1, 3, 4],
            "the days the first day to 2020-01-02 removed",
        ),
        ({"since": date(2020, 1, 3), "until": date(2020, 1, 3)}, [2], "5 of 6 interactions"),
        ({"only_categorised": True}, [0, 1, 3, 4], "leaving out items without a category removed"),
        # Equal times are settled by row order: the later row is the newer one.
        ({"max_per_user": 1}, [2, 4, 5], "the newest 1 of each user removed 0 of 3 users, 1 of 3"),
    ],
)
def test_rules_keep_what_they_should(
    rules: dict[str, object], kept: list[int], said: str | None
) -> None:
    rows, sentences = selected(**rules)
    assert rows == [ALL[row] for row in kept]
    assert len(sentences) == (said is not None)
    assert said is None or said in sentences[0]


def test_days_are_found_in_any_unit() -> None:
    for unit in (1_000, 1_000_000, 1_000_000_000):
        events = EVENTS.with_columns(pl.col("timestamp") * unit)
        assert selected(events, since="2020-01-06")[0] == [("c", "z")]


@pytest.mark.parametrize(
    ("events", "rules", "error", "message"),
    [
        (EVENTS.drop("rating"), {"min_rating": 3}, InvalidInputError, "min_rating 3 needs ratings"),
        (
            EVENTS.with_columns(timestamp=pl.int_range(6)),
            {"since": "2020-01-01"},
            InvalidInputError,
            "since and until need times from 1980 to 2100, but the newest is 5",
        ),
        (EVENTS, {"min_rating": 9}, DataError, "a rating of at least 9 leaves none of 6"),
        (EVENTS, {"until": "2019-01-01"}, DataError, "leaves none of 6 interactions"),
    ],
)
def test_rule_that_cannot_be_kept_is_refused(
    events: pl.DataFrame, rules: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        selected(events, **rules)


def test_shortest_length_holds_after_the_filter() -> None:
    loose = load_dataset("demo", k=5)
    strict = load_dataset("demo", k=5, selection=SelectionOptions(min_length=50))
    assert loose.histories.lengths.min() < 50 <= strict.histories.lengths.min()
    (removal,) = strict.removed
    assert removal.rule == "the k-core filter with k=5 and at least 50 of each user"
    assert removal.of_users - removal.users == strict.n_users
    with pytest.raises(DataError, match="at least 999 of each user leaves none of"):
        load_dataset("demo", selection=SelectionOptions(min_length=999))


def test_what_the_filter_removed_is_counted() -> None:
    (removal,) = load_dataset("demo").removed
    assert removal.sentence == (
        "the k-core filter with k=5 removed 0 of 1,000 users, 45 of 1,497 items and "
        "137 of 58,579 interactions"
    )
    assert load_dataset("demo", filter="none").removed == ()


def test_options_that_came_later_leave_earlier_names_alone() -> None:
    dump = DatasetOptions(name="lastfm").model_dump(mode="json")
    assert dump == {"name": "lastfm", "filter": "k-core", "k": 5, "table": None}
    chosen = DatasetOptions(name="lastfm", selection=SelectionOptions(since="2010-01-01"))
    assert DatasetOptions.model_validate_json(chosen.model_dump_json()) == chosen
    assert chosen.model_dump(mode="json")["selection"]["since"] == "2010-01-01"


@given(n=st.integers(1, 4), least=st.floats(0, 5))
@settings(deadline=None, max_examples=25)
def test_removed_and_kept_add_up(n: int, least: float) -> None:
    rules = SelectionOptions(max_per_user=n, min_rating=least)
    try:
        kept, removed = select_events(Interactions(EVENTS), ITEMS, rules)
    except DataError:
        return
    assert len(kept) + sum(step.interactions for step in removed) == len(EVENTS)
