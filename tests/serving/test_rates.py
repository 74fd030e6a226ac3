"""Permits come steadily, and nobody takes more than there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactrec.errors import InvalidInputError
from proactrec.serving import rates
from proactrec.serving.rates import Buckets, Rate


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(rates.time, "monotonic", lambda: self.now)


def test_a_rate_is_said_in_words() -> None:
    assert Rate.parse("2000/second") == (2000, 1)
    assert [Rate.parse(f"5/{unit}").seconds for unit in ("minute", "hour")] == [60, 3600]
    for wrong in ("", "2000", "0/second", "-1/second", "1.5/second", "5/day", "5 / second"):
        with pytest.raises(InvalidInputError, match="a rate must be N/second"):
            Rate.parse(wrong)


def test_a_bucket_gives_what_is_in_it_and_fills_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, buckets = Clock(monkeypatch), Buckets(Rate(3, 60))
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 20, 20]
    assert buckets.take("b") == 0  # another's
    clock.now += 20
    assert [buckets.take("a") for _ in range(2)] == [0, 20]
    buckets.give_back("a")
    assert buckets.take("a") == 0
    clock.now += 600  # no more than full
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 20]


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_span_of_time_gives_more_than_the_rate_and_a_full_bucket(waits: list[float]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock, buckets, taken = Clock(monkeypatch), Buckets(Rate(4, 2)), []
        for wait in waits:
            clock.now += wait
            if buckets.take("a") == 0:
                taken.append(clock.now)
        for at, first in enumerate(taken):
            for n, last in enumerate(taken[at:], 1):
                assert n <= 4 + 2 * (last - first) + 0.5 + 1e-6


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, buckets = Clock(monkeypatch), Buckets(Rate(1, 60))
    monkeypatch.setattr(rates, "MOST_NAMES", 10)
    for n in range(25):
        clock.now += 7  # about nine are not full at any time
        assert buckets.take(str(n)) == 0
        assert len(buckets._full_at) <= 10
    assert buckets.take("24") > 0
