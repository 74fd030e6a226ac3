"""GraphAU: its loss against plain NumPy, its training, its vectors."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError
from proactrec.graphau import (
    Graph,
    GraphAU,
    GraphAUOptions,
    alignment,
    fit_graphau,
    spread,
    uniformity,
)
from proactrec.training import StoppingOptions

# Users 0 … 3 and items 1 … 4 (row 0 is padding); user 3 and row 0 touch nothing.
EDGES = np.array([(0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (2, 4)])
N_USERS, N_ROWS = 4, 5


def dataset_of(histories: list[list[int]]) -> Dataset:
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    ids = sorted({item for _, item, _ in rows})
    items = pl.DataFrame({"item_id": ids, "title": ids}).with_columns(
        categories=pl.Series([["all"]] * len(ids), dtype=pl.List(pl.String))
    )
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, Catalogue(items))


@pytest.fixture(scope="module")
def two_tastes() -> Dataset:
    """Even users read items 1 … 10, odd ones 11 … 20, six of them each."""
    rng = np.random.default_rng(0)
    return dataset_of(
        [(rng.permutation(10)[:6] + 1 + 10 * (user % 2)).tolist() for user in range(40)]
    )


def options(**changes: object) -> GraphAUOptions:
    stopping = StoppingOptions(n_epochs=15, patience=15)
    return GraphAUOptions(**{"embedding_dim": 8, "batch_size": 64, "stopping": stopping, **changes})


def graph() -> Graph:
    return Graph.of(EDGES[:, 0], EDGES[:, 1], N_USERS, N_ROWS)


def dense() -> np.ndarray:
    adjacency = np.zeros((N_USERS, N_ROWS))
    adjacency[tuple(EDGES.T)] = 1
    users, items = (np.maximum(adjacency.sum(axis), 1) for axis in (1, 0))
    return adjacency / np.sqrt(users)[:, None] / np.sqrt(items)[None, :]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def numpy_alignment(x: np.ndarray, y: np.ndarray) -> float:
    return float((np.linalg.norm(unit(x) - unit(y), axis=1) ** 2).mean())


def numpy_uniformity(x: np.ndarray) -> float:
    x = unit(x)
    pairs = [np.exp(-2 * np.linalg.norm(x[a] - x[b]) ** 2) for a in range(len(x)) for b in range(a)]
    return float(np.log(np.mean(pairs)))


def numpy_loss(
    users: np.ndarray,
    items: np.ndarray,
    edges: np.ndarray,
    n_layers: int,
    decay: float,
    gamma: float,
) -> float:
    matrix, u, i = dense(), edges[:, 0], edges[:, 1]
    total, far_users, far_items = numpy_alignment(users[u], items[i]), users, items
    for layer in range(2, n_layers + 1):
        far_users, far_items = matrix @ far_items, matrix.T @ far_users
        both = numpy_alignment(users[u], far_items[i]) + numpy_alignment(far_users[u], items[i])
        total += decay ** (layer - 1) * both / 2
    uniform = (numpy_uniformity(users[u]) + numpy_uniformity(items[i])) / 2
    return total / n_layers + gamma * uniform


def test_graph_weighs_an_edge_by_both_degrees() -> None:
    np.testing.assert_allclose(graph().user_item.to_dense().numpy(), dense(), rtol=1e-6)
    np.testing.assert_allclose(graph().item_user.to_dense().numpy(), dense().T, rtol=1e-6)
    # User 1 has three items, item 2 has two users.
    assert dense()[1, 2] == pytest.approx(1 / np.sqrt(3 * 2))


def test_layers_equal_dense_propagation() -> None:
    rng = torch.Generator().manual_seed(0)
    users, items = torch.randn(N_USERS, 3, generator=rng), torch.randn(N_ROWS, 3, generator=rng)
    steps = graph().layers(users, items, 4)
    matrix = torch.from_numpy(dense()).float()
    expected = (users, items)
    assert len(steps) == 4
    for step in steps:
        torch.testing.assert_close(step[0], expected[0])
        torch.testing.assert_close(step[1], expected[1])
        expected = (matrix @ expected[1], matrix.T @ expected[0])


def test_gradient_through_propagation_is_the_transpose() -> None:
    users, items = torch.ones(N_USERS, 2), torch.ones(N_ROWS, 2, requires_grad=True)
    weight = torch.arange(8.0).reshape(4, 2)
    far_users, _ = graph().layers(users, items, 2)[1]
    (far_users * weight).sum().backward()
    torch.testing.assert_close(items.grad, torch.from_numpy(dense().T).float() @ weight)


@pytest.mark.parametrize("n_layers", [1, 2, 4])
@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_loss_equals_plain_numpy(n_layers: int, gamma: float) -> None:
    settings_ = options(n_layers=n_layers, uniformity_weight=gamma, decay=1.4, embedding_dim=5)
    model = GraphAU(N_USERS, N_ROWS - 1, graph(), settings_, seed=3)
    batch = EDGES[[0, 2, 2, 4, 5]]  # a repeated edge stays in
    loss = model.loss(*torch.from_numpy(batch.T))
    users, items = (x.detach().double().numpy() for x in (model.users, model.items))
    assert loss.item() == pytest.approx(
        numpy_loss(users, items, batch, n_layers, 1.4, gamma), abs=1e-5
    )


def test_alignment_and_uniformity_by_hand() -> None:
    east, north, west = (torch.tensor(v) for v in ([2.0, 0], [0, 3.0], [-1.0, 0]))
    x, y = torch.stack([east, east, east]), torch.stack([5 * east, north, west])
    assert alignment(x, y).item() == pytest.approx((0 + 2 + 4) / 3)
    expected = np.log((np.exp(-2 * 2) + np.exp(-2 * 4) + np.exp(-2 * 2)) / 3)
    assert uniformity(torch.stack([east, north, west])).item() == pytest.approx(expected, abs=1e-6)
    assert uniformity(x).item() == pytest.approx(0, abs=1e-6)  # all in one place


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from([2, 3, 255, 256, 257, 600]), st.integers(2, 9))
def test_uniformity_and_its_gradient_equal_autograd_of_the_formula(
    seed: int, n: int, dim: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, dtype=torch.float64, generator=rng, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    naive = torch.pdist(F.normalize(y, dim=1)).square().mul(-2).exp().mean().log()
    ours = uniformity(x)
    (3 * naive).backward()
    (3 * ours).backward()
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(x.grad, y.grad)


def test_start_is_random_directions() -> None:
    """Unit vectors in 64 dimensions: A₁ = 2, Uni = -4 + 8/64 (graphau.md), whatever the seed."""
    n = 2000
    edges = np.arange(n)
    own = Graph.of(edges, edges + 1, n, n + 1)
    model = GraphAU(n, n, own, GraphAUOptions(n_layers=1, uniformity_weight=0), seed=0)
    # The cosine of random directions has variance 1/64: A₁ = 2 - 2 cos.
    error = 4 * 2 * np.sqrt(1 / 64 / n)
    start = model.loss(torch.arange(n), torch.arange(n) + 1)
    assert start.item() == pytest.approx(2, abs=error)
    assert uniformity(model.users).item() == pytest.approx(-4 + 8 / 64, abs=0.01)


def test_without_uniformity_everything_collapses(two_tastes: Dataset) -> None:
    stopping = StoppingOptions(n_epochs=60, patience=60)
    vectors, record = fit_graphau(two_tastes, options(uniformity_weight=0.0, stopping=stopping))
    assert record.epochs[0].loss > 0.5
    assert record.epochs[-1].loss < 0.01
    assert alignment(vectors.user_vectors[:10], vectors.user_vectors[10:20]).item() < 0.1


def test_vectors_are_unit_and_padding_is_zero(two_tastes: Dataset) -> None:
    (users, items), _ = fit_graphau(two_tastes, options())
    assert (users.shape, items.shape) == ((40, 8), (21, 8))
    torch.testing.assert_close(users.norm(dim=1), torch.ones(40))
    torch.testing.assert_close(items[1:].norm(dim=1), torch.ones(20))
    assert items[0].abs().max() == 0


def test_one_seed_gives_one_result_and_another_seed_another(two_tastes: Dataset) -> None:
    first, again, other = (fit_graphau(two_tastes, options(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first[0].user_vectors, again[0].user_vectors)
    assert torch.equal(first[0].item_vectors, again[0].item_vectors)
    assert first[1] == again[1]
    assert not torch.equal(first[0].user_vectors, other[0].user_vectors)


@pytest.mark.parametrize("stop_on", ["loss", "ndcg"])
def test_tastes_are_found_from_train_items_only(two_tastes: Dataset, stop_on: str) -> None:
    vectors, record = fit_graphau(two_tastes, options(stop_on=stop_on, uniformity_weight=0.2))
    figures = spread(two_tastes, vectors)
    assert figures["cosine"]["held_out"]["mean"] > figures["cosine"]["random"]["mean"] + 0.3
    # Own items first: a held-out item is among the 6 unknown ones of the right half.
    assert figures["validation"]["hr@10"] > 0.9
    if stop_on == "ndcg":
        assert record.best.score == pytest.approx(figures["validation"]["ndcg@20"])


def test_spread_of_train_pairs_by_hand(two_tastes: Dataset) -> None:
    vectors, _ = fit_graphau(two_tastes, options())
    known = two_tastes.before("train")
    users, items = (x.double().numpy() for x in vectors)
    cosines = [users[u] @ items[i] for u in range(40) for i in known.of(u)]
    found = spread(two_tastes, vectors)["cosine"]["train"]
    assert found["mean"] == pytest.approx(np.mean(cosines))
    assert found["std"] == pytest.approx(np.std(cosines))


def test_interrupted_fit_is_resumed_exactly(two_tastes: Dataset, tmp_path: Path) -> None:
    whole, _ = fit_graphau(two_tastes, options())

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 6:
            raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_graphau(two_tastes, options(), checkpoint=path, progress=stop)
    resumed, _ = fit_graphau(two_tastes, options(), checkpoint=path)
    assert torch.equal(resumed.user_vectors, whole.user_vectors)


def test_touched_rows_have_the_gradient_of_whole_tables() -> None:
    """And nobody else has one; one layer needs no graph."""
    batch = torch.from_numpy(EDGES[[0, 2, 2, 4]].T)
    gradients = []
    for table_steps, graph_ in (("touched", None), ("dense", graph())):
        model = GraphAU(N_USERS, N_ROWS - 1, graph_, options(table_steps=table_steps), seed=3)
        model.loss(*batch).backward()
        gradients.append([model.users.grad, model.items.grad])
    for touched, dense_ in zip(*gradients, strict=True):
        assert touched.is_sparse
        torch.testing.assert_close(touched.to_dense(), dense_)
    assert gradients[0][0].coalesce().indices().tolist() == [[0, 1]]


def test_rows_that_no_edge_touches_stay_where_they_start(two_tastes: Dataset) -> None:
    """A user without train interactions beside others, whose validation is none of them."""
    known = two_tastes.before("train").first(np.where(np.arange(40) < 30, 4, 0))
    start = GraphAU(40, 20, None, options(), seed=0).vectors().user_vectors
    kinds = [options(table_steps=steps, stop_on="loss") for steps in ("touched", "dense")]
    touched, dense_ = (fit_graphau(two_tastes, kind, known=known)[0] for kind in kinds)
    assert torch.equal(touched.user_vectors[30:], start[30:])
    assert not torch.equal(touched.user_vectors[:30], start[:30])
    assert not torch.equal(dense_.user_vectors[30:], start[30:])  # by weight decay


def test_touched_steps_find_the_tastes_too(two_tastes: Dataset) -> None:
    found = {}
    for steps in ("dense", "touched", "auto"):
        vectors, record = fit_graphau(two_tastes, options(table_steps=steps, uniformity_weight=0.2))
        assert spread(two_tastes, vectors)["validation"]["hr@10"] > 0.9
        found[steps] = record
    assert found["auto"] == found["dense"]
    assert found["touched"] != found["dense"]


def test_interrupted_fit_of_touched_rows_is_resumed_exactly(
    two_tastes: Dataset, tmp_path: Path
) -> None:
    settings_ = options(table_steps="touched", batch_size=8)  # batches that leave rows out
    whole, _ = fit_graphau(two_tastes, settings_)

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 6:
            raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_graphau(two_tastes, settings_, checkpoint=path, progress=stop)
    resumed, _ = fit_graphau(two_tastes, settings_, checkpoint=path)
    assert torch.equal(resumed.user_vectors, whole.user_vectors)
    assert torch.equal(resumed.item_vectors, whole.item_vectors)


@pytest.mark.parametrize("stop_on", ["loss", "ndcg"])
def test_validation_is_of_as_many_users_as_asked_and_says_so(
    two_tastes: Dataset, stop_on: str
) -> None:
    notes: list[str] = []
    settings_ = options(n_validated=7, stop_on=stop_on)
    some = [
        fit_graphau(two_tastes, settings_, progress=lambda *told: notes.append(told[3]))[1]
        for _ in range(2)
    ]
    assert some[0] == some[1]
    assert all(note.endswith(" of 7 of 40 users") for note in notes)
    _, everybody = fit_graphau(
        two_tastes, options(stop_on=stop_on), progress=lambda *told: notes.append(told[3])
    )
    assert notes[-1].endswith(f"score {everybody.epochs[-1].score:.4f}")
    assert everybody.epochs[0].score != some[0].epochs[0].score


def test_cosines_are_found_in_blocks_without_effect(
    two_tastes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, _ = fit_graphau(two_tastes, options())
    whole = spread(two_tastes, vectors)
    monkeypatch.setattr("proactrec.graphau.PAIR_BLOCK", 7)
    assert spread(two_tastes, vectors) == whole


def test_too_little_data_is_refused() -> None:
    wanted = "GraphAU needs 2 users with 3 or more items to validate on, got 1"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_graphau(dataset_of([[1, 2, 3], [1, 2]]), options())
    wanted = "GraphAU needs at least 2 train interactions, got 1"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_graphau(dataset_of([[1, 2, 3]]), options())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_seed_and_device_are_checked(
    two_tastes: Dataset, given: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_graphau(two_tastes, options(), **given)
