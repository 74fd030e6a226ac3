"""A data set in numbers, by hand."""

import re
import sys
from pathlib import Path

import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.describe import charts, describe, save_charts
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError, MissingExtraError

DAY = 86_400


@pytest.fixture
def dataset() -> Dataset:
    """Three users over four items, from 2020-01-01 on."""
    users, items = list("aaaabc"), list("wxyzww")
    times = [1_577_836_800 + DAY * day for day in range(6)]
    names = pl.Series([["X"], ["X", "Y"], ["Y"], []], dtype=pl.List(pl.String))
    catalogue = {"item_id": list("wxyz"), "title": list("WXYZ"), "categories": names}
    return Dataset.build(
        "tiny",
        Interactions(pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times})),
        Catalogue(pl.DataFrame(catalogue)),
    )


def test_numbers_are_those_counted_by_hand(dataset: Dataset) -> None:
    assert describe(dataset) == {
        "n_users": 3,
        "n_items": 4,
        "n_interactions": 6,
        "density": 6 / 12,
        "mean_length": 2.0,
        "median_length": 1.0,
        "categories": {"X": 2, "Y": 2},
        "n_without_category": 1,
        "first_time": "2020-01-01T00:00:00+00:00",
        "last_time": "2020-01-06T00:00:00+00:00",
        "removed": [],
    }


def test_charts_count_every_interaction_and_user(dataset: Dataset) -> None:
    activity, long_tail, lengths = charts(dataset)
    assert sum(activity.values) == 6
    assert long_tail.values == pytest.approx([100 * 3 / 6, 100 / 6, 100 / 6, 100 / 6])
    assert lengths.labels == ["1-2", "3-4"]
    assert lengths.values == [2, 1]


def test_charts_are_drawn_into_a_png(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_charts(dataset, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_bad_plot_path_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("plot must be a .png file, got x.pdf")):
        save_charts(dataset, Path("x.pdf"))
    with pytest.raises(InvalidInputError, match=re.escape("plot needs an existing folder")):
        save_charts(dataset, tmp_path / "none" / "x.png")


def test_missing_matplotlib_names_the_install_line(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = "pip install 'proactrec[report]'"
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        save_charts(dataset, tmp_path / "x.png")
