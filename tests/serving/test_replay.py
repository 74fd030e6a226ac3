"""The example that plays a log as live traffic runs, on the demo world."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import polars as pl

from proactrec.data.load import load_dataset
from proactrec.store.database import Database

from .live import live

EXAMPLE = Path(__file__).parents[2] / "examples" / "replay_as_live.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_as_live", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_log_is_split_at_a_moment(tmp_path: Path) -> None:
    example().split(load_dataset("demo"), tmp_path)
    before, after = (pl.read_csv(tmp_path / f"{name}.csv") for name in ("before", "after"))
    assert before["timestamp"].max() <= after["timestamp"].min()
    assert before.height > 8 * after.height
    assert pl.read_csv(tmp_path / "items.csv").columns == ["item_id", "title", "categories"]


def test_every_row_is_a_visit_and_a_purchase(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    database = Database(str(tmp_path / "store.sqlite"))
    database.migrate()
    rows = [(user, item) for item in ("i30", "i31", "i32") for user in ("u01", "u02", "new")]
    after = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    with live(database, guide_folder()) as service:
        service.running()
        found = example().play(service.client, after)
        journeys = list(service.client.decisions("u01"))
    assert sum(found.values()) == len(rows)
    assert [one.number for one in journeys] == [3, 2, 1]
