"""Which categories guidance is promising for."""

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError
from proactrec.suggestions import grouped, suggest_categories

N_USERS = 40


def world(categories: dict[str, list[str]]) -> Dataset:
    """All users have met the items of Old, nobody but the first those of New, Far and Cold."""
    rows = [(f"u{u}", item, t) for u in range(N_USERS) for t, item in enumerate(["o1", "o2"])]
    for n, item in enumerate(["n1", "n2", "f1", "f2"]):
        rows += [(f"u{u}", item, 5 + n) for u in range(6)]
    rows += [(f"u{u}", "c1", 4) for u in range(2)]
    rows += [(f"u{u}", f"e{n}", 90 + n) for u in range(N_USERS) for n in range(2)]  # held out
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    ids = ["c1", "e0", "e1", "f1", "f2", "n1", "n2", "o1", "o2"]
    lists = pl.Series([categories.get(i, []) for i in ids], dtype=pl.List(pl.String))
    table = pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})
    return Dataset.build("toy", events, Catalogue(table))


NAMES = {"o": "Old", "n": "New", "f": "Far", "c": "Cold"}
EVERY = {f"{letter}{n}": [name] for letter, name in NAMES.items() for n in (1, 2)}


@pytest.fixture
def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    """Users look along the first axis; only Far is against it."""
    users = torch.tensor([[1.0, 0.0]]).repeat(N_USERS, 1)
    items = torch.tensor([[0.0, 0], [1, 0], [0, 1], [0, 1], [-1, 0], [-1, 0]] + [[1.0, 0]] * 4)
    return users, items


def test_new_near_and_known_comes_first(vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    found = suggest_categories(world(EVERY), *vectors, n_targets=2)
    assert found[0].category == "New"
    by_name = {one.category: one for one in found}
    assert by_name["Old"].seen == 1.0
    assert by_name["Old"].score == 0.0
    assert by_name["Far"].distance > 0 > by_name["New"].distance
    assert (by_name["Cold"].n_items, by_name["Cold"].n_cold) == (1, 1)
    assert by_name["Cold"].score == 0.0
    assert by_name["New"].reach == 6 / N_USERS
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_reasons_are_words(vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    found = suggest_categories(world(EVERY), *vectors, n_targets=2)
    reasons = {one.category: "; ".join(one.reasons) for one in found}
    assert "2 known items to choose from" in reasons["New"]
    assert "a target is known to 100% of users already: little is left to gain" in reasons["Old"]
    assert "only 0 known items for 2 targets, 1 more are cold" in reasons["Cold"]
    assert "far from users" in reasons["Far"]


def test_what_is_the_same_is_said_once(vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    alike = {item: [*names, f"{names[0]} too"] for item, names in EVERY.items()}
    found = suggest_categories(world(alike), *vectors, n_targets=2)
    assert len(found) == 8
    together = grouped(found)
    assert len(together) == 4
    assert next(iter(together.values())) == ["New", "New too"]
    assert {name for names in together.values() for name in names} == {
        one.category for one in found
    }
    for one in found:
        assert one.category in together[one.reasons]


def test_score_is_the_mean_of_its_parts(vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    (one,) = [
        x for x in suggest_categories(world(EVERY), *vectors, n_targets=4) if x.category == "New"
    ]
    share, nearness = 2 / 4, 1 / (1 + np.exp(one.distance))
    assert one.score == pytest.approx((share * (1 - one.seen) * nearness) ** (1 / 3))


def test_data_without_categories_is_refused(vectors: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(InvalidInputError, match="toy has no categories to choose from"):
        suggest_categories(world({}), *vectors)
    with pytest.raises(InvalidInputError, match="n_targets must be at least 1, got 0"):
        suggest_categories(world(EVERY), *vectors, n_targets=0)
