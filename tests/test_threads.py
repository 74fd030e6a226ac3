"""One seed, the same bytes, whatever the number of threads; and how many there are."""

import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from proactrec import threads
from proactrec.content import content_vectors
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.fitting import fit_encoder
from proactrec.errors import InvalidInputError
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.intents import cluster
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRNOptions
from proactrec.simulator.hidden import hidden_vectors
from proactrec.threads import block_map, granted, n_allowed, one_thread, shared, spare_cores

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


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody says how many threads there may be."""
    for name in (threads.VARIABLE, *threads.POOLS):
        monkeypatch.setenv(name, "")  # so that it is as before in the end, whoever sets it
        monkeypatch.delenv(name)
    return monkeypatch


def told(code: str, **environment: str) -> str:
    """What a process prints that nobody told anything else."""
    settled = {threads.VARIABLE, *threads.POOLS, "OMP_WAIT_POLICY"}
    around = {name: value for name, value in os.environ.items() if name not in settled}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=around | environment
    )
    return done.stdout.strip()


def test_a_process_uses_the_cores_that_it_may_run_on(unasked: pytest.MonkeyPatch) -> None:
    unasked.setattr(threads, "granted", lambda: math.inf)
    unasked.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5})
    assert n_allowed() == 3
    kept_to_one = (
        "import os; from proactrec.threads import n_allowed\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(n_allowed())"
    )
    assert told(kept_to_one) == "1"


@pytest.mark.parametrize(("quota", "expected"), [(math.inf, 4), (2.5, 2), (0.5, 1), (64.0, 4)])
def test_a_quota_is_kept_to(unasked: pytest.MonkeyPatch, quota: float, expected: int) -> None:
    unasked.setattr(threads, "n_cores", lambda: 4)
    unasked.setattr(threads, "granted", lambda: quota)
    assert n_allowed() == expected


def test_the_tightest_group_around_a_process_counts(tmp_path: Path) -> None:
    own, groups = tmp_path / "cgroup", tmp_path / "groups"
    inner = groups / "shop" / "web"
    inner.mkdir(parents=True)
    assert granted(own, groups) == math.inf  # no control groups here
    own.write_text("9:name=systemd:/\n0::/shop/web\n")
    assert granted(own, groups) == math.inf  # none of them says anything
    (groups / "cpu.max").write_text("800000 100000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    assert granted(own, groups) == 8
    (groups / "shop" / "cpu.max").write_text("150000 100000\n")
    assert granted(own, groups) == 1.5
    own.write_text("0::/\n")  # as a container sees its own group
    assert granted(own, groups) == 8


def test_the_variable_says_how_many(unasked: pytest.MonkeyPatch) -> None:
    unasked.setattr(threads, "n_cores", lambda: 2)
    unasked.setenv(threads.VARIABLE, "7")
    assert n_allowed() == 7
    unasked.setenv(threads.VARIABLE, "")
    unasked.setattr(threads, "granted", lambda: math.inf)
    assert n_allowed() == 2


@pytest.mark.parametrize("nonsense", ["0", "-1", "two", "1.5", "1e3", " "])
def test_nonsense_is_refused_in_a_sentence(unasked: pytest.MonkeyPatch, nonsense: str) -> None:
    unasked.setenv(threads.VARIABLE, nonsense)
    said = f"PROACTREC_THREADS must be a whole number, at least 1, got {nonsense!r}"
    with pytest.raises(InvalidInputError, match=f"^{re.escape(said)}$"):
        n_allowed()


def test_a_command_refuses_nonsense_too(unasked: pytest.MonkeyPatch) -> None:
    unasked.setenv(threads.VARIABLE, "two")
    code = "from proactrec.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = "error: PROACTREC_THREADS must be a whole number, at least 1, got 'two'"
    assert (done.returncode, done.stderr.strip()) == (2, said)


def test_a_command_holds_its_libraries_to_what_is_allowed(unasked: pytest.MonkeyPatch) -> None:
    unasked.setattr(threads, "n_cores", lambda: 4)
    unasked.setattr(threads, "granted", lambda: 2.0)
    threads.settle()
    assert [os.environ.get(name) for name in threads.POOLS] == ["2", "2"]
    unasked.setenv(threads.VARIABLE, "4")
    for name in threads.POOLS:
        unasked.delenv(name)
    threads.settle()  # all cores: libraries know themselves
    assert not set(threads.POOLS) & set(os.environ)


def test_what_waits_sleeps_if_torch_is_yet_to_come() -> None:
    said = "print(os.environ.get('OMP_WAIT_POLICY'))"
    assert told(f"import os, proactrec; {said}") == "PASSIVE"
    assert told(f"import os, proactrec; {said}", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
    assert told(f"import os, torch, proactrec; {said}") == "None"


def test_blocks_are_done_side_by_side_by_one_thread_each() -> None:
    torch.set_num_threads(2)
    barrier = threading.Barrier(2, timeout=30)

    def block(number: int) -> tuple[int, int]:
        barrier.wait()  # never passed by one alone
        return number, torch.get_num_threads()

    with block_map(n=2) as map_blocks:
        assert list(map_blocks(block, range(4))) == [(number, 1) for number in range(4)]
    assert torch.get_num_threads() == 2


def test_blocks_of_a_gpu_follow_one_another(unasked: pytest.MonkeyPatch) -> None:
    unasked.setenv(threads.VARIABLE, "2")
    torch.set_num_threads(2)
    with block_map(torch.device("cuda")) as map_blocks:
        assert map_blocks is map
    with block_map(torch.device("cpu")) as map_blocks:
        assert map_blocks is not map
    torch.set_num_threads(1)  # what the process told torch counts
    with block_map() as map_blocks:
        assert map_blocks is map


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
