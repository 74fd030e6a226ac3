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


def test_rules_are_told_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    rows = [f"u{n % 4},i{n // 4},{1_600_000_000 + n * 86_400},{n % 5}" for n in range(24)]
    path.write_text("\n".join(["user_id,item_id,timestamp,stars", *rows, ""]))
    rest = ["--dataset", "csv", "--filter", "none", "--events", str(path)]
    rules = ["--rating-column", "stars", "--min-rating", "1", "--since", "2020-09-20"]
    numbers = json.loads(run("describe", *rest, *rules, "--max-per-user", "3", "--json"))
    assert [step["rule"] for step in numbers["removed"]] == [
        "a rating of at least 1",
        "the days 2020-09-20 to the last",
        "the newest 3 of each user",
    ]
    text = run("describe", *rest, *rules)
    assert "a rating of at least 1 removed 0 of 4 users, 0 of 6 items and" in text


def test_categories_are_chosen() -> None:
    numbers = json.loads(run("describe", "--top-categories", "3", "--merge-spellings", "--json"))
    assert len(numbers["categories"]) == 3
    assert numbers["n_without_category"] > 0


def test_table_2_stands_beside_what_is_at_hand(tmp_path: Path) -> None:
    rows = json.loads(run("table2", "--data-dir", str(tmp_path), "--json"))
    assert rows[0]["figures"]["n_interactions"] == 98_704
    assert {row["dataset"] for row in rows if row["missing"]} >= {
        "ml-100k",
        "steam",
        "douban-movie",
    }
    text = " ".join(run("table2", "--data-dir", str(tmp_path)).split())
    assert "945 users with the published 36.78 each have 34,757 interactions" in text
    assert "steam: not at hand: steam_reviews.json, steam_games.json" in text


def test_table_2_is_exact_on_what_is_at_hand(data_dir: Path) -> None:
    from proactrec.data.table2 import PUBLISHED, _counted

    for name in ("ml-100k", "lastfm"):
        figures = _counted(name, "paper", data_dir).figures
        assert figures is not None
        assert (figures["n_users"], figures["n_items"]) == PUBLISHED[name][:2]
        assert round(figures["mean_length"], 2) == PUBLISHED[name].mean_length
