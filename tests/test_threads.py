"""One seed, the same bytes: whatever the number of threads."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from proactrec.content import content_vectors
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.fitting import fit_encoder
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.intents import cluster
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRNOptions
from proactrec.simulator.hidden import hidden_vectors
from proactrec.threads import one_thread, shared, spare_cores

ONE_EPOCH = {"n_epochs": 1}


@pytest.fixture(scope="module")
def toy() -> Dataset:
    """400 users read 20 of 300 items: batches are large enough for torch to share them out."""
    rng, n_items = np.random.default_rng(0), 300
    rows = [
        (user, item, time)
        for user in range(400)
        for time, item in enumerate(rng.choice(n_items, 20, replace=False))
    ]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    events = events.with_columns(pl.col("user_id", "item_id").cast(pl.String))
    ids = [str(item) for item in range(n_items)]
    titles = [" ".join(f"w{word}" for word in rng.choice(400, 12)) for _ in ids]
    lists = pl.Series([[f"c{item % 7}"] for item in range(n_items)])
    catalogue = pl.DataFrame({"item_id": ids, "title": titles, "categories": lists})
    return Dataset.build("toy", Interactions(events), Catalogue(catalogue))


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    yield
    torch.set_num_threads(before[0])
    faiss.omp_set_num_threads(before[1])


def graphau(toy: Dataset) -> tuple[Tensor, ...]:
    # Two layers, so that the sparse products count too.
    vectors, _ = fit_graphau(toy, GraphAUOptions(n_layers=2, stopping=ONE_EPOCH))
    return tuple(vectors)


def encoder(toy: Dataset) -> tuple[Tensor, ...]:
    options = {"item_start": "random", "n_intents": 16, "stopping": ONE_EPOCH}
    return tuple(fit_encoder("iclrec", toy, options=options)[0].state_dict().values())


def irn(toy: Dataset) -> tuple[Tensor, ...]:
    options = IRNOptions(item_start="random", stopping=ONE_EPOCH)
    return tuple(fit_irn(toy, options=options)[0].state_dict().values())


def content(toy: Dataset) -> tuple[Tensor, ...]:
    return (content_vectors(toy.titles, toy.categories),)


def hidden(toy: Dataset) -> tuple[Tensor, ...]:
    return hidden_vectors("divided", toy)


def intents(toy: Dataset) -> tuple[Tensor, ...]:
    points = torch.randn(1500, 64, generator=torch.Generator().manual_seed(0))
    return (cluster(points, 50, seed=0),)


@pytest.mark.parametrize("made", [graphau, encoder, irn, content, hidden, intents])
def test_threads_do_not_change_a_byte(
    made: Callable[[Dataset], tuple[Tensor, ...]], toy: Dataset
) -> None:
    found = []
    for n_threads in (1, 2, 2):
        torch.set_num_threads(n_threads)
        faiss.omp_set_num_threads(n_threads)
        found.append(made(toy))
        assert torch.get_num_threads() == n_threads
    alone, *together = found
    for again in together:
        assert all(torch.equal(x, y) for x, y in zip(alone, again, strict=True))


def test_threads_are_given_back_after_an_error() -> None:
    torch.set_num_threads(2)

    @one_thread()
    def fail() -> None:
        raise ValueError(f"in {torch.get_num_threads()} thread")

    with pytest.raises(ValueError, match="in 1 thread"):
        fail()
    assert torch.get_num_threads() == 2


def test_work_is_shared_out_in_order_where_cores_are_spare() -> None:
    def where(part: int) -> tuple[int, bool, str, list[str]]:
        name = threading.current_thread().name
        inside = list(shared(lambda _: threading.current_thread().name, range(2)))
        return part, torch.is_grad_enabled(), name, inside

    with ThreadPoolExecutor(2, thread_name_prefix="spare") as pool, torch.no_grad():
        alone = list(shared(where, range(4)))
        with spare_cores(pool.map):
            found = list(shared(where, range(4)))
        after = list(shared(where, range(4)))
    assert [part for part, *_ in found] == [0, 1, 2, 3]
    assert not any(has_grad for _, has_grad, *_ in found)
    assert all(name.startswith("spare") for _, _, name, _ in found)
    assert all(set(inside) == {name} for _, _, name, inside in found)
    assert alone == after
    assert {name for _, _, name, _ in alone} == {threading.current_thread().name}
