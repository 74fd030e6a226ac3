"""Names that stand twice, columns of odd kinds, texts without content: told in a sentence."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proactrec.cli.results import earlier
from proactrec.config import yaml_of
from proactrec.distributed.histories import gather
from proactrec.distributed.shards import UserTable
from proactrec.errors import DataError, DataWarning
from proactrec.store.database import Database

from ..e2e.conftest import Command
from ..e2e.conftest import here as here

STORE = ("--store", "s.sqlite")
INGEST = ("campaign", "ingest", *STORE, "--guide", "g", "--events")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def guide(guide_folder: Callable[..., Path]) -> Path:
    Path("g").symlink_to(guide_folder())
    return Path("g")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: a\nname: b\n", "must have every name once, got 'name' twice"),
        ("goal: {items: [i04], items: [i05]}\n", "must have every name once, got 'items' twice"),
        ("5: x\n", "must have texts as names, got '5': give it quotes"),
        ("goal: {? : x}\n", "must have texts as names, got '': give it quotes"),
        ("rails: {category_caps: {1990: 2}}\n", "must have texts as names, got '1990'"),
        ("- 1\n", "--from must name a file of settings, c.yaml holds none"),
    ],
)
def test_a_campaign_says_everything_once(
    text: str, sentence: str, here: Command, guide: Path
) -> None:
    Path("c.yaml").write_text(text)
    told = here("campaign", "create", *STORE, "--guide", guide, "--from", "c.yaml")
    assert told.code == 2, told.stderr
    assert "c.yaml" in told.errors[0]
    assert sentence in told.errors[0]
    assert not Path("s.sqlite").exists()


def test_a_setting_says_everything_once(here: Command) -> None:
    told = here("run", "--dataset", "demo", "--set", "protocol.world={world: flat, world: steep}")
    assert told.code == 2
    assert told.errors == [
        "error: --set protocol.world must have every name once, got 'world' twice"
    ]


def test_what_is_merged_into_a_mapping_may_be_said_again() -> None:
    text = "one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\n'5': \ufeff\n"
    assert yaml_of(text.replace("\ufeff", "x"))["two"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it must say command, options, store, data_dir, encoder_folder, device, command, "),
        ("- 1\n", "it must say command, options"),
        ("command: x\n", "options, store, data_dir, encoder_folder, device is missing"),
        ("options: 5\n", "options must be a mapping, got 5"),
        ("options: {}\nstore: 5\n", "store must be a path, got 5"),
        ("seed: 0\nseed: 1\n", "must have every name once, got 'seed' twice"),
    ],
)
def test_settings_of_no_run_are_told_with_what_is_wrong(
    text: str, sentence: str, tmp_path: Path
) -> None:
    if "options" in text:
        names = ("command", "store", "data_dir", "encoder_folder", "device")
        text += "".join(f"{name}: null\n" for name in names if name not in text)
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(DataError, match=r"can't be read as the settings of a run") as raised:
        earlier(tmp_path)
    assert sentence in str(raised.value)


def test_a_file_is_no_run_folder(here: Command) -> None:
    Path("x").write_text("")
    assert here("evaluate", "x").errors == ["error: x is no run folder: it has no settings.yaml"]


LIST, STRUCT = [["i"]], [[{"a": 1}]]
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "ids that are lists": ({"user_id": LIST}, "user_id in x.parquet must be texts or whole"),
    "ids that are fractions": ({"user_id": [1.0]}, "texts or whole numbers, got Float64"),
    "items that are fractions": ({"item_ids": [[1.0]]}, "item_ids in x.parquet must be texts or"),
    "items that are structs": ({"item_ids": STRUCT}, "whole numbers, got Struct"),
    "rounds that are numbers": ({"rounds": [[1]]}, "rounds in x.parquet must be lists of rounds"),
}


@pytest.mark.parametrize(("columns", "sentence"), KINDS.values(), ids=KINDS)
def test_columns_of_another_kind_are_no_users(columns: dict[str, Any], sentence: str) -> None:
    pl.DataFrame({"user_id": ["u"], "item_ids": LIST} | columns).write_parquet("x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet") as raised:
        UserTable.opened(Path("x.parquet"))
    assert sentence in str(raised.value)


def test_a_user_who_is_there_twice_is_told_with_the_file() -> None:
    pl.DataFrame({"user_id": ["u", "u"], "item_ids": LIST * 2}).write_parquet("x.parquet")
    users = UserTable.opened(Path("x.parquet"))
    with pytest.raises(DataError, match=r"2 rows of x\.parquet break this, first 'u'"):
        users.rows(users.shards(9)[0])


def events(**columns: list[Any]) -> Path:
    whole = {"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}
    pl.DataFrame(whole | columns).write_parquet("e.parquet")
    return Path("e.parquet")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"timestamp": ["soon"]}, "timestamp in e.parquet must be numbers or times, got String"),
        ({"timestamp": [True]}, "timestamp in e.parquet must be numbers or times, got Boolean"),
        ({"item_id": LIST}, "item_id in e.parquet must be texts or whole numbers, got List"),
    ],
)
def test_events_of_another_kind_are_no_histories(
    columns: dict[str, list[Any]], sentence: str
) -> None:
    with pytest.raises(DataError) as raised:
        gather(events(**columns), Path("out"))
    assert sentence in str(raised.value)
    assert not Path("out").exists()


def test_events_that_lack_something_are_left_aside_and_counted() -> None:
    nan = float("nan")
    rows = events(
        user_id=["u", None, "u", "u", "u"],
        item_id=["i", "i", None, "j", "k"],
        timestamp=[2.0, 1.0, 1.0, nan, -1.0],
    )
    with pytest.warns(
        DataWarning, match="rows without user_id, item_id or timestamp are left aside: 3"
    ):
        gather(rows, Path("out"))
    assert pl.read_parquet("out/*.parquet")["item_ids"].to_list() == [["k", "i"]]


EMPTY: dict[str, tuple[tuple[str, ...], str]] = {
    "pause": (("campaign", "pause", "c", *STORE, "--reason", " "), "--reason must be a text"),
    "stop": (
        ("campaign", "stop", "c", *STORE, "--reason", "x" * 1001),
        "--reason must have at most 1,000 characters, got 1,001",
    ),
    "start": (
        ("campaign", "start", "c", *STORE, "--without-forecast", ""),
        "--without-forecast must be a text, got ''",
    ),
    "key": (
        ("keys", "create", "--scope", "admin", "--name", "x" * 201, "--database-url", "s.sqlite"),
        "--name must have at most 200 characters, got 201",
    ),
    "hold-out": (
        ("campaign", "power", "--effect", "0.1", "--rate", "0.1", "--hold-out", "0"),
        "--hold-out must be above 0, got 0.0",
    ),
    "deviation": (
        ("campaign", "power", "--effect", "0.1", "--deviation", "0"),
        "--deviation must be above 0, got 0.0",
    ),
    "audit": (
        ("audit", "--database-url", "s.sqlite", "--limit", str(2**70)),
        f"--limit must be at most 1000000, got {2**70}",
    ),
}


@pytest.mark.parametrize(("arguments", "sentence"), EMPTY.values(), ids=EMPTY)
def test_what_says_nothing_or_too_much_is_refused(
    arguments: tuple[str, ...], sentence: str, here: Command, tmp_path: Path
) -> None:
    told = here(*arguments)
    assert told.code == 2, told.stderr
    assert sentence in told.errors[0]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def store() -> None:
    with closing(Database("s.sqlite")) as database:
        database.migrate()


@pytest.mark.usefixtures("store")
def test_nobody_is_excluded_by_no_name(here: Command) -> None:
    told = here("care", "set", "--group", "", "--database-url", "s.sqlite")
    assert told.code == 2
    assert "excluded_groups and excluded_categories must be names, got ''" in told.errors[0]


@pytest.mark.usefixtures("store", "guide")
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"u\n" + b"x" * 201, "file of user ids of at most 200 characters, without NUL, id 2 is"),
        (b"a\0b\n", "without NUL, id 1 is 'a\\x00b'"),
        (None, "--users must name a file of user ids, there is no u.txt"),
    ],
)
def test_users_whom_no_service_takes_are_not_planned_for(
    content: bytes | None, sentence: str, here: Command
) -> None:
    if content is not None:
        Path("u.txt").write_bytes(content)
    more = ("--users", "u.txt", "--out", "x.csv")
    told = here("campaign", "plan", *STORE, "--guide", "g", *more)
    assert told.code == 2, told.stderr
    assert told.errors[0].startswith("error: --users must name a file of user ids")
    assert sentence in told.errors[0]
    assert not Path("x.csv").exists()


def test_a_column_of_events_stands_once(here: Command) -> None:
    Path("e.csv").write_text("user_id,user_id,event_id,kind,item_id\na,b,c,accept,i01\n")
    told = here(*INGEST, "e.csv")
    assert told.code == 2
    assert "--events must have every column once, got 'user_id' twice in e.csv" in told.errors[0]


@pytest.mark.usefixtures("store", "guide")
def test_ids_that_are_no_text_are_told_with_their_file(here: Command) -> None:
    row = {"user_id": [b"\xff"], "event_id": ["e"], "kind": ["accept"], "item_id": ["i01"]}
    pl.DataFrame(row).write_parquet("e.parquet")
    told = here(*INGEST, "e.parquet")
    assert told.code == 2
    assert "columns of e.parquet must be texts, got " in told.errors[0]


def test_more_threads_than_any_machine_has_are_refused(
    here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROACTREC_THREADS", "9" * 30)
    told = here("worlds")
    assert told.code == 2
    assert told.errors == [f"error: PROACTREC_THREADS must be at most 4,096, got '{'9' * 30}'"]
