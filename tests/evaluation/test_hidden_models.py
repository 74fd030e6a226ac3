"""Simulated users on vectors of GraphAU's that were fitted on other data."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.hidden_models import FITTED, fit_hidden
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau
from proactrec.rng import generator
from proactrec.training import StoppingOptions

N_USERS, N_ITEMS = 60, 40
OPTIONS = GraphAUOptions(embedding_dim=8, stopping=StoppingOptions(n_epochs=12, min_epochs=12))


def histories() -> list[list[int]]:
    """Even users like even items, odd ones odd; items 1 and 2 are with two users each only."""
    rng, found = np.random.default_rng(1), []
    for user in range(N_USERS):
        own = [item for item in range(3, N_ITEMS + 1) if item % 2 == user % 2]
        found.append(rng.permutation(own)[:9].tolist())
    return found


def build(rows: list[list[int]]) -> Dataset:
    events = [
        (f"u{u:02}", f"{i:02}", t) for u, items in enumerate(rows) for t, i in enumerate(items)
    ]
    ids = [f"{item:02}" for item in range(1, N_ITEMS + 1)]
    lists = pl.Series([["Song"]] * N_ITEMS, dtype=pl.List(pl.String))
    catalogue = pl.DataFrame({"item_id": ids, "title": ids}).with_columns(categories=lists)
    table = pl.DataFrame(events, ["user_id", "item_id", "timestamp"], orient="row")
    return Dataset.build("toy", Interactions(table), Catalogue(catalogue))


def half_of(n_users: int, seed: int = 0) -> np.ndarray:
    """Users of the half."""
    drawn = generator(seed, "hidden half").choice(n_users, (n_users + 1) // 2, replace=False)
    return np.sort(drawn)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rows = histories()
    inside = half_of(N_USERS)
    outside = np.setdiff1d(np.arange(N_USERS), inside)
    rows[inside[0]].insert(0, 1)  # known to the half
    rows[outside[0]].insert(0, 1)
    rows[outside[1]].insert(0, 2)  # known to the others only
    return build(rows)


@pytest.fixture(scope="module")
def usual(dataset: Dataset) -> InterestVectors:
    return fit_graphau(dataset, OPTIONS)[0]


@pytest.mark.parametrize("kind", FITTED)
def test_rows_are_unit_vectors_that_tell_tastes_apart(
    dataset: Dataset, usual: InterestVectors, kind: Any
) -> None:
    users, items = fit_hidden(kind, dataset, OPTIONS)
    assert (users.shape, items.shape) == (usual[0].shape, usual[1].shape)
    assert not items[0].any()
    torch.testing.assert_close(users.norm(dim=1), torch.ones(N_USERS))
    torch.testing.assert_close(items[1:].norm(dim=1), torch.ones(N_ITEMS))
    again = fit_hidden(kind, dataset, OPTIONS)
    assert torch.equal(again[0], users)
    assert torch.equal(again[1], items)
    assert not torch.allclose(items, usual.item_vectors, atol=1e-3)
    own = torch.arange(N_USERS)[:, None] % 2 == torch.arange(3, N_ITEMS + 1) % 2
    interest = users @ items[3:].T
    assert interest[own].mean() > interest[~own].mean() + 0.2


def test_the_half_knows_nothing_of_the_others(dataset: Dataset) -> None:
    inside, rows = half_of(N_USERS), histories()
    users, items = fit_hidden("half", dataset, OPTIONS)
    changed = [rows[u] if u in inside else rows[u][::-1][:5] for u in range(N_USERS)]
    changed[inside[0]] = [1, *rows[inside[0]]]
    outside = np.setdiff1d(np.arange(N_USERS), inside)
    changed[outside[1]] = [2, *changed[outside[1]]]
    others, other_items = fit_hidden("half", build(changed), OPTIONS)
    known = [i for i in range(1, N_ITEMS + 1) if i != 2]
    assert torch.equal(other_items[known], items[known])
    assert torch.equal(others[inside], users[inside])
    train = dataset.before("train")
    for user in outside:
        its = [i for i in train.of(user) if i != 2]
        mean = items[its].mean(0)
        torch.testing.assert_close(users[user], mean / mean.norm(), atol=1e-6, rtol=0)
    torch.testing.assert_close(items[2], users[outside[1]], atol=1e-6, rtol=0)


def test_everything_knows_the_held_out_items(dataset: Dataset, usual: InterestVectors) -> None:
    full = fit_hidden("everything", dataset, OPTIONS)
    gains = []
    for split in ("validation", "test"):
        answers = torch.from_numpy(dataset.answers(split))  # type: ignore[arg-type]
        cosines = [(users * items[answers]).sum(1).mean() for users, items in (usual, full)]
        gains.append(float(cosines[1] - cosines[0]))
    assert min(gains) > 0.02


def test_graphau_is_fitted_on_the_train_part_by_default(dataset: Dataset) -> None:
    known = dataset.before("train")
    given = fit_graphau(dataset, OPTIONS, known=known)[0]
    assert torch.equal(given.item_vectors, fit_graphau(dataset, OPTIONS)[0].item_vectors)


def test_another_seed_is_not_the_next_run_of_a_benchmark(dataset: Dataset) -> None:
    hidden = fit_hidden("other-seed", dataset, OPTIONS, seed=0).item_vectors
    for seed in range(3):
        own = fit_graphau(dataset, OPTIONS, seed=seed)[0].item_vectors
        assert not torch.allclose(hidden, own, atol=1e-3)


def test_a_run_keeps_them_and_they_change_only_the_users(tmp_path: Any) -> None:
    stopping = {"graphau.stopping.n_epochs": 2, "graphau.stopping.min_epochs": 1}
    shared = {"policy": "random", "protocol.targets.n_targets": 2, "n_users": 30, **stopping}
    options = ExperimentOptions().changed({**shared, "protocol.rollout.n_rounds": 3})
    usual = Experiment(options, tmp_path)
    run = Experiment(options.changed({"hidden": "other-seed"}), tmp_path)
    assert run.log_path != usual.log_path
    np.testing.assert_array_equal(run.targets.item_idx, usual.targets.item_idx)
    assert torch.equal(run.interest.item_vectors, usual.interest.item_vectors)
    assert not torch.equal(run.hidden_interest.item_vectors, usual.interest.item_vectors)
    kept = json.loads((run._hidden_stage.folder / "manifest.json").read_text())["inputs"]
    assert kept["hidden"] == "other-seed"
    told: list[str] = []
    again = Experiment(run.options, tmp_path, progress=lambda stage, *_, **__: told.append(stage))
    assert again.figures == run.figures
    assert told == []
