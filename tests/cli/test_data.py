"""`proactrec data`, without the error handler of the main program."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proactrec.cli.data import app
from proactrec.errors import InvalidInputError

runner = CliRunner()


def run(*arguments: str) -> str:
    result = runner.invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def events(tmp_path: Path) -> str:
    path = tmp_path / "events.csv"
    path.write_text("who,item_id,timestamp\nu,a,1\nu,b,2\nu,[c],3\nv,a,1\n")
    return str(path)


def own(events: str) -> list[str]:
    return ["--dataset", "csv", "--filter", "none", "--events", events, "--user-column", "who"]


def test_json_is_all_that_is_printed() -> None:
    numbers = json.loads(run("describe", "--json"))
    assert numbers["n_users"] == 1_000
    assert list(numbers["categories"].values()) == sorted(
        numbers["categories"].values(), reverse=True
    )


def test_own_files_are_described(events: str) -> None:
    assert json.loads(run("describe", *own(events), "--json"))["n_items"] == 3


def test_table_and_bars_are_printed(events: str, tmp_path: Path) -> None:
    plot = tmp_path / "x.png"
    text = run("describe", *own(events), "--plot", str(plot))
    assert "unit of time unknown" in text
    assert "users by number of items" in text
    assert "█" in text
    assert plot.exists()


def test_items_without_events_are_refused(events: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape("--items needs --events")):
        run("describe", "--items", events)


def test_known_data_sets_are_listed() -> None:
    text = run("list")
    for name in ("demo", "ml-100k", "lastfm", "csv", "parquet", "recbole"):
        assert name in text


def test_help_teaches_with_an_example() -> None:
    for command in ("describe", "list"):
        assert f"Example: proactrec data {command}" in run(command, "--help")


def test_data_commands_load_no_torch() -> None:
    code = "import sys, proactrec.cli.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
