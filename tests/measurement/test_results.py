"""Files of results: what was read is written again byte for byte, and old ones open."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proactrec.errors import DataError, InvalidInputError
from proactrec.measurement.results import ABOUT, CELLS, RESULT, CellResult, RunResult, read_cells

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "results"
LEAST = {
    "dataset": "demo",
    "n_users": 3,
    "n_items": 4,
    "n_interactions": 9,
    "policy": "ipg",
    "protocol": "common",
    "seed": 0,
}
NEWEST = {
    **LEAST,
    "metrics": {
        "hr": {"5": {"mean": 0.1, "low": 0.0, "high": 0.2}, "20": {"mean": 0.2}},
        "ioi": {"10": {"mean": -0.0, "low": -0.1, "high": 0.1}},
    },
    "outcome": {"coverage": {"mean": 0.5}},
    "pairs": {"n_pairs": 6, "n_left": 2, "n_owners_left_out": 1},
    "groups": {"first": {"n_users": 3, "n_pairs": 6, "hr": None, "ioi": 0.0, "clicks_lost": None}},
    "usage": {"policy": {}, "response": {"n_requests": 2, "n_cached": 3, "cost": 0.0}},
}
CELL = {"method": "IPG", "world": "medium", "dataset": "demo", "protocol": "common", "seed": 1}


def measured_in(content: Any) -> Iterator[dict[str, Any]]:
    """Every run and cell inside a results page's JSON."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if isinstance(content, dict):
        if "metrics" in content and "outcome" in content:
            yield {n: value for n, value in content.items() if n not in ("commit", "date")}
        for part in content.values():
            yield from measured_in(part)


def test_results_of_every_age_open_and_are_written_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from shared.compact import read_figures

    found = [one for path in PAGES.glob("*.json") for one in measured_in(read_figures(path))]
    assert len(found) > 400
    for one in found:
        read = CellResult(**one) if "method" in one else RunResult(**one)
        again = read.model_dump(mode="json", exclude_unset=True)
        assert json.dumps(again, sort_keys=True) == json.dumps(one, sort_keys=True)


def test_a_folder_opens_with_or_without_what_is_told_beside(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(json.dumps(NEWEST))
    assert RunResult.opened(tmp_path).seconds == {}
    (tmp_path / ABOUT).write_text(json.dumps({"seconds": {"guidance": 1.5}}))
    result = RunResult.opened(tmp_path)
    assert result.seconds == {"guidance": 1.5}
    assert result.rounds == [5, 10, 20]
    assert result.metrics["hr"][5].high == 0.2
    assert result.outcome["coverage"].low is None
    assert (result.pairs.n_left, result.pairs.n_nothing_left) == (2, 0)
    assert {part: used.n_asked for part, used in result.usage.items()} == {
        "policy": 0,
        "response": 5,
    }


def test_what_an_old_file_lacks_has_a_default() -> None:
    old = RunResult(**LEAST)
    assert (old.rounds, old.rails, old.groups, old.pairs.n_pairs) == ([], {}, {}, 0)
    assert old.content() == LEAST


def test_cells_are_read_typed(tmp_path: Path) -> None:
    (tmp_path / CELLS).write_text(json.dumps({"a": {**CELL, "log": "/x/log.parquet"}}))
    (cell,) = read_cells(tmp_path)
    assert (cell.method, cell.log, cell.curves) == ("IPG", Path("/x/log.parquet"), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("{", "is damaged"),
        ("[]", "must hold an object, got []"),
        (json.dumps({**LEAST, "metrics": {"hr": {"5": {"low": 0.1}}}}), "mean must be given"),
    ],
)
def test_a_folder_without_a_readable_result_is_refused(
    content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / RESULT).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        RunResult.opened(tmp_path)


@pytest.mark.parametrize("content", ['{"a": {"method": "IPG"}}', '{"a": 3}', "3", "{"])
def test_damaged_cells_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / CELLS).write_text(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / CELLS))):
        read_cells(tmp_path)
    with pytest.raises(DataError, match="holds no benchmark"):
        read_cells(tmp_path / "elsewhere")


def test_unknown_fields_are_errors() -> None:
    with pytest.raises(InvalidInputError, match=r"RunResult\.metricks does not exist"):
        RunResult(**LEAST, metricks={})
