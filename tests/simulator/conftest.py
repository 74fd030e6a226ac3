"""A toy world: vectors known, nothing trained."""

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions

N_USERS, N_ITEMS, DIM = 30, 20, 5


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Thirty users with 3 to 9 of twenty items; two more have one item each and no answers."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation(N_ITEMS)[: 3 + u % 7] + 1 for u in range(N_USERS)]
    histories += [np.array([20]), np.array([1])]
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    ids = [str(i) for i in range(1, N_ITEMS + 1)]
    lists = pl.Series([["all"]] * N_ITEMS, dtype=pl.List(pl.String))
    catalogue = Catalogue(pl.DataFrame({"item_id": ids, "title": ids, "categories": lists}))
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, catalogue)


@pytest.fixture(scope="session")
def vectors(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    users = F.normalize(torch.randn(dataset.n_users, DIM, generator=rng), dim=1)
    items = F.normalize(torch.randn(dataset.n_items + 1, DIM, generator=rng), dim=1)
    items[0] = 0
    return users, items
