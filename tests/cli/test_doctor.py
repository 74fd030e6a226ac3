"""What `proactrec doctor` says of a service that is well, and of one that is not."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from proactrec.cli import doctor_service
from proactrec.cli.doctor import doctor
from proactrec.store import keys
from proactrec.store.database import Database
from proactrec.worker.lock import only_one

from ..serving.hosting import Shop
from ..serving.live import live

EXPECTED = (
    *("python", "torch", "extra serve", "processors", "free disk", "guide", "database", "schema"),
    *("a commit", "clock", "worker", "leases of budgets", "keys"),
)


@pytest.fixture
def url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests share their disk with others."""
    monkeypatch.setattr(doctor_service, "MOST_COMMIT_MS", 5000.0)


def said(capsys: pytest.CaptureFixture[str], **how: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and findings by what they are of."""
    code = 0
    try:
        doctor(json=True, **how)
    except typer.Exit as end:
        code = end.exit_code
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, {one["what"]: one for one in found}


def test_of_a_service_that_is_well_nothing_is_to_be_done(
    database: Database,
    url: str,
    guide_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with live(database, guide_folder()) as service:
        service.running()
        with closing(Database(url)) as other, only_one(other) as check:
            assert check is not None
            how = {"guide": guide_folder(), "database_url": url, "api": service.url}
            code, found = said(capsys, **how)
    assert [one for one in found.values() if not one["ok"]] == []
    assert code == 0
    assert {*EXPECTED, "service", "address"} <= found.keys()


def test_what_is_wrong_is_named_with_what_to_do(
    database: Database,
    url: str,
    guide_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = Shop(database, guide_folder(), lease_block=5)
    shop.campaign(budget={"total": 100})
    for n in range(12):
        shop.ask(f"u{n:02}")
    with database.writing() as connection:
        n_leases = connection.exec_driver_sql("UPDATE leases SET expires_at = 1").rowcount
    assert n_leases
    code, found = said(capsys, guide=tmp_path / "none", database_url=url, api="http://127.0.0.1:9")
    wrong = {what: one["todo"] for what, one in found.items() if not one["ok"]}
    assert code == 1
    assert wrong.keys() == {"guide", "worker", "leases of budgets", "keys", "service"}
    assert "guide fit" in wrong["guide"]
    assert "proactrec work" in wrong["worker"]
    assert "keys create" in wrong["keys"]


def test_a_database_that_is_away_or_old_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = "postgresql://nobody:secret@127.0.0.1:9/none"
    code, found = said(capsys, database_url=away)
    assert (code, found["database"]["ok"]) == (1, False)
    assert "secret" not in json.dumps(found)
    old = Database(str(tmp_path / "old.db"))
    old.migrate("0001")
    code, found = said(capsys, database_url=str(tmp_path / "old.db"))
    assert (code, found["schema"]["ok"]) == (1, False)
    old.close()


def test_looking_changes_nothing(
    database: Database, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.writing() as connection:
        keys.create(connection, "shop", "admin", 0)
    counts = []
    for _ in range(2):
        with database.reading() as connection:
            names = ("keys", "audit", "jobs", "leases", "users")
            counts.append(
                [connection.exec_driver_sql(f"SELECT count(*) FROM {n}").scalar() for n in names]
            )
        said(capsys, database_url=url)
    assert counts[0] == counts[1]
