"""Prompts mined from logs."""

import re
from pathlib import Path

import numpy as np
import pytest

from proactrec.data.dataset import Dataset
from proactrec.data.load import load_dataset
from proactrec.errors import InvalidInputError
from proactrec.prorl.mining import carried, linking_categories, mine, split_prompts
from proactrec.testing.toys import dataset_of, histories_of

# Items 1-3: A, 4-5: B, 6: A and B, 7-8: C.
KINDS = [("A",), ("A",), ("A",), ("B",), ("B",), ("A", "B"), ("C",), ("C",)]
WHOLE = {"history_len": 2, "max_path_len": 3, "largest_share": 1.0}


def shop() -> Dataset:
    return dataset_of([range(1, 9)], KINDS)


def test_rows_are_maximal_runs_with_enough_before_them() -> None:
    """By hand: 7 1 | 4 5 | 8 | 2 6 4 and, with too little before it or too long, nothing."""
    known = histories_of([[7, 1, 4, 5, 8, 2, 6, 4], [1, 2, 3, 7], [7, 4, 1, 2, 3, 6]])
    found = mine(known, shop().items, **WHOLE)
    assert found.user_idx.tolist() == [0, 0]
    assert found.history.tolist() == [[7, 1], [5, 8]]
    assert found.path.tolist() == [[4, 0, 0], [2, 6, 0]]
    assert found.target.tolist() == [5, 4]


def test_a_run_of_all_that_a_path_may_hold_counts_and_one_more_does_not() -> None:
    known = histories_of([[7, 4, 1, 2, 3, 8]])
    found = mine(known, shop().items, **WHOLE)
    assert (found.path.tolist(), found.target.tolist()) == ([[1, 2, 0]], [3])
    with pytest.raises(InvalidInputError, match=re.escape("a run of 2 to 2 neighbours")):
        mine(known, shop().items, **{**WHOLE, "max_path_len": 2})


def test_the_largest_category_links_nothing_where_it_is_held_by_too_many() -> None:
    items = shop().items  # A is held by 4 of 8
    assert set(linking_categories(items, 0.5)) == {"A", "B", "C"}
    assert set(linking_categories(items, 0.49)) == {"B", "C"}
    only = dataset_of([[1, 2, 3]])
    assert linking_categories(only.items, 0.25) == ("all",)


def test_in_a_tree_no_category_that_holds_too_much_links_what_lies_in_it() -> None:
    paths = [["Shop > Home > Knives"], ["Shop > Home > Pans"], ["Shop > Home > Pans"], ["Shop"]]
    items = dataset_of([[1, 2, 3, 4]], paths).items
    assert set(linking_categories(items, 0.5)) == {"Shop > Home > Knives", "Shop > Home > Pans"}
    assert "Shop > Home" in linking_categories(items, 0.75)


def test_held_out_rows_are_of_other_users() -> None:
    known = histories_of([[7, 1, 4, 5, 8, 2, 6, 4]] * 20)
    kept, held_out = split_prompts(mine(known, shop().items, **WHOLE), np.random.default_rng(0))
    assert len(set(held_out.user_idx.tolist())) == 2
    assert not set(held_out.user_idx.tolist()) & set(kept.user_idx.tolist())
    assert len(kept.target) + len(held_out.target) == 40
    with pytest.raises(InvalidInputError, match="mined rows of two users"):
        split_prompts(kept.of(kept.user_idx == kept.user_idx[0]), np.random.default_rng(0))


def test_ml_100k_gives_the_rows_that_were_counted(data_dir: Path) -> None:
    """13,260 rows; Drama, held by most films, links none of them."""
    data = load_dataset("ml-100k", data_dir=data_dir)
    known = data.before("train")
    sizes = {"history_len": 10, "max_path_len": 10, "largest_share": 0.25}
    found = mine(known, data.items, **sizes)
    lengths = (found.path != 0).sum(1) + 1
    expected = [7814, 2969, 1157, 604, 288, 154, 118, 86, 70]
    assert np.bincount(lengths)[2:].tolist() == expected
    names = linking_categories(data.items, 0.25)
    assert set(data.items.category_names) - set(names) == {"Drama"}
    table = carried(data.items, names)
    line = np.concatenate([found.history[:, -1:], found.path, 0 * found.path[:, :1]], 1)
    rows = np.arange(len(line))
    line[rows, lengths] = found.target
    shares = (table[line[:, :-1]] & table[line[:, 1:]]).any(2)
    assert not shares[:, 0].any(), "a run begins where nothing is shared"
    within = np.arange(1, line.shape[1] - 1)[None, :] < lengths[:, None]
    assert shares[:, 1:][within].all(), "neighbours within a run share a genre"
    everything = mine(known, data.items, **{**sizes, "max_path_len": 400})
    n_runs = len(everything.target)
    assert (n_runs, len(set(everything.user_idx.tolist()))) == (13_556, 920)
