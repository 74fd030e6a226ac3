"""Held-out questions, and what is found of click models whose faults are known in advance."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.llm.agreement import Bootstrap
from proactrec.llm.held_out import (
    KINDS,
    Questions,
    chances,
    click_model_figures,
    discrimination,
    held_out_questions,
    popularity_fifths,
)
from proactrec.llm.study import study
from proactrec.simulator.response import DistributionResponse, Shown
from proactrec.simulator.world import World

N_USERS, N_ITEMS, N_EACH = 90, 60, 12


class Scripted:
    """A click model that looks at what its function looks at."""

    def __init__(self, chance: Any) -> None:
        self.chance = chance

    def respond(self, shown: Shown) -> Tensor:
        return torch.as_tensor(self.chance(shown), dtype=torch.float64)

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Users with 12 of 60 items; item 1 is rare, item 60 popular."""
    rng = np.random.default_rng(0)
    share = np.arange(1, N_ITEMS + 1) / np.arange(1, N_ITEMS + 1).sum()
    rows = [
        (f"u{user:03}", f"i{item + 1:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate(rng.choice(N_ITEMS, N_EACH, replace=False, p=share))
    ]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    catalogue = pl.DataFrame(
        {
            "item_id": [f"i{i:02}" for i in range(1, N_ITEMS + 1)],
            "title": [f"Item {i}" for i in range(1, N_ITEMS + 1)],
            "categories": pl.Series([["all"]] * N_ITEMS, dtype=pl.List(pl.String)),
        }
    )
    return Dataset.build("toy", Interactions(events), Catalogue(catalogue))


@pytest.fixture(scope="module")
def world(dataset: Dataset) -> World:
    rng = torch.Generator().manual_seed(0)
    users, items = (
        torch.nn.functional.normalize(torch.randn(n, 8, generator=rng))
        for n in (dataset.n_users, dataset.n_items + 1)
    )
    return World(dataset, users, items, np.array([1]))


@pytest.fixture(scope="module")
def asked(dataset: Dataset) -> Questions:
    return held_out_questions(dataset, n_users=N_USERS, n_negatives=2)


def figures(chance: Any, asked: Questions, world: World, dataset: Dataset) -> dict[str, Any]:
    response = Scripted(chance)
    given = [chances(response, world, these) for these in (asked, asked.backwards())]
    return click_model_figures(*given, asked, dataset.train_counts, Bootstrap(asked.user_idx))


def test_a_user_is_asked_about_the_real_item_and_about_items_never_touched(
    dataset: Dataset, asked: Questions
) -> None:
    assert len(asked.user_idx) == N_USERS * 5
    for user in range(dataset.n_users):
        its = asked.user_idx == user
        items, known = asked.item_idx[its], dataset.histories.of(user)
        assert [KINDS[k] for k in asked.kind[its]] == ["real", *["random"] * 2, *["popular"] * 2]
        assert items[0] == known[-1]
        assert not np.isin(items[1:], known).any()
        assert len(set(items[1:3])) == len(set(items[3:])) == 2
        history = asked.recent[its][:, -(N_EACH - 1) :]
        assert (history == known[:-1]).all()  # oldest first, without the real item


def test_negatives_are_drawn_evenly_and_by_popularity(dataset: Dataset) -> None:
    n_items, count = dataset.n_items, dataset.train_counts
    drawn = [held_out_questions(dataset, n_users=N_USERS, seed=seed) for seed in range(20)]
    seen = np.zeros((dataset.n_users, n_items + 1), bool)
    for user in range(dataset.n_users):
        seen[user, dataset.histories.of(user)] = True
    free = ~seen[:, 1:]
    for kind, weight in (("random", np.ones(n_items)), ("popular", count[1:])):
        items = np.concatenate([of.item_idx[of.are(kind)] for of in drawn])
        found = np.bincount(items, minlength=n_items + 1)[1:] / len(drawn)
        share = free * weight
        wanted = (share / share.sum(1, keepdims=True)).sum(0)
        # 20 draws of a count of about 2.5: a standard error of 0.35 for each item.
        assert np.abs(found - wanted).max() < 4 * np.sqrt(wanted.max() / len(drawn))
        assert np.corrcoef(found, wanted)[0, 1] > (0.8 if kind == "popular" else -1)


def test_a_seed_decides_and_too_much_is_refused(dataset: Dataset) -> None:
    first, again, other = (held_out_questions(dataset, n_users=9, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.item_idx, again.item_idx)
    assert len(np.unique(first.user_idx)) == 9
    assert first.user_idx.tolist() != other.user_idx.tolist()
    assert len(np.unique(held_out_questions(dataset, n_users=10_000).user_idx)) == N_USERS
    most = dataset.n_items - N_EACH
    with pytest.raises(InvalidInputError, match=f"n_negatives must be at most {most}, .* got 49"):
        held_out_questions(dataset, n_negatives=49)


def test_only_the_newest_items_are_kept_and_turned(dataset: Dataset) -> None:
    asked = held_out_questions(dataset, n_users=2, history_len=3)
    assert (asked.recent[:, :-3] == 0).all()
    np.testing.assert_array_equal(asked.backwards().recent[:, -3:], asked.recent[:, :-4:-1])
    assert (asked.backwards().recent[:, :-3] == 0).all()


def test_fifths_hold_as_many_items_from_rare_to_popular() -> None:
    fifth = popularity_fifths(np.array([0, 9, 1, 5, 5, 3, 7, 2, 8, 6, 4]))
    assert fifth.tolist() == [-1, 4, 0, 2, 2, 1, 3, 0, 4, 3, 1]


def test_the_calibrated_users_answer_by_interest(world: World, asked: Questions) -> None:
    response = DistributionResponse(2.0, 0.1)
    for row in (0, 77):
        user, item = asked.user_idx[row], asked.item_idx[row]
        interest = world.user_vectors[user] @ world.item_vectors[item]
        wanted = 1 / (1 + np.exp(-2 * (float(interest) - 0.1)))
        assert chances(response, world, asked)[row] == pytest.approx(wanted, rel=1e-6)


def test_one_that_knows_the_answer_is_found_perfect(
    asked: Questions, world: World, dataset: Dataset
) -> None:
    real = dataset.answers("test")
    found = figures(
        lambda shown: shown.item_idx.numpy() == real[shown.user_idx], asked, world, dataset
    )
    perfect = {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found["accuracy"] == found["auc"]["random"] == found["auc"]["popular"] == perfect
    assert found["brier"]["mean"] == found["calibration_error"]["mean"] == 0
    assert found["share_graded"] == 0
    assert [one["n"] for one in found["reliability"]] == [N_USERS * 4, N_USERS]


def test_one_that_follows_popularity_is_found_biased(
    asked: Questions, world: World, dataset: Dataset
) -> None:
    count = dataset.train_counts
    found = figures(lambda shown: count[shown.item_idx] / (count.max() + 1), asked, world, dataset)[
        "popularity"
    ]
    assert found["rank_correlation"]["mean"] == pytest.approx(1)
    means = [fifth["mean_chance"]["mean"] for fifth in found["fifths"]]
    assert means == sorted(means)
    assert sum(fifth["n"] for fifth in found["fifths"]) == N_USERS * 2
    rng = np.random.default_rng(0)
    blind = figures(lambda shown: rng.random(len(shown.item_idx)), asked, world, dataset)
    assert blind["popularity"]["rank_correlation"]["low"] < 0
    assert blind["popularity"]["rank_correlation"]["high"] > 0


def test_one_that_reads_order_is_found_and_one_that_does_not_is_not(
    asked: Questions, world: World, dataset: Dataset
) -> None:
    def newest_is_odd(shown: Shown) -> Tensor:
        return 0.25 + 0.5 * (shown.recent[:, -1] % 2)

    reads = figures(newest_is_odd, asked, world, dataset)["order"]
    ends = asked.recent[:, [-1, -(N_EACH - 1)]] % 2
    changed = (ends[:, 0] != ends[:, 1]).mean()
    assert 0.2 < changed < 0.8
    assert reads["mean_difference"]["mean"] == pytest.approx(changed / 2)
    assert reads["same_decision"]["mean"] == pytest.approx(1 - changed)
    for chance in (
        lambda shown: torch.sigmoid(shown.interest),
        lambda shown: (shown.recent.sum(1) % 7) / 7,
    ):
        ignores = figures(chance, asked, world, dataset)["order"]
        assert ignores["mean_difference"] == {"mean": 0, "low": 0, "high": 0}
        assert ignores["same_decision"]["mean"] == 1


def test_no_answer_is_a_refusal_and_is_counted(asked: Questions) -> None:
    given = np.where(asked.are("popular"), np.nan, 0.9)
    found = discrimination(given, asked, Bootstrap(asked.user_idx))
    assert found["share_without_answer"] == pytest.approx(0.4)
    assert found["mean_chance"]["popular"]["mean"] == 0
    assert found["auc"]["popular"]["mean"] == 1
    assert found["auc"]["random"]["mean"] == 0.5
    assert found["accuracy"]["mean"] == pytest.approx((1 + 0.5) / 2)


def test_a_study_needs_both_click_models(tmp_path: Path) -> None:
    with_model = {"response": {"kind": "llm", "model": "tiny"}}
    plain, model = (
        Experiment(ExperimentOptions(**changes), tmp_path) for changes in ({}, with_model)
    )
    for pair in ((plain, plain), (model, model), (model, plain)):
        with pytest.raises(InvalidInputError, match="one experiment with response llm"):
            study(*pair)
