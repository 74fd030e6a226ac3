"""What was learned, over HTTP and by the command: looked at, watched, put back."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load
from typer.testing import CliRunner

from proactrec.cli.knowledge import app
from proactrec.errors import AccessError, UnknownIdError
from proactrec.serving.client import Client
from proactrec.serving.guides import Guides
from proactrec.store import knowledge
from proactrec.store.database import Database
from proactrec.store.watch import Watch

from .live import TENANT, live, made_key
from .test_refreshing import learned, version_of_next


@pytest.fixture(scope="module")
def folder(guide_folder: Callable[..., Path]) -> Path:
    return guide_folder("foresight")


def test_a_restored_version_is_taken_up_within_seconds(database: Database, folder: Path) -> None:
    with live(database, folder) as service:
        service.running()
        for version in (1, 2):
            learned(database, Guides(folder), version)
        end = time.monotonic() + 10
        while version_of_next(service, "u01") != 2:
            assert time.monotonic() < end
        back = service.client.restore(1, "it was better")
        assert (back.version, back.parent, back.restores) == (3, 1, 1)
        while version_of_next(service, "u01") != 3:
            assert time.monotonic() < end + 10
        _, known = service.service.instance.host.guides_of(TENANT).knowledge[TENANT]
        assert float(known.surplus[1]) == 50
        told = service.client.knowledge()
        assert [one.version for one in told.versions] == [3, 2, 1, 0]
        assert (told.in_use, told.watch.frozen) == (3, True)
        assert service.client.restore(1, "again") == back
        assert not service.client.restore(1, "go on", learns=True).alarm
        assert not service.client.knowledge().watch.frozen
        with pytest.raises(UnknownIdError, match="no version 7"):
            service.client.restore(7, "a test")
        with database.reading() as connection:
            of_audit = "SELECT by, about, detail FROM audit WHERE what = 'restored' ORDER BY seq"
            noted = connection.exec_driver_sql(of_audit).all()
        assert noted[0].about == "knowledge 3"
        assert json.loads(noted[0].detail)["reason"] == "it was better"
        assert noted[0].by != "worker"


def test_another_tenant_and_a_smaller_scope_change_nothing(
    database: Database, folder: Path
) -> None:
    with live(database, folder) as service:
        learned(database, Guides(folder), 1)
        with Client(service.url, made_key(database, "operate", "another")) as other:
            assert [one.version for one in other.knowledge().versions] == [0]
            with pytest.raises(UnknownIdError):
                other.restore(1, "not mine")
            other.watch(Watch(frozen=True))
        assert not service.client.knowledge().watch.frozen
        with Client(service.url, made_key(database, "report")) as reader:
            assert reader.knowledge().in_use == 1
            for change in (lambda: reader.restore(0, "a test"), lambda: reader.watch(Watch())):
                with pytest.raises(AccessError):
                    change()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_the_command_shows_restores_and_watches(database: Database, folder: Path) -> None:
    for version in (1, 2):
        learned(database, Guides(folder), version)
    where = ["--store", str(database.url.database), "--guide", str(folder), "--tenant", TENANT]

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, *where], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert said("restore", "1", "--reason", "a test") == "3\n"
    found = json.loads(said("list", "--json"))
    assert [one["restores"] for one in found["versions"]] == [1, None, None, None]
    assert "1 restored" in said("list")
    assert json.loads(said("watch", "--set", "frozen=false", "--set", "off=0.2"))["off"] == 0.2
    assert json.loads(said("list", "--json"))["watch"]["frozen"] is False
    with database.reading() as connection:
        name = Guides(folder).name
        again = load(knowledge.tensors_of(connection, TENANT, name, 3))
    assert float(again["surplus"][1]) == 50
