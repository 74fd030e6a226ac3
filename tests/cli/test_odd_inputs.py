"""What new users type and have: odd names, sizes, files and terminals, each told in a sentence."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from proactrec.config import MOST_ROUNDS, Options
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.policies.registry import POLICIES, policy_type
from proactrec.serving import calling
from proactrec.store.database import BUSY_SECONDS

from ..e2e.conftest import Command
from ..e2e.conftest import here as here

NOBODY = "http://127.0.0.1:9"
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "a store without a name": (
        ("campaign", "list", "--store", ""),
        "a database is in a file, or postgresql://..., got ''",
    ),
    "a store in memory": (
        ("campaign", "list", "--store", ":memory:"),
        "a database is in a file, or postgresql://..., got ':memory:'",
    ),
    "a store with a setting of another kind": (
        ("campaign", "list", "--store", "sqlite:///x.sqlite?timeout=soon"),
        "a database is sqlite:///FILE or postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, got one of",
    ),
    "a store with a setting that there is not": (
        ("campaign", "list", "--store", "postgresql://127.0.0.1:9/x?speed=1"),
        'has an invalid connection option "speed"',
    ),
    "a store at a port that is none": (
        ("campaign", "list", "--store", "postgresql://u:secret@127.0.0.1:abc/x"),
        "a database is sqlite:///FILE or postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, got one of",
    ),
    "a home that no shell has put in": (
        ("run", "--out=~/shop"),
        "--out must be a path, with the home folder spelled out, got '~/shop'",
    ),
    "a tenant without a name": (
        ("campaign", "list", "--store", "x.sqlite", "--tenant", " "),
        "--tenant must be a name, got ' '",
    ),
    "a user without a name": (
        ("users", "erase", "", "--guide", "g", "--database-url", "x.sqlite"),
        "USER must be a name, got ''",
    ),
    "a kind of change that there is not": (
        ("audit", "--database-url", "x.sqlite", "--what", "keys"),
        "--what must be campaign, key, items, care, erasure, restored, watched or alarm (did you "
        "mean key?), got 'keys'",
    ),
    "a host without a name": (
        ("console", "--host", ""),
        "--host must be an address or a name, got ''",
    ),
    "a host whose name is too long": (
        ("console", "--host", "a" * 64),
        "can't listen on aaa",
    ),
    "a port that is none": (
        ("shoppers", "--key", "pr_x", "--api", "http://127.0.0.1:99999"),
        "a URL must begin with http:// or https://, got 'http://127.0.0.1:99999'",
    ),
    "more layers than help": (
        ("run", "--set", "encoder_options.n_layers=1000000"),
        "n_layers must be at most 64, got 1000000",
    ),
    "more models than help": (
        ("run", "--policy", "foresight", "--set", "policy_options.n_models=1000000000"),
        "ForesightOptions.n_models must be at most 64, got 1000000000",
    ),
    "layers that are too wide together": (
        ("run", "--set", "encoder_options.n_layers=64", "--set=encoder_options.embedding_dim=8192"),
        "embedding_dim and n_layers must make at most 1,000,000,000 weights, got ",
    ),
    "more rounds than can be counted": (
        ("run", "--n-rounds", str(10**20)),
        f"--n-rounds must be at most {MOST_ROUNDS}, got {10**20}",
    ),
    "a column without a name": (
        ("data", "describe", "--dataset", "csv", "--events", "x.csv", "--user-column", ""),
        "--user-column must have at least 1 character, got ''",
    ),
    "a day that no month has": (
        ("run", "--set", "seed=2001-99-99"),
        "--set seed has a value that is not YAML, got '2001-99-99'",
    ),
    "brackets without end": (
        ("run", "--set", "seed=" + "[" * 3000),
        "--set seed has a value that is not YAML, got '[[[",
    ),
    "a service that is none": (
        ("shoppers", "--key", "pr_x", "--api", "ftp://shop"),
        "a URL must begin with http:// or https://, got 'ftp://shop'",
    ),
    "a key that no header holds": (
        ("shoppers", "--api", NOBODY, "--key", "schlüssel"),
        "a key must be as `proactrec keys create` prints it",
    ),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_ends_in_one_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    here: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = here(*arguments)
    assert told.code == 2, told.stderr
    assert sentence in told.errors[0]


def test_a_service_that_is_away_is_told_before_anything_takes_long(
    here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "RECONNECT_SECONDS", 0.01)
    told = here("shoppers", "--api", NOBODY, "--key", "pr_x")
    assert told.code == 2
    assert f"asking the service at {NOBODY}" in told.stderr
    assert f"the service at {NOBODY} can't be reached" in told.errors[0]


INGEST = ("campaign", "ingest", "--store", "s", "--guide", "g", "--events", "FILE")
DAMAGED: dict[str, tuple[str, ...]] = {
    "histories.parquet": ("data", "histories", "FILE", "--out", "out"),
    "journeys.parquet": (
        "data",
        "histories",
        "whole.parquet",
        "--out",
        "out",
        "--journeys",
        "FILE",
    ),
    "events.parquet": ("campaign", "ingest", "--store", "s", "--guide", "g", "--events", "FILE"),
    "events.csv": ("campaign", "ingest", "--store", "s", "--guide", "g", "--events", "FILE"),
    "empty.csv": ("campaign", "ingest", "--store", "s", "--guide", "g", "--events", "FILE"),
}


@pytest.mark.parametrize(("name", "arguments"), DAMAGED.items(), ids=DAMAGED)
def test_a_damaged_file_is_named(
    name: str,
    arguments: tuple[str, ...],
    here: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = pl.DataFrame({"user_id": ["u"], "item_id": ["Zoë"], "timestamp": [1]})
    whole.write_parquet("whole.parquet")
    content = Path("whole.parquet").read_bytes()[:-9]
    if name.endswith(".csv"):
        content = b"" if name == "empty.csv" else whole.write_csv().encode("latin-1")
    Path(name).write_bytes(content)
    told = here(*(name if one == "FILE" else one for one in arguments))
    assert told.code == 2, told.stderr
    assert name in told.errors[0]


def test_rows_that_are_all_in_another_encoding_are_no_missing_rows(
    here: Command, tmp_path: Path
) -> None:
    rows = "user_id,item_id,timestamp\n" + "".join(f"Zoë,i{n},{n}\n" for n in range(9))
    (tmp_path / "own.csv").write_bytes(rows.encode("latin-1"))
    told = here("data", "import", tmp_path / "own.csv", "--out", tmp_path / "out", "--yes")
    assert told.code == 2
    assert "has no rows that can be read: 9 rows left out: the line is not UTF-8" in told.errors[0]


def test_pages_of_a_damaged_file_are_told_of_with_its_name(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    users = [f"u{n}" for n in range(5000)]
    table = pl.DataFrame({"user_id": users, "item_id": users[::-1], "timestamp": range(5000)})
    table.write_parquet("whole.parquet")
    content = bytearray(Path("whole.parquet").read_bytes())
    content[40:20_000] = b"\x5a" * (20_000 - 40)  # its foot stays
    Path("pages.parquet").write_bytes(content)
    told = here("data", "histories", "pages.parquet", "--out", "out")
    assert told.code == 2, told.stderr
    assert "pages.parquet is not a Parquet file" in told.errors[0]
    assert not Path("out").exists()


def test_a_store_that_may_only_be_read_is_told_at_once(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("x.sqlite")) as other:
        other.execute("CREATE TABLE x (y)")
    start = time.monotonic()
    read_only = "sqlite:///file:x.sqlite?mode=ro&uri=true"
    told = here("keys", "create", "--scope", "admin", "--database-url", read_only)
    assert told.code == 2
    assert "attempt to write a readonly database" in told.errors[0]
    assert time.monotonic() - start < BUSY_SECONDS


@pytest.mark.parametrize("width", ["0", "1", "39", "1000000000", "wide", "²"])
def test_a_terminal_of_any_width_shows_a_table(
    width: str, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    told = here("worlds")
    assert told.code == 0
    assert "leaving" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 1000


def test_capitals_of_names_do_not_matter(here: Command, tmp_path: Path) -> None:
    told = here("data", "download", "Steam-200K", "--data-dir", tmp_path)
    assert "steam-200k" in told.errors[0]
    assert "is not published" not in told.errors[0]


SIZES = ("_dim", "_len", "n_layers", "n_models", "n_rounds", "n_worlds", "n_candidates")
"""Ends of the names of settings that something is made as large as."""


def all_options(kind: type[Options] = Options) -> Iterator[type[Options]]:
    for one in kind.__subclasses__():
        yield one
        yield from all_options(one)


def test_whatever_sizes_something_has_a_largest_value() -> None:
    for name in POLICIES:
        policy_type(name)
    unbounded = [
        f"{kind.__name__}.{name}"
        for kind in all_options()
        if kind.__module__.startswith("proactrec.")
        for name, field in kind.model_fields.items()
        if name.endswith(SIZES) and not any(hasattr(rule, "le") for rule in field.metadata)
    ]
    assert ExperimentOptions in all_options()
    assert unbounded == []


@pytest.mark.parametrize("command", ["run", "simulate", "targets"])
def test_what_is_refused_leaves_no_folder(
    command: str, here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = here(command, "--dataset", "demo", "--category", "Nothing")
    assert told.code == 2, told.stderr
    assert not list(tmp_path.iterdir())
