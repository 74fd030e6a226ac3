"""Effects of arms from sums of products: by hand, against other software, and what they refuse."""

import math
import re

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.measurement.effects import (
    ALPHA,
    EARLY,
    LEAST,
    Cell,
    Plan,
    effects,
    users_for_share,
    users_needed,
)
from proactrec.measurement.products import Layout, table_of
from proactrec.types import FloatArray

LAYOUT = Layout(1, np.array([2, 3]), np.array([0, 4]))
FIGURES = ("taken", "accepted")


def drawn(n: int, seed: int, *, uplift: float = 0.0) -> FloatArray:
    """Users' numbers: one covariate, items taken, answers that accept, answers."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=n)
    taken = before + rng.normal(size=n) + uplift
    answered = rng.poisson(3, n)
    accepted = rng.binomial(answered, 0.4)
    return np.column_stack([before, taken, accepted, answered]).astype(np.float64)


def cell(values: FloatArray, arm: str, *, epoch: int = 1, groups: tuple[str, ...] = ()) -> Cell:
    return Cell(epoch, arm, frozenset(groups), table_of(values))


def plan(n_planned: int | None = None, segments: tuple[str, ...] = ()) -> Plan:
    return Plan(LAYOUT, FIGURES, "taken", "out", ("in",), n_planned, segments)


def test_cells_add_up_over_shards() -> None:
    one, other = drawn(900, 1), drawn(400, 2)
    whole = effects([cell(one, "in"), cell(other, "out")], plan())[0]
    parts = [cell(one[:300], "in"), cell(one[300:], "in"), cell(other, "out")]
    split = effects(parts, plan())[0]
    assert split.n_users == whole.n_users == (900, 400)
    for name in FIGURES:
        assert split.effects[name][1:6] == pytest.approx(whole.effects[name][1:6], abs=1e-12)


def test_the_final_interval_is_that_of_least_squares() -> None:
    """Adjusted means are those of a regression in each group, at the covariate's mean over both."""
    one, other = drawn(300, 1, uplift=0.5), drawn(200, 2)
    effect = effects([cell(one, "in"), cell(other, "out")], plan(500))[0].effects["taken"]
    centre = np.concatenate([one, other])[:, 0].mean()
    means, variances, slopes = [], [], []
    for values in (one, other):
        x = np.column_stack([np.ones(len(values)), values[:, 0] - centre])
        found, rest, *_ = np.linalg.lstsq(x, values[:, 1], rcond=None)
        means.append(found[0])
        slopes.append(found[1])
        variances.append(rest[0] / (len(values) - 2) / len(values))
    spread = np.concatenate([one, other])[:, 0].var()
    variance = sum(variances) + (slopes[0] - slopes[1]) ** 2 * spread / 500
    assert effect.kind == "final"
    assert effect.difference == pytest.approx(means[0] - means[1], abs=1e-12)
    half = (effect.high - effect.low) / 2
    assert half == pytest.approx(2.0537 * math.sqrt(variance), rel=0.01)  # Student's t at 98 %


def test_before_the_planned_end_the_interval_holds_at_all_looks() -> None:
    cells = [cell(drawn(300, 1), "in"), cell(drawn(200, 2), "out")]
    early, late = (effects(cells, plan(n))[0].effects["taken"] for n in (501, 500))
    unplanned = effects(cells, plan())[0].effects["taken"]
    assert (early.kind, late.kind, unplanned.kind) == ("sequence", "final", "sequence")
    assert (early.alpha, late.alpha, unplanned.alpha) == (EARLY, ALPHA - EARLY, ALPHA)
    assert early.high - early.low > unplanned.high - unplanned.low > late.high - late.low


def test_epochs_are_compared_within() -> None:
    """Where many are held out in a good week and few in a bad one, pooling would mislead."""
    good, bad = drawn(400, 1, uplift=3.0), drawn(400, 2)
    more = [cell(good[:200], "in"), cell(good[200:], "out")]
    fewer = [cell(bad[:250], "in", epoch=2), cell(bad[250:], "out", epoch=2)]
    found = effects([*more, *fewer], plan())[0]
    assert found.n_users == (450, 350)
    assert abs(found.effects["taken"].difference) < 0.3
    pooled = (
        np.concatenate([good[:200], bad[:250]])[:, 1].mean()
        - np.concatenate([good[200:], bad[250:]])[:, 1].mean()
    )
    assert pooled < -0.15 + found.effects["taken"].difference


def test_segments_share_the_chance_of_an_error() -> None:
    both = [
        cell(drawn(300, seed), arm, groups=groups)
        for seed, (arm, groups) in enumerate(
            [("in", ("new",)), ("in", ("old",)), ("out", ("new", "old")), ("out", ())]
        )
    ]
    found = effects(both, plan(segments=("new", "old")))
    assert [(one.segment, one.n_users) for one in found] == [
        (None, (600, 600)),
        ("new", (300, 300)),
        ("old", (300, 300)),
    ]
    assert [one.effects["taken"].alpha for one in found] == [ALPHA, ALPHA / 2, ALPHA / 2]


def test_of_few_users_nothing_is_said() -> None:
    enough, few = drawn(500, 1), drawn(LEAST["sequence"] - 1, 2)
    assert effects([cell(enough, "in"), cell(few, "out")], plan())[0].effects == {}
    assert effects([cell(enough, "in")], plan())[0].n_users == (500, 0)


def test_a_covariate_that_all_share_changes_nothing() -> None:
    one, other = drawn(300, 1), drawn(200, 2)
    one[:, 0] = other[:, 0] = 7
    effect = effects([cell(one, "in"), cell(other, "out")], plan(500))[0].effects["taken"]
    assert effect.difference == pytest.approx(one[:, 1].mean() - other[:, 1].mean(), abs=1e-12)


def test_users_needed_by_hand() -> None:
    # (2.0537 + 0.8416)² · (0.3² / 0.8 + 0.3² / 0.2) / 0.03²
    assert users_needed(0.03, (0.3, 0.3), (0.8, 0.2)) == 5240
    with pytest.raises(InvalidInputError, match="effect must differ from 0, got 0"):
        users_needed(0, (1, 1), (0.5, 0.5))
    with pytest.raises(InvalidInputError, match=r"shares must be above 0, got \(1, 0\)"):
        users_needed(1, (1, 1), (1, 0))


def test_users_who_show_a_difference_of_shares_by_hand() -> None:
    # (2.0537 + 0.8416)² · (0.12 · 0.88 / 0.8 + 0.1 · 0.9 / 0.2) / 0.02²
    assert users_for_share(0.02, 0.1, 0.2) == 12198
    assert users_for_share(1, 0, 0.5) == 0  # everybody, and nobody: no chance is in it
    for effect, rate, said in (
        (1e-9, 0.1, "effect must be 1e-06 or more off 0, got 1e-09"),
        (-0.2, 0.1, "rate + effect must be in [0, 1], got -0.1"),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(said)):
            users_for_share(effect, rate, 0.5)


def test_what_other_software_says_of_the_same_users() -> None:
    """Recorded from tea-tasting 1.14.0, `Mean(covariate)` and `RatioOfMeans` at 96 %.

    Its adjustment takes one slope for both groups, which is nearly the same here.
    """
    one, other = drawn(3000, 1, uplift=0.2), drawn(2000, 2)
    ours = effects([cell(one, "in"), cell(other, "out")], plan(5000))[0].effects
    taken = ours["taken"]
    theirs = (0.15700840458096427, 0.09734071622834017, 0.21667609293358836)
    assert (taken.difference, taken.low, taken.high) == pytest.approx(theirs, abs=5e-4)
    # Without a covariate that bears on it: only chance is adjusted for.
    accepted = ours["accepted"]
    theirs = (0.004468458095553907, -0.012090597542234204, 0.021027513733342017)
    assert (accepted.difference, accepted.low, accepted.high) == pytest.approx(theirs, abs=1e-3)
