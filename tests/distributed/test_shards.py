"""A table of users is read a shard at a time, whatever files it lies in."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from proactrec.distributed.shards import Shard, UserTable
from proactrec.errors import DataError, InvalidInputError


def users(*names: str) -> pl.DataFrame:
    return pl.DataFrame({"user_id": names, "item_ids": [[f"of {name}"] for name in names]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten users in three files; one file has two row groups."""
    everybody = users(*"abcdefghij")
    for name, part in (("1", everybody[:2]), ("2", everybody[2:7]), ("3", everybody[7:])):
        part.write_parquet(tmp_path / f"{name}.parquet", row_group_size=3)
    (tmp_path / "read.me").write_text("no Parquet")
    return tmp_path


@pytest.mark.parametrize("size", [1, 3, 4, 10, 99])
def test_shards_are_all_users_in_order(folder: Path, size: int) -> None:
    table = UserTable.opened(folder)
    shards = table.shards(size)
    assert table.n_users == 10
    assert [shard.n_rows for shard in shards][:-1] == [size] * (len(shards) - 1)
    assert [shard.file_name for shard in shards] == [
        f"00000{n}.parquet" for n in range(len(shards))
    ]
    assert_frame_equal(pl.concat(map(table.rows, shards)), users(*"abcdefghij"))


def test_numbers_are_read_as_ids_and_other_columns_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    pl.DataFrame({"age": [7], "user_id": [1], "item_ids": [[2, 3]]}).write_parquet(path)
    table = UserTable.opened(path)
    found = table.rows(Shard(0, 0, 1))
    assert found.to_dict(as_series=False) == {"user_id": ["1"], "item_ids": [["2", "3"]]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (users().cast({"user_id": pl.String, "item_ids": pl.List(pl.String)}), "has no rows"),
        (users("a").drop("item_ids"), "item_ids is missing"),
        (users("a").explode("item_ids"), "item_ids in .* must be lists, got String"),
        (users("a").with_columns(rounds=1), "rounds in .* must be lists"),
    ],
)
def test_what_is_no_table_of_users_is_refused(
    tmp_path: Path, table: pl.DataFrame, message: str
) -> None:
    table.write_parquet(tmp_path / "users.parquet")
    with pytest.raises(DataError, match=message):
        UserTable.opened(tmp_path / "users.parquet")


@pytest.mark.parametrize(("names", "first"), [(["a", "b", "a"], "'a'"), (["a", None], "None")])
def test_a_user_without_id_or_with_two_rows_is_refused(
    tmp_path: Path, names: list[str], first: str
) -> None:
    lists = [["i"]] * len(names)
    pl.DataFrame({"user_id": names, "item_ids": lists}).write_parquet(tmp_path / "users.parquet")
    table = UserTable.opened(tmp_path / "users.parquet")
    with pytest.raises(DataError, match=f"user_id must be there once .* first {first}"):
        table.rows(Shard(0, 0, 3))


def test_where_there_is_no_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(InvalidInputError, match="must be a Parquet file, or a folder"):
            UserTable.opened(path)
