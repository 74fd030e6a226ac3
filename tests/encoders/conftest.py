"""Toy data sets for the encoder tests."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions

Build = Callable[[list[list[int]]], Dataset]


@pytest.fixture(scope="session")
def dataset_of() -> Build:
    """Builds a data set of histories; every item 1 … n must occur, so that ids are indices."""

    def build(histories: list[list[int]]) -> Dataset:
        rows = [(str(u), str(i), t) for u, its in enumerate(histories) for t, i in enumerate(its)]
        schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
        ids = [str(i) for i in sorted({item for items in histories for item in items})]
        assert ids == [str(i) for i in range(1, len(ids) + 1)]
        no_categories = pl.Series([[]] * len(ids), dtype=pl.List(pl.String))
        table = {"item_id": ids, "title": ids, "categories": no_categories}
        events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
        return Dataset.build("toy", events, Catalogue(pl.DataFrame(table)))

    return build


@pytest.fixture(scope="session")
def cyclic(dataset_of: Build) -> Dataset:
    """After item i comes item i + 1, of 30 in a ring; 90 users start anywhere, read 8 items."""
    return dataset_of([[(user + step) % 30 + 1 for step in range(8)] for user in range(90)])


@pytest.fixture(scope="session")
def noise(dataset_of: Build) -> Dataset:
    """90 users read 8 of 30 items in random order."""
    rng = np.random.default_rng(0)
    return dataset_of([(rng.permutation(30)[:8] + 1).tolist() for _ in range(90)])
