"""Vectors that no policy was fitted to: unit rows, repeatable, and near is what they say."""

from collections.abc import Callable
from typing import get_args

import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError
from proactrec.simulator.hidden import Hidden, hidden_vectors

KINDS = [kind for kind in get_args(Hidden) if kind != "interest"]
N_USERS, N_ITEMS = 60, 40


@pytest.fixture(scope="module")
def dataset(parity_dataset: Callable[[list[list[str]], int], Dataset]) -> Dataset:
    """Even users like even items, which are Songs; odd users odd ones, Films."""
    return parity_dataset([["Song" if i % 2 == 0 else "Film"] for i in range(N_ITEMS)], 12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_unit_vectors_and_the_same_every_time(dataset: Dataset, kind: Hidden) -> None:
    torch.manual_seed(len(kind))
    users, items = hidden_vectors(kind, dataset)
    assert len(users) == N_USERS
    assert not items[0].any()
    torch.testing.assert_close(items[1:].norm(dim=1), torch.ones(N_ITEMS))
    torch.testing.assert_close(users.norm(dim=1), torch.ones(N_USERS))
    before = torch.rand(1)
    again = hidden_vectors(kind, dataset)
    torch.testing.assert_close(again[1] @ again[1].T, items @ items.T)
    torch.manual_seed(len(kind))
    assert torch.rand(1) == before  # nobody else's luck is touched


@pytest.mark.parametrize("kind", KINDS)
def test_items_that_belong_together_are_near_and_users_near_theirs(
    dataset: Dataset, kind: Hidden
) -> None:
    users, items = hidden_vectors(kind, dataset)
    parity = torch.tensor([int(name[1:]) % 2 for name in dataset.item_ids])
    alike = items[1:] @ items[1:].T
    same = parity[:, None] == parity
    off_diagonal = ~torch.eye(N_ITEMS, dtype=torch.bool)
    assert alike[same & off_diagonal].mean() > alike[~same].mean() + 0.1
    interest = users @ items[1:].T
    own = torch.arange(N_USERS)[:, None] % 2 == parity
    assert interest[own].mean() > interest[~own].mean() + 0.1


def test_what_cannot_be_made_is_refused(dataset: Dataset) -> None:
    with pytest.raises(InvalidInputError, match="hidden must be one of interest, factors"):
        hidden_vectors("interest", dataset)
    bare = Catalogue(
        pl.DataFrame(
            {
                "item_id": dataset.item_ids,
                "title": dataset.titles,
                "categories": pl.Series([[]] * N_ITEMS, dtype=pl.List(pl.String)),
            }
        )
    )
    events = pl.DataFrame(
        [("u", item, time) for time, item in enumerate(dataset.item_ids)],
        ["user_id", "item_id", "timestamp"],
        orient="row",
    )
    without = Dataset.build("toy", Interactions(events), bare)
    with pytest.raises(InvalidInputError, match="needs categories, toy has none"):
        hidden_vectors("content", without)
