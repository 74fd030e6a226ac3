"""Toy data sets, encoders and worlds of the evaluation tests."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.intents import Intents


class Toy(NamedTuple):
    """Ten users, fourteen items, random vectors; nothing is trained."""

    dataset: Dataset
    user_vectors: Tensor
    item_vectors: Tensor
    encoder: SASRec
    intents: Intents


def build(histories: list[list[int]], categories: list[list[str]] | None = None) -> Dataset:
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    ids = sorted({item for _, item, _ in rows}, key=int)
    lists = pl.Series(categories or [["all"]] * len(ids), dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": ids, "title": ids}).with_columns(categories=lists)
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, Catalogue(items))


def unit(rng: torch.Generator, n_rows: int, dim: int, *, padding: bool) -> Tensor:
    x = F.normalize(torch.randn(n_rows, dim, generator=rng), dim=1)
    if padding:
        x[0] = 0
    return x


@pytest.fixture(scope="session")
def dataset_of() -> Callable[..., Dataset]:
    return build


@pytest.fixture(scope="session")
def toy() -> Toy:
    return made()


def made() -> Toy:
    n_users, n_items, dim = 10, 14, 8
    draw = np.random.default_rng(4)
    histories = [(draw.permutation(n_items)[: 3 + u % 8] + 1).tolist() for u in range(n_users)]
    histories[0][-1:] = [i for i in range(1, n_items + 1) if i not in histories[0]][:1]
    dataset = build([*histories, list(range(1, n_items + 1))])  # user 10 has everything but two
    rng = torch.Generator().manual_seed(8)
    options = EncoderOptions(embedding_dim=dim, max_seq_len=5, n_layers=2, dropout=0.5)
    encoder = SASRec(n_items, options)
    encoder.start(0, unit(rng, n_items + 1, dim, padding=True))
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "items" not in name:  # the start is too small to tell histories apart
                weight.add_(0.5 * torch.randn(weight.shape, generator=rng))
    return Toy(
        dataset,
        unit(rng, n_users + 1, 6, padding=False),
        unit(rng, n_items + 1, 6, padding=True),
        encoder.eval(),
        Intents(unit(rng, 4, dim, padding=False)),
    )
