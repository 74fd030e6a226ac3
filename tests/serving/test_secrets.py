"""What opens a key is told to whoever made it, and stands nowhere else, however much is logged."""

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from sqlalchemy import text

from proactrec.errors import UnknownKeyError
from proactrec.serving.client import Client
from proactrec.serving.logs import JsonLines
from proactrec.store.database import Database
from proactrec.testing.databases import Kind

from .live import live

COMMAND = [sys.executable, "-c", "from proactrec.cli.main import main; main()", "keys"]
LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "asyncio", "httpx2")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, down to what helps to find faults."""
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("", *LOGGERS)]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield told
    logging.getLogger().removeHandler(handler)
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    asked = [*COMMAND, *words, "--database-url", url]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def status_of(url: str, path: str) -> int:
    """Of a request whose caller logs no URL, as the one of the other requests here does."""
    asked = HTTPConnection(url.removeprefix("http://"))
    asked.request("GET", path)
    status = asked.getresponse().status
    asked.close()
    return status


def kept(database: Database, kind: Kind) -> str:
    """All that the store has, as it lies there."""
    if kind == "sqlite":
        path = Path(str(database.url.database))
        return "".join(
            one.read_bytes().decode("latin-1") for one in path.parent.glob(f"{path.name}*")
        )
    with database.reading() as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        names = list(connection.execute(text(query)).scalars())
        return "".join(
            repr(connection.execute(text(f'SELECT * FROM "{name}"')).all()) for name in names
        )


def test_a_key_stands_in_no_log_and_no_store(
    database: Database,
    kind: Kind,
    guide_folder: Callable[..., Path],
    logged: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = database.url.set(drivername=kind).render_as_string(hide_password=False)
    made = command(url, "create", "--scope", "admin", "--tenant", "shop", "--name", "first")
    first = made.stdout.strip()
    beside = made.stderr + command(url, "list", "--tenant", "shop").stdout
    with live(database, guide_folder()) as service:
        with Client(service.url, first) as client:
            second = client.create_key("operate")
            client.decide("u01")
            client.list_keys()
            for refused in (second.key[:-1], second.key + "x", second.key.upper()):
                with Client(service.url, refused) as wrong, pytest.raises(UnknownKeyError):
                    wrong.campaigns()
            for path in (f"?key={second.key}", f"?access_token={first}", f"/{second.key}"):
                assert status_of(service.url, f"/v1/campaigns{path}") == 401
            bad = {"Content-Type": "application/json"}
            service.ask("POST", "/v1/decisions", key=second.key, content=b"{", headers=bad)
            service.ask("POST", "/v1/keys", key=second.key, json={"scope": "admin"})
            service.service.instance.handle = None  # type: ignore[method-assign, assignment]
            service.ask("POST", "/v1/decisions", key=first, json={"user_id": "u01"})
            client.revoke_key(second.key_id)
        third = service.key
        found = kept(database, kind)
    beside += command(url, "revoke", first.split("_")[1], "--tenant", "shop").stderr
    told = capfd.readouterr()
    everything = {
        "logs": logged.getvalue(),
        "stdout and stderr": told.out + told.err,
        "what commands say": beside,
        "the store": found,
    }
    assert "TypeError" in everything["logs"]  # a failure with its traceback, among much else
    assert second.key_id in found
    for key in (first, second.key, third):
        secret = key.split("_", 2)[2]
        for where, content in everything.items():
            for part in (key, secret, secret[:-1], secret[1:20]):
                assert part not in content, where
