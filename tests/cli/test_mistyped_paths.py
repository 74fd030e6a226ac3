"""Paths that lead to nothing, or to what another command writes: refused, with nothing made."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proactrec.store.backup import backup
from proactrec.store.database import Database

from ..e2e.conftest import SHORT, Command
from ..e2e.conftest import here as here
from ..test_files import held

URL, STORE = ("--database-url", "typo/shop.sqlite"), ("--store", "typo/shop.sqlite")
OF = ("--campaign", "c")
NEEDS_A_STORE: dict[str, tuple[str, ...]] = {
    "audit": ("audit", *URL),
    "backup": ("backup", "x.backup", *URL),
    "keys list": ("keys", "list", *URL),
    "keys revoke": ("keys", "revoke", "k", *URL),
    "care show": ("care", "show", *URL),
    "users scrub": ("users", "scrub", *URL),
    "campaign list": ("campaign", "list", *STORE),
    "campaign list by URL": ("campaign", "list", "--store", "sqlite:///typo/shop.sqlite"),
    "campaign list by URI": (
        "campaign",
        "list",
        "--store",
        "sqlite:///file:typo/shop.sqlite?uri=1",
    ),
    "campaign start": ("campaign", "start", "c", *STORE),
    "campaign stop": ("campaign", "stop", "c", *STORE, "--reason", "x"),
    "campaign forecast": ("campaign", "forecast", "c", *STORE),
    "campaign measure": ("campaign", "measure", *STORE, *OF),
    "campaign report": ("campaign", "report", *STORE, *OF, "--out", "out"),
    "campaign plan": ("campaign", "plan", *STORE, "--guide", "g", "--out", "x.csv"),
    "campaign rebuild": ("campaign", "rebuild", *STORE),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("arguments", NEEDS_A_STORE.values(), ids=NEEDS_A_STORE)
def test_no_store_is_made_at_a_mistyped_path(
    arguments: tuple[str, ...], here: Command, tmp_path: Path
) -> None:
    told = here(*arguments)
    assert told.code == 2, told.stderr
    assert told.errors == [
        "error: no store at typo/shop.sqlite: look at the path, or make one with `proactrec serve`"
    ]
    assert not list(tmp_path.iterdir())


def test_doctor_makes_no_store_either(here: Command, tmp_path: Path) -> None:
    told = here("doctor", *URL, "--json")
    findings = {one["what"]: one for one in json.loads(told.stdout)["findings"]}
    assert told.code == 1
    assert "no store at typo/shop.sqlite" in findings["database"]["found"]
    assert not list(tmp_path.iterdir())


def test_a_database_of_something_else_is_no_store_and_stays_as_it_is(here: Command) -> None:
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE x (y)")
    told = here("campaign", "list", "--store", "other.db")
    assert told.code == 2
    assert "no store at other.db" in told.errors[0]
    with closing(sqlite3.connect("other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("x",)]


def test_a_restore_that_fails_makes_no_store(here: Command, tmp_path: Path) -> None:
    Path("x.backup").write_bytes(b"no zip")
    for name in ("x.backup", "none.backup"):
        told = here("restore", name, *URL)
        assert told.code == 2, told.stderr
        assert name in told.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x.backup"]


def test_a_restore_makes_the_store_that_it_fills(here: Command) -> None:
    with closing(Database("old.sqlite")) as old:
        old.migrate()
        backup(old, Path("x.backup"))
    assert here("restore", "x.backup", *URL).code == 0
    told = here("campaign", "list", *STORE, "--json")
    assert (told.code, json.loads(told.stdout)) == (0, [])


def test_a_backup_is_not_written_over_its_store(here: Command) -> None:
    with closing(Database("x.sqlite")) as store:
        store.migrate()
    told = here("backup", "./x.sqlite", "--database-url", "sqlite:///x.sqlite")
    assert told.code == 2
    assert "x.sqlite is there, and no backup: choose another file" in told.errors[0]


def test_a_key_of_an_unknown_scope_makes_no_store(here: Command, tmp_path: Path) -> None:
    told = here("keys", "create", "--scope", "all", *URL)
    assert "scope must be one of decide, report, operate, admin, got 'all'" in told.errors[0]
    assert not list(tmp_path.iterdir())
    made = here("keys", "create", "--scope", "Admin", *URL)
    assert (made.code, made.stdout[:3]) == (0, "pr_")


DEMO = ("--dataset", "demo", *SHORT)
WRITES: dict[str, tuple[tuple[str, ...], str]] = {
    "run": (("run", *DEMO, "--out", "out"), "out/.lock"),
    "simulate": (("simulate", *DEMO, "--out", "out"), "out/.lock"),
    "benchmark": (("benchmark", *DEMO, "--out", "out"), "out/.lock"),
    "guide fit": (("guide", "fit", "--dataset", "demo", "--out", "out"), ".out.lock"),
    "data import": (("data", "import", "x.csv", "--yes", "--out", "out"), ".out.lock"),
    "data histories": (("data", "histories", "x.parquet", "--out", "out"), ".out.lock"),
}


@pytest.mark.parametrize(("arguments", "lock"), WRITES.values(), ids=WRITES)
def test_two_commands_do_not_write_one_folder(
    arguments: tuple[str, ...], lock: str, here: Command, tmp_path: Path
) -> None:
    import polars as pl

    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]})
    events.write_parquet("x.parquet")
    events.write_csv("x.csv")
    Path(lock).parent.mkdir(exist_ok=True)
    before = {*tmp_path.rglob("*"), tmp_path / lock}
    with held(tmp_path / lock):
        told = here(*arguments)
    assert told.code == 2, told.stderr
    assert f"another command is writing into {tmp_path / 'out'}: wait for its end" in told.errors[0]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["run", "simulate", "train", "benchmark", "guide fit"])
def test_a_store_that_is_a_file_is_refused_before_anything_is_written(
    command: str, here: Command, tmp_path: Path
) -> None:
    Path("file").write_text("x")
    more = () if command == "guide fit" else SHORT
    told = here(*command.split(), "--dataset", "demo", *more, "--store", "file", "--out", "out")
    assert told.code == 2, told.stderr
    assert told.errors == ["error: a store must be a folder, file is a file"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
