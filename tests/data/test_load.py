"""The one door to data sets."""

import re
from pathlib import Path

import pytest

from proactrec.data.load import DatasetOptions, load, load_dataset
from proactrec.data.sources.table import TableOptions
from proactrec.errors import DataError, InvalidInputError, UnknownIdError

HEAD = "user_id,item_id,timestamp\n"


def own(folder: Path, text: str) -> TableOptions:
    path = folder / "events.csv"
    path.write_text(HEAD + text)
    return TableOptions(events=path)


def test_demo_needs_nothing() -> None:
    dataset = load_dataset()
    assert (dataset.name, dataset.n_users) == ("demo", 1_000)


def test_options_round_trip_through_json(tmp_path: Path) -> None:
    options = DatasetOptions(name="csv", filter="none", table=own(tmp_path, "u,a,1\n"))
    assert DatasetOptions.model_validate_json(options.model_dump_json()) == options


def test_own_files_are_loaded(tmp_path: Path) -> None:
    table = own(tmp_path, "u,a,1\nu,b,2\nu,c,3\nv,a,1\n")
    dataset = load(DatasetOptions(name="csv", filter="none", table=table))
    assert dataset.answers("test").tolist() == [3, 0]


def test_recbole_folder_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "recbole"
    folder.mkdir()
    rows = "1\ta\t1\n1\tb\t2\n1\tc\t3\n2\ta\t1\n"
    path = folder / "x.inter"
    path.write_text("user_id:token\titem_id:token\ttimestamp:float\n" + rows)
    from_folder = load_dataset("recbole", data_dir=tmp_path, filter="none")
    from_file = load_dataset("recbole", filter="none", table=TableOptions(events=path))
    assert from_folder.fingerprint == from_file.fingerprint


def test_data_dir_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROACTREC_DATA", str(tmp_path))
    message = (
        f"{tmp_path / 'lastfm'} is no folder; the data folder must come with the folder lastfm"
    )
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        load_dataset("lastfm")


def test_missing_data_dir_says_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROACTREC_DATA", raising=False)
    message = (
        "data set 'ml-100k' needs a data folder with the folder ml-100k in it, holding "
        "u.data, u.item, u.genre: give --data-dir ROOT or set PROACTREC_DATA"
    )
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        load_dataset("ml-100k")


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    with pytest.raises(InvalidInputError, match=re.escape("u.data does not exist")):
        load_dataset("ml-100k", data_dir=tmp_path)


def test_unknown_name_lists_the_known_ones() -> None:
    message = "data set 'netflix' does not exist; there are demo, ml-100k, ml-1m, ml-10m, ml-20m"
    with pytest.raises(UnknownIdError, match=re.escape(message)):
        load_dataset("netflix")


def test_own_files_and_names_must_go_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("'csv' needs an events file")):
        load_dataset("csv")
    with pytest.raises(
        InvalidInputError, match=re.escape("csv, parquet, jsonl, recbole, not with 'demo'")
    ):
        load_dataset("demo", table=own(tmp_path, "u,a,1\n"))


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ("u,a,1\nu,b,1\nu,c,1\n", "leaves 1 users, 3 items and at most 3 per user"),
        ("u,a,1\nv,a,1\nw,a,1\n", "leaves 3 users, 1 items and at most 1 per user"),
        ("u,a,1\nu,b,1\nv,a,1\nv,b,1\n", "leaves 2 users, 2 items and at most 2 per user"),
    ],
)
def test_data_too_small_to_split_is_refused(rows: str, left: str, tmp_path: Path) -> None:
    rule = "data set 'csv' needs at least 2 users, 2 items and one user with 3 items"
    with pytest.raises(DataError, match=re.escape(rule) + ".*" + re.escape(left)):
        load_dataset("csv", filter="none", table=own(tmp_path, rows))


def test_k_below_one_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=re.escape("DatasetOptions.k")):
        load_dataset(k=0)
