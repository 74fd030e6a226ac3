"""One row a user, from events in any order, in as many parts as memory asks for."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from proactrec.distributed.histories import gather
from proactrec.errors import DataError, DataWarning, InvalidInputError
from proactrec.guidance.past import JOURNEY_COLUMNS

EVENTS = pl.DataFrame(
    [
        ("ann", "late", 9),
        ("bob", "only", 1),
        ("ann", "early", 2),
        ("ann", "same time, after", 9),
        (None, "nobody's", 1),
        *((f"u{user}", f"i{time}", time) for time in (3, 1, 2) for user in range(50)),
    ],
    ["user_id", "item_id", "timestamp"],
    orient="row",
)


def gathered(folder: Path, **options: object) -> pl.DataFrame:
    EVENTS.write_parquet(folder / "events.parquet")
    with pytest.warns(DataWarning, match="rows without user_id, item_id or timestamp"):
        n_users = gather(folder / "events.parquet", folder / "out", **options)  # type: ignore[arg-type]
    table = pl.read_parquet(folder / "out" / "*.parquet")
    assert table.height == n_users
    return table


@pytest.mark.parametrize("at_once", [10**7, 60, 7])
def test_items_of_every_user_by_time(tmp_path: Path, at_once: int) -> None:
    table = gathered(tmp_path, at_once=at_once)
    assert len(list((tmp_path / "out").iterdir())) == -(-(EVENTS.height - 1) // at_once)
    found = dict(table.iter_rows())
    assert found.pop("ann") == ["early", "late", "same time, after"]
    assert found.pop("bob") == ["only"]
    assert found == {f"u{user}": ["i1", "i2", "i3"] for user in range(50)}


def test_in_one_part_users_are_in_the_order_of_ids(tmp_path: Path) -> None:
    table = gathered(tmp_path)
    assert_frame_equal(table, table.sort("user_id"))


@pytest.mark.parametrize("at_once", [10**7, 60])
def test_rounds_lie_beside_even_of_who_has_no_event(tmp_path: Path, at_once: int) -> None:
    rows = [("ann", "t", 1, "x", True, 1), ("carl", "t", 1, "y", False, None)]
    rows.append(("ann", "t", 2, "z", True, None))
    shown = tmp_path / "shown.parquet"
    pl.DataFrame(rows, JOURNEY_COLUMNS, orient="row").write_parquet(shown)
    table = gathered(tmp_path, journeys=shown, at_once=at_once)
    rounds = dict(table.select("user_id", "rounds").iter_rows())
    assert [one["item_id"] for one in rounds["ann"]] == ["x", "z"]
    assert rounds["ann"][1] == dict(zip(JOURNEY_COLUMNS[1:], rows[2][1:], strict=True))
    assert [one["item_id"] for one in rounds["carl"]] == ["y"]
    assert rounds["bob"] is None
    assert table.filter(user_id="carl")["item_ids"].to_list() == [None]


def test_what_cannot_be_gathered_is_said(tmp_path: Path) -> None:
    events = tmp_path / "events.parquet"
    EVENTS.drop("timestamp").write_parquet(events)
    with pytest.raises(DataError, match="timestamp is missing"):
        gather(events, tmp_path / "out")
    EVENTS.head(0).write_parquet(events)
    with pytest.raises(DataError, match="holds no events"):
        gather(events, tmp_path / "out")
    EVENTS.write_parquet(events)
    with pytest.raises(InvalidInputError, match="exists already"):
        gather(events, tmp_path)
