"""`data histories` and `plan` as they are typed."""

import json
from pathlib import Path

import pytest

from ..e2e.conftest import Command
from .conftest import Shop, contents, rows_of


def test_from_events_to_a_plan_to_the_next(
    planned_shop: Shop, here: Command, tmp_path: Path
) -> None:
    outcome = here(
        *("data", "histories", planned_shop.events, "--journeys", planned_shop.shown),
        *("--out", tmp_path / "users", "--at-once", "100"),
    )
    assert (outcome.code, outcome.errors) == (0, []), outcome.stderr
    assert "64 users: " in outcome.stderr
    never = tmp_path / "never.txt"
    never.write_text("u03\n")
    command = ["plan", planned_shop.guide, "--users", tmp_path / "users", "--category", "War"]
    command += ["--opt-out", never, "--shard-size", "20", "--n-rounds", "6"]
    for how, name in (([], "here"), (["--processes", "2"], "two")):
        outcome = here(*command, "--out", tmp_path / name, *how)
        assert (outcome.code, outcome.errors) == (0, []), outcome.stderr
        assert "plan 4/4" in outcome.stderr
    assert contents(tmp_path / "here") == contents(tmp_path / "two")
    table = rows_of(tmp_path / "two")
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert f"64 rows in 4 files: {summary['guided']} guided" in outcome.stderr
    assert (table.height, table["round"].max()) == (64, 2)
    assert table.filter(user_id="u03")["reason"].to_list() == ["opted_out"]


def test_what_is_left_aside_is_said(planned_shop: Shop, here: Command, tmp_path: Path) -> None:
    import polars as pl

    users = pl.DataFrame({"user_id": ["u00", "x"], "item_ids": [["i01", "new"], ["new"]]})
    users.write_parquet(tmp_path / "users.parquet")
    asked = ["--users", tmp_path / "users.parquet", "--target", "i10", "--out", tmp_path / "out"]
    outcome = here("plan", planned_shop.guide, *asked)
    assert outcome.code == 0, outcome.stderr
    assert "warning: 2 items of histories that the guide does not know" in outcome.stderr
    assert "warning: 1 users of whom the guide knows nothing" in outcome.stderr


def test_rails_that_count_users_are_kept_by_one_process(
    planned_shop: Shop, here: Command, tmp_path: Path
) -> None:
    guide = planned_shop.with_rails(tmp_path / "guide", item_cap_total=5)
    asked = ["--users", planned_shop.after, "--target", "i10", "--shard-size", "20"]
    for how, name in (([], "here"), (["--processes", "2"], "two")):
        outcome = here("plan", guide, *asked, "--out", tmp_path / name, *how)
        assert outcome.code == 0, outcome.stderr
        assert ("one process plans" in outcome.stderr) == bool(how)
    assert contents(tmp_path / "here") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give --target or --category, one of them"),
        (["--target", "i10", "--category", "War"], "give --target or --category, one of them"),
        (
            ["--target", "i10", "--processes", "2", "--ray", "local"],
            "give --processes or --ray, not both",
        ),
        (["--target", "i10", "--opt-out", "nowhere.txt"], "there is no nowhere.txt"),
        (["--category", "Opera"], "category 'Opera' does not exist"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    planned_shop: Shop, here: Command, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    asked = ["--users", planned_shop.before, "--out", tmp_path / "out"]
    outcome = here("plan", planned_shop.guide, *asked, *arguments)
    assert (outcome.code, len(outcome.errors)) == (2, 1), outcome.stderr
    assert sentence in outcome.errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["plan", "data histories"])
def test_help_teaches_with_an_example(command: str, here: Command) -> None:
    outcome = here(*command.split(), "--help")
    assert f"Example: proactrec {command}" in outcome.stdout
