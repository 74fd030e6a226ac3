"""Care over HTTP and by commands: two instances on one store, on both databases."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proactrec.cli.main import command
from proactrec.errors import AccessError, InvalidInputError
from proactrec.serving.client import Client
from proactrec.serving.schemas import EventReport
from proactrec.store.backup import backup
from proactrec.store.campaign import Audience
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.keys import ALLOWS
from proactrec.store.rebuild import differences
from proactrec.store.tables import METADATA

from .live import TENANT, Live, campaign, live, made_key

ADA = "ada/lovelace@example.org"


class Two(NamedTuple):
    """Instances on one store."""

    one: Live
    other: Live


@pytest.fixture
def two(database: Database, guide_folder: Callable[..., Path]) -> Iterator[Two]:
    url = database.url.render_as_string(hide_password=False)
    with live(database, guide_folder()) as one, live(Database(url), guide_folder()) as other:
        yield Two(one, other)


def report(client: Client, user_id: str, event_id: str, kind: str = "accept") -> None:
    decision = client.decide(user_id)
    assert decision.item_id is not None
    event = EventReport(
        event_id=event_id,
        user_id=user_id,
        decision_id=decision.decision_id,
        item_id=decision.item_id,
        kind=kind,
    )
    assert client.report([event]).accepted == 1


def test_all_that_is_held_of_a_user_is_told(two: Two) -> None:
    made = two.one.running(audience=Audience(users=("u01", ADA)))
    client = two.one.client
    report(client, "u01", "e1")
    client.consent("u01", guided=False)
    client.groups("u01", ["gold"])
    answer = two.other.ask("GET", "/v1/users/u01/export")
    assert answer.headers["content-type"] == "application/json"
    found = two.other.client.export("u01")
    assert found.user_id == "u01"
    assert len(found.guide_items) == 9
    assert found.audiences == (made,)
    (decision,) = found.decisions
    assert decision["decision_id"].startswith("1-")
    assert decision["guided"] is True
    assert decision["campaign_id"] == made
    assert decision["at"].endswith("+00:00")
    assert [event["event_id"] for event in found.events] == ["e1"]
    assert [one["guided"] for one in found.consents] == [False]
    assert [one["groups"] for one in found.memberships] == [["gold"]]
    assert [one["arm"] for one in found.assignments] == ["guided"]
    assert [one["n_rounds"] for one in found.journeys] == [1]
    nobody = client.export("nobody")
    assert (nobody.decisions, nobody.guide_items, nobody.audiences) == ((), (), ())


def test_a_long_history_is_told_whole(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "exporting.PAGE": 3,
        "exporting.MOST_MEMORY": 100,
        "routes.care.CHUNK": 7,
    }.items():
        monkeypatch.setattr(f"proactrec.serving.{name}", value)
    for _ in range(10):
        two.one.client.decide('a "quoted" ä/ user')
    found = two.other.client.export('a "quoted" ä/ user')
    assert [one["number"] for one in found.decisions] == list(range(1, 11))


def test_erasure_and_opt_out_hold_on_the_next_request_in_every_instance(
    two: Two, caplog: pytest.LogCaptureFixture, database: Database, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    two.one.running(audience=Audience(users=(ADA, "u01", "u02")))
    for client in (two.one.client, two.other.client):
        report(client, ADA, f"{ADA} {id(client)}")
    two.one.client.consent("u02", guided=False)
    assert two.other.client.decide("u02").not_guided_because == "opted_out"
    receipt = two.one.client.erase(ADA)
    assert receipt.erased["decisions"] == 2
    assert receipt.erased["audiences"] == 2
    assert receipt.guides == ()
    assert receipt.scrubbed == database.is_sqlite
    url = database.url.render_as_string(hide_password=False)
    again = Database(url)
    for table in METADATA.sorted_tables:
        with again.reading() as connection:
            found = repr(connection.execute(table.select()).all())
        assert ADA not in found, table.name
    if again.is_sqlite:
        for path in Path(str(again.url.database)).parent.glob("store.db*"):
            assert ADA.encode() not in path.read_bytes(), path.name
    for client in (two.other.client, two.one.client):
        assert list(client.decisions(ADA)) == []
        assert client.export(ADA).audiences == ()
    assert two.other.client.decide(ADA).not_guided_because == "not_in_audience"
    assert ADA not in caplog.text
    assert two.other.client.erase(ADA).erased["decisions"] == 1
    backup(again, tmp_path / "backup")
    assert differences(again, TENANT) == []
    again.close()
    (last, first) = two.other.client.audit(what="erasure")
    assert first.about == receipt.receipt_id
    assert ADA not in repr((last, first))


def test_who_the_guide_knows_is_told_in_the_receipt(two: Two) -> None:
    known = two.one.client.erase("u03")
    assert known.guides == (str(two.one.service.instance.host.guides.folder),)
    assert two.other.client.export("u03").guide_items == ()
    new = two.other.client.decide("nobody knows me").item_id
    assert two.other.client.decide("u03").item_id == new


def test_care_holds_at_once(two: Two) -> None:
    two.one.running(goal={"items": ("i04", "i05")})
    two.one.client.groups("u01", ["minors"])
    assert two.other.client.decide("u01").guided
    assert two.one.client.care() == Care()
    said = Care(excluded_groups=("minors",), excluded_categories=("Comedy",))
    assert two.one.client.care(said) == said == two.other.client.care()
    assert two.other.client.decide("u01").not_guided_because == "excluded_group"
    assert two.other.client.decide("a new one").target_id == "i05"
    answer = two.one.ask("PUT", "/v1/care", json={"excluded_groups": 3})
    assert (answer.status_code, "excluded_groups" in answer.json()["detail"]) == (422, True)


def test_changes_are_listed_with_whoever_made_them(two: Two) -> None:
    made = two.one.client.create(campaign())
    two.one.client.start(made.id, without_forecast="a test")
    two.one.client.care(Care(excluded_groups=("minors",)))
    key_id = two.one.key.split("_")[1]
    found = list(two.other.client.audit(page=2))
    assert [(one.what, one.by) for one in found] == [
        ("care", key_id),
        ("campaign", key_id),
        ("campaign", key_id),
        ("key", "command line"),
        ("key", "command line"),
    ]
    assert [one.detail["state"] for one in two.one.client.audit(about=made.id)] == [
        "running",
        "draft",
    ]
    assert list(two.one.client.audit(what="nothing")) == []


ADMINS = [
    ("GET", "/v1/users/u01/export", None),
    ("DELETE", "/v1/users/u01", None),
    ("PUT", "/v1/care", {}),
    ("GET", "/v1/audit", None),
]


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_only_an_admin_tells_erases_and_cares(two: Two) -> None:
    for scope in ALLOWS:
        key = made_key(two.one.service.database, scope)
        for method, path, body in ADMINS:
            status = two.one.ask(method, path, key=key, json=body).status_code
            assert status == (200 if scope == "admin" else 403), (scope, path)
    url, database = two.one.url, two.one.service.database
    with Client(url, made_key(database, "decide")) as client, pytest.raises(AccessError):
        client.care()
    two.one.client.decide("u01")
    with Client(url, made_key(database, tenant="other")) as other:
        assert other.export("u01").decisions == ()
        other.erase("u01")
        assert {one.what for one in other.audit()} == {"key", "erasure"}
    assert two.one.client.export("u01").decisions


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command, and give what it prints."""

    def told(*words: object) -> str:
        capsys.readouterr()
        name, *rest = map(str, words)
        command(name).main(rest, standalone_mode=False)
        return capsys.readouterr().out

    return told


def test_commands_do_the_same(
    database: Database, guide_folder: Callable[..., Path], tmp_path: Path, run: Callable[..., str]
) -> None:
    folder = shutil.copytree(guide_folder(), tmp_path / "guide")
    url = database.url.render_as_string(hide_password=False)
    where: tuple[object, ...] = ("--database-url", url, "--tenant", TENANT)
    with live(Database(url), folder) as service:
        service.running()
        report(service.client, "u01", "e1")
        exported = json.loads(run("users", "export", "u01", "--guide", folder, *where))
        assert exported == json.loads(service.client.export("u01").model_dump_json())
        receipt: dict[str, Any] = json.loads(
            run("users", "erase", "u01", "--guide", folder, *where)
        )
        assert receipt["erased"]["decisions"] == 1
        assert receipt["guides"] == []
        new = service.client.decide("nobody knows me").item_id
        assert service.client.decide("u01").item_id == new  # whose guide is the old one still
        run("care", "set", "--group", "minors", "--category", "War", *where)
        assert service.client.care().excluded_groups == ("minors",)
        assert json.loads(run("care", "show", *where))["excluded_categories"] == ["War"]
        run("guide", "forget", folder, "--user", "u02")
    with live(Database(url), folder) as service:
        assert service.client.export("u01").guide_items == ()
        assert service.client.export("u02").guide_items == ()
        assert len(service.client.export("u03").guide_items) == 9
    run("users", "scrub", "--database-url", url)
    audited = json.loads(run("audit", *where, "--json", "--what", "erasure"))
    assert [one["about"] for one in audited] == [receipt["receipt_id"]]
    assert "erasure" in run("audit", *where)
    run("backup", tmp_path / "b", "--database-url", url)
    copy = f"sqlite:///{tmp_path / 'copy.db'}"
    run("restore", tmp_path / "b", "--database-url", copy)
    with pytest.raises(InvalidInputError, match="must be empty"):
        run("restore", tmp_path / "b", "--database-url", copy)
    run("restore", tmp_path / "b", "--database-url", copy, "--force")
    run("campaign", "rebuild", "--check", "--store", copy, "--tenant", TENANT)
