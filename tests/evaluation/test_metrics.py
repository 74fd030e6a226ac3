"""HR, IoI, IoR and their companions, by hand on a log of two users and two targets."""

import math
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.dataset import Dataset
from proactrec.evaluation.metrics import by_group, evaluate
from proactrec.evaluation.observed_metrics import (
    MetricOptions,
    hit_ratio,
    observed_worth,
    rounds_to_target,
    target_acceptance,
)
from proactrec.files import write_json
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.bootstrap import bootstrap_weights, ratio_estimates
from proactrec.measurement.sums import Sums, floats
from proactrec.worth import Worth

NAN = math.nan
# Pairs: (user 0, target 5), (user 1, target 5), (user 0, target 2), (user 1, target 2).
# The first accepts its target in round 2 and stops; the last has nothing left after round 3.
LOG = GuidanceLog(
    user_idx=np.array([0, 1, 0, 1]),
    target_idx=np.array([5, 5, 2, 2]),
    item_idx=np.array([[1, 5, 0, 0], [1, 3, 4, 5], [4, 3, 1, 5], [3, 1, 4, 0]]),
    accept_prob=np.array(
        [[0.5, 0.7, NAN, NAN], [0.2, 0.4, 0.6, 0.8], [0.1, 0.1, 0.1, 0.1], [0.3, 0.6, 0.9, NAN]]
    ),
    accepted=np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]], dtype=bool),
    interest=np.array(
        [
            [0.1, 0.2, 0.6, 0.6, 0.6],
            [0.0, 0.0, 0.3, 0.3, 0.3],
            [0.5, 0.5, 0.5, 0.5, 0.4],
            [0.2, 0.1, 0.1, 0.4, 0.4],
        ]
    ),
    rank=np.array(
        [[300, 250, 10, 10, 10], [40, 40, 20, 20, 20], [0, 0, 0, 0, 4], [250, 260, 260, 190, 190]]
    ),
    is_counted=np.array([True, True, True, True]),
)
ROUNDS = (2, 3, 4)


@pytest.fixture(scope="module")
def dataset(dataset_of: Callable[..., Dataset]) -> Dataset:
    """Two users, items 1 … 5: items 1, 2 are A, items 3, 4 B, item 5 both."""
    return dataset_of([[1, 2, 3], [2, 4, 5]], [["A"], ["A"], ["B"], ["B"], ["A", "B"]])


def means(log: GuidanceLog, data: Dataset, name: str, **options: Any) -> list[float]:
    options = {"rounds": ROUNDS, **options}
    figures = evaluate(log, data, MetricOptions(**options))["metrics"][name]
    assert list(figures) == [str(p) for p in options["rounds"]]
    return [figure["mean"] for figure in figures.values()]


def test_hr_is_the_share_of_shown_items_accepted_in_the_first_rounds(dataset: Dataset) -> None:
    # Accepted by round 2: 2 + 1 + 0 + 1 of 8 shown; by 3: one more of 11; by 4: one more of 13.
    assert means(LOG, dataset, "hr") == pytest.approx([4 / 8, 5 / 11, 6 / 13])


def test_hr_of_the_code_is_that_of_all_rounds_for_the_first_targets(dataset: Dataset) -> None:
    # Target 5 comes first: 3 of its 6 shown were accepted; both together 6 of 13.
    found = means(LOG, dataset, "hr", hr="first_targets", rounds=(1, 2, 4))
    assert found == pytest.approx([3 / 6, 6 / 13, 6 / 13])


def test_a_real_campaign_knows_hr_and_target_acceptance() -> None:
    """Of what was shown and accepted alone: the same sums as of the whole log, by hand."""
    seen = {name: getattr(LOG, name) for name in ("user_idx", "target_idx", "item_idx", "accepted")}
    options = MetricOptions(rounds=(2, 4))
    hits, reached = (of(SimpleNamespace(**seen), options) for of in (hit_ratio, target_acceptance))
    users = hits.by_user()  # user 0 with targets 5 and 2, then user 1
    assert users.numerator.tolist() == [[2 + 0, 2 + 1], [1 + 1, 1 + 2]]
    assert users.denominator.tolist() == [[2 + 2, 2 + 4], [2 + 2, 4 + 3]]
    assert reached.numerator.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    observed = {
        of: of(SimpleNamespace(**seen), options) for of in (rounds_to_target, observed_worth)
    }
    for of, found in {hit_ratio: hits, target_acceptance: reached, **observed}.items():
        np.testing.assert_array_equal(of(LOG, options).numerator, found.numerator)


# Five users on the way to target 5. It is accepted in round 3 by one who is moved on; in round 1 by
# one who left after round 2; never by one who left after round 1; never; in rounds 4 and 5.
LEFT = GuidanceLog(
    user_idx=np.arange(5),
    target_idx=np.full(5, 5),
    item_idx=np.array(
        [[1, 2, 5, 3, 4], [5, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 5, 2, 5, 3], [1, 2, 3, 5, 5]]
    ),
    accept_prob=np.full((5, 5), 0.5),
    accepted=np.array(
        [[1, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [0, 1, 0, 1, 1]], bool
    ),
    interest=np.array(
        [
            [0.0, 0.1, 0.1, 0.3, 0.4, 0.4],
            [0.2, 0.5, 0.5, 0.5, 0.5, 0.5],
            [0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
            [0.0, 0.2, 0.2, 0.1, 0.1, 0.1],
            [0.3, 0.3, 0.4, 0.4, 0.6, 0.7],
        ]
    ),
    rank=np.zeros((5, 6), np.int64),
    is_counted=np.ones(5, bool),
)


def test_targets_are_accepted_by_round_and_rounds_are_waited_for(dataset: Dataset) -> None:
    rounds = (1, 3, 4, 5)
    options = MetricOptions(rounds=rounds)
    found = target_acceptance(LEFT, options).numerator
    assert found.tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [0] * 4, [0] * 4, [0, 0, 1, 1]]
    found = rounds_to_target(LEFT, options).numerator
    assert found.tolist() == [[1, 3, 3, 3], [1, 1, 1, 1], [1, 3, 4, 5], [1, 3, 4, 5], [1, 3, 4, 4]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31))
def test_rounds_to_target_are_the_area_above_the_curve(seed: int) -> None:
    rng, n_rounds = np.random.default_rng(seed), 8
    item = rng.integers(0, 4, (30, n_rounds))
    log = SimpleNamespace(
        user_idx=np.arange(30),
        target_idx=np.full(30, 2),
        item_idx=item,
        accepted=(rng.random(item.shape) < 0.5) & (item > 0),
    )
    every = MetricOptions(rounds=tuple(range(1, n_rounds + 1)))
    by = np.concatenate([[0], target_acceptance(log, every).numerator.mean(0)])
    waited = rounds_to_target(log, every).numerator.mean(0)
    assert waited == pytest.approx(np.cumsum(1 - by[:-1]))


@pytest.mark.parametrize(
    ("timing", "interest"),
    [("after", (0.3 + 0.3 + 0 + 0.1 + 0.1, 0.4 + 0.3 + 0 + 0.1 + 0.4)), ("before", (0.7, 1.1))],
)
def test_worth_is_of_targets_steps_and_interest(
    timing: str, interest: tuple[float, float], dataset: Dataset
) -> None:
    """Two targets by round 3, three by 5; six accepted items by round 3, nine by round 5."""
    worth = Worth(target=10, step=0.5, interest=2)
    options: dict[str, Any] = {"worth": worth, "timing": timing, "rounds": (3, 5)}
    seen = [(10 * 2 + 0.5 * 6) / 5, (10 * 3 + 0.5 * 9) / 5]
    # Of the state a round earlier: 0.1 + 0.3 + 0 + 0.2 + 0.1, and 0.4 + 0.3 + 0 + 0.1 + 0.3.
    wanted = [of + 2 * gain / 5 for of, gain in zip(seen, interest, strict=True)]
    assert means(LEFT, dataset, "worth", **options) == pytest.approx(wanted)
    known = observed_worth(LEFT, MetricOptions(**options)).numerator.mean(0)
    assert known == pytest.approx(seen)


def test_worth_of_interest_only_is_ioi_and_of_targets_only_their_share(dataset: Dataset) -> None:
    log = replace(LEFT, is_counted=np.array([True, True, True, True, False]))
    for name, worth in (
        ("ioi", Worth(target=0, step=0, interest=1)),
        ("target_accepted", Worth(target=1, step=0, interest=0)),
    ):
        options = {"rounds": (2, 5), "worth": worth}
        found = means(log, dataset, "worth", **options)
        assert found == pytest.approx(means(log, dataset, name, **options))


def test_sql_gives_the_same_sums_as_the_log() -> None:
    """One row a decision, as a campaign's table holds them, summed by the database."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE decisions (user, target, round, accepted)")
    pairs, rounds = LOG.is_shown.nonzero()
    columns = LOG.user_idx[pairs], LOG.target_idx[pairs], rounds + 1, LOG.accepted[pairs, rounds]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    database.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?)", rows)
    asked = """SELECT user, target, SUM(accepted AND round <= 2), SUM(accepted),
        SUM(round <= 2), COUNT(*) FROM decisions GROUP BY user, target"""
    found = np.array(database.execute(asked).fetchall())
    database.close()
    sums = Sums(found[:, 0], found[:, 1], floats(found[:, 2:4]), floats(found[:, 4:]))
    of_log = hit_ratio(LOG, MetricOptions(rounds=(2, 4)))
    weights = bootstrap_weights(2, n_draws=20)
    by_sql, by_log = (ratio_estimates(of.by_user(), weights) for of in (sums, of_log))
    assert by_sql == by_log
    assert by_sql[1].mean == 6 / 13
    users, targets = np.array([0, 1]), np.array([2, 5])
    np.testing.assert_array_equal(sums.crossed(users, targets), of_log.crossed(users, targets))


def test_ioi_is_the_mean_change_after_p_rounds(dataset: Dataset) -> None:
    expected = [
        (0.5 + 0.3 + 0 - 0.1) / 4,
        (0.5 + 0.3 + 0 + 0.2) / 4,
        (0.5 + 0.3 - 0.1 + 0.2) / 4,
    ]
    assert means(LOG, dataset, "ioi") == pytest.approx(expected)


def test_ior_counts_places_gained(dataset: Dataset) -> None:
    expected = [
        (290 + 20 + 0 - 10) / 4,
        (290 + 20 + 0 + 60) / 4,
        (290 + 20 - 4 + 60) / 4,
    ]
    assert means(LOG, dataset, "ior") == pytest.approx(expected)


def test_timing_before_reads_one_round_earlier(dataset: Dataset) -> None:
    for name in ("ioi", "ior"):
        before = means(LOG, dataset, name, timing="before")
        assert before[1:] == pytest.approx(means(LOG, dataset, name)[:2])
        after_one = means(LOG, dataset, name, rounds=(1,))
        assert before[0] == pytest.approx(after_one[0])
    assert means(LOG, dataset, "ioi", timing="before", rounds=(1,)) == [0]
    assert means(LOG, dataset, "hr", timing="before") == means(LOG, dataset, "hr")


def test_rank_cut_makes_the_last_place_of_all_beyond(dataset: Dataset) -> None:
    # 300 → 199, 250 → 199, 260 → 199; the rest lies before the cut.
    expected = [
        (189 + 20 + 0 + 0) / 4,
        (189 + 20 + 0 + 9) / 4,
        (189 + 20 - 4 + 9) / 4,
    ]
    assert means(LOG, dataset, "ior", rank_cut=200) == pytest.approx(expected)
    assert means(LOG, dataset, "ior200") == pytest.approx(expected)
    cut = evaluate(LOG, dataset, MetricOptions(rounds=ROUNDS, rank_cut=200))
    assert "ior200" not in cut["metrics"]


def test_owners_add_nothing_to_changes_but_stay_in_the_count_and_in_hr(dataset: Dataset) -> None:
    log = replace(LOG, is_counted=np.array([False, True, True, True]))
    assert means(log, dataset, "ioi")[0] == pytest.approx((0.3 + 0 - 0.1) / 4)
    assert means(log, dataset, "ior")[0] == pytest.approx((20 + 0 - 10) / 4)
    assert means(log, dataset, "hr") == means(LOG, dataset, "hr")
    assert evaluate(log, dataset)["pairs"]["n_owners_counted_as_zero"] == 1


def test_offered_acceptance_is_the_mean_probability_of_what_was_shown(dataset: Dataset) -> None:
    expected = [
        (1.2 + 0.6 + 0.2 + 0.9) / 8,
        (1.2 + 1.2 + 0.3 + 1.8) / 11,
        (1.2 + 2 + 0.4 + 1.8) / 13,
    ]
    assert means(LOG, dataset, "accept_prob") == pytest.approx(expected)


def test_outcome_and_counts_by_hand(dataset: Dataset) -> None:
    found = evaluate(LOG, dataset)
    outcome = {name: figure["mean"] for name, figure in found["outcome"].items()}
    # Shown: item 1 four times, 3 three times, 4 three times, 5 three times (half A, half B).
    a, b = (4 + 1.5) / 13, (6 + 1.5) / 13
    assert outcome == pytest.approx(
        {
            "target_accepted": 1 / 4,
            "already_first": 1 / 4,
            "category_entropy": -a * math.log2(a) - b * math.log2(b),
            "coverage": 4 / 5,
        }
    )
    assert found["pairs"] == {
        "n_pairs": 4,
        "n_accepted_target": 1,
        "n_already_first": 1,
        "n_no_answer": 0,
        "n_nothing_left": 1,
        "n_owners_counted_as_zero": 0,
    }


def test_items_without_category_are_a_category_of_their_own(
    dataset_of: Callable[..., Dataset],
) -> None:
    bare = dataset_of([[1, 2, 3], [2, 4, 5]], [[], ["A"], [], [], []])
    assert evaluate(LOG, bare)["outcome"]["category_entropy"]["mean"] == 0


def test_rounds_beyond_the_log_are_left_out(dataset: Dataset) -> None:
    assert list(evaluate(LOG, dataset)["metrics"]["hr"]) == ["4"]  # of 5, 10, 15, 20: none
    assert means(LOG, dataset, "hr", rounds=(4,)) == pytest.approx([6 / 13])


def test_without_a_click_everything_is_exactly_zero(dataset: Dataset) -> None:
    """itmprec.md, check 7."""
    log = replace(
        LOG,
        accepted=np.zeros_like(LOG.accepted),
        interest=LOG.interest[:, :1].repeat(5, 1),
        rank=LOG.rank[:, :1].repeat(5, 1),
    )
    for hr in ("rounds", "first_targets"):
        for timing in ("after", "before"):
            found = evaluate(log, dataset, MetricOptions(rounds=ROUNDS, hr=hr, timing=timing))
            for name in ("hr", "ioi", "ior", "ior200"):
                for figure in found["metrics"][name].values():
                    assert figure == {"mean": 0, "low": 0, "high": 0}
            assert found["outcome"]["target_accepted"]["mean"] == 0


def test_what_a_group_without_clicks_or_items_lost_is_not_known(tmp_path: Path) -> None:
    is_first = (LOG.user_idx == 0)[:, None]
    plain = replace(LOG, accepted=LOG.accepted & ~is_first)
    silent = replace(LOG, item_idx=LOG.item_idx * is_first, accepted=LOG.accepted & is_first)
    group, names = np.array([0, 1]), ("first", "second")
    found = by_group(LOG, plain, group, names)
    assert (found["first"]["hr"], found["first"]["clicks_lost"]) == (pytest.approx(3 / 6), None)
    assert found["second"]["clicks_lost"] == 0
    found = by_group(silent, LOG, group, names)
    assert (found["second"]["hr"], found["second"]["clicks_lost"]) == (None, None)
    write_json(tmp_path / "figures.json", found)


def test_log_round_trips_through_its_file(tmp_path: Path) -> None:
    LOG.save(tmp_path / "log.parquet")
    loaded = GuidanceLog.load(tmp_path / "log.parquet")
    for name in GuidanceLog.__dataclass_fields__:
        np.testing.assert_allclose(getattr(loaded, name), getattr(LOG, name), rtol=1e-6)
    assert LOG.reached.tolist() == [True, False, False, False]


def test_a_log_of_users_who_left_round_trips_and_keeps_who_left_in_a_part(tmp_path: Path) -> None:
    left = replace(LOG, left_after=np.array([0, 3, 1, 0]))
    left.save(tmp_path / "log.parquet")
    loaded = GuidanceLog.load(tmp_path / "log.parquet")
    for log in (left, loaded):
        assert log.left_after.tolist() == [0, 3, 1, 0]
        assert log.has_left.tolist() == [False, True, True, False]
        assert log.of(np.array([2, 0])).left_after.tolist() == [1, 0]
        some = log.of(np.array([False, True, False, True]))
        assert some.left_after.tolist() == [3, 0]
        np.testing.assert_array_equal(some.item_idx, LOG.item_idx[[1, 3]])
        np.testing.assert_array_equal(some.interest, log.interest[[1, 3]])
    assert loaded.left_after.dtype == LOG.left_after.dtype
    assert LOG.left_after.tolist() == [0, 0, 0, 0]
    assert "left_after" not in LOG.to_table().columns  # as logs were before anybody could


def test_table_has_a_row_per_pair_and_round_with_the_state_before_as_round_0() -> None:
    table = LOG.to_table()
    assert table.height == 4 * 5
    first = table.row(0, named=True)
    assert (first["round"], first["item_idx"], first["accepted"]) == (0, 0, False)
    assert math.isnan(first["accept_prob"])
    assert first["interest"] == pytest.approx(0.1)
    third = table.row(2, named=True)
    assert (third["round"], third["item_idx"], third["accepted"], third["rank"]) == (2, 5, True, 10)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_figures_stay_in_bounds_and_order_of_pairs_changes_nothing(
    dataset: Dataset, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, rounds = 12, 4
    item = rng.integers(0, 6, (n, rounds))
    log = GuidanceLog(
        user_idx=rng.integers(0, 2, n),
        target_idx=np.repeat([5, 2], n // 2),
        item_idx=item,
        accept_prob=np.where(item > 0, rng.random((n, rounds)), np.nan),
        accepted=(rng.random((n, rounds)) < 0.5) & (item > 0),
        interest=rng.uniform(-1, 1, (n, rounds + 1)),
        rank=rng.integers(0, 400, (n, rounds + 1)),
        is_counted=rng.random(n) < 0.8,
    )
    options = MetricOptions(rounds=(1, 2, 4))
    found = evaluate(log, dataset, options)
    bounds = {"hr": (0, 1), "accept_prob": (0, 1), "ioi": (-2, 2), "ior200": (-199, 199)}
    for name, (low, high) in bounds.items():
        for figure in found["metrics"][name].values():
            assert low <= figure["low"] <= figure["high"] <= high
            assert low <= figure["mean"] <= high
    assert found["metrics"]["hr"]["4"]["mean"] == pytest.approx(
        log.accepted.sum() / max(log.is_shown.sum(), 1)
    )
    order = np.concatenate([rng.permutation(n // 2), n // 2 + rng.permutation(n // 2)])
    mixed = GuidanceLog(**{k: getattr(log, k)[order] for k in GuidanceLog.__dataclass_fields__})
    again = evaluate(mixed, dataset, options)
    assert again["pairs"] == found["pairs"]
    for name, figures in found["metrics"].items():
        for p, figure in figures.items():
            assert again["metrics"][name][p] == pytest.approx(figure, abs=1e-9)
