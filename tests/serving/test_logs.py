"""Log lines: JSON, each with what it is about, and nothing of what a request said."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from proactrec.errors import StoreError
from proactrec.serving.logs import JsonLines
from proactrec.store.database import Database
from proactrec.store.tables import KEYS

from .live import Live, live

MARK = "MARKED"
USER, KEY = f"{MARK}-user", f"pr_{MARK}-key"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what was logged so far."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: not record.name.startswith("http"))  # the tests' own client
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def failing_requests(service: Live) -> list[int]:
    """Requests that fail in every way that a caller can cause; their statuses."""
    event = {"event_id": f"{MARK}-e", "user_id": USER, "item_id": f"{MARK}-i", "kind": "accept"}
    is_json = {"content-type": "application/json"}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/decisions", {"content": f'{{"{USER}'.encode(), "headers": is_json}),
        ("POST", "/v1/decisions", {"content": USER.encode()}),
        ("POST", "/v1/decisions", {"json": {"user_id": USER, MARK: USER}}),
        ("POST", "/v1/decisions", {"json": {"user_id": USER}, "key": KEY}),
        ("POST", "/v1/decisions", {"json": {"user_id": USER}}),
        ("POST", "/v1/events", {"json": [{**event, "decision_id": f"{MARK}-d"}]}),
        ("POST", "/v1/events", {"json": [{**event, "kind": f"{MARK}-kind"}]}),
        ("PUT", f"/v1/users/{USER}/consent", {"json": {"guided": MARK}}),
        ("GET", f"/v1/users/{USER}/{MARK}", {}),
        ("GET", f"/v1/users/{USER}%00/decisions", {}),
        ("GET", f"/v1/campaigns/{MARK}", {}),
    ]
    statuses = []
    for method, path, how in asked:  # a connection on which a bug was met is closed
        headers = {"connection": "close", **how.pop("headers", {})}
        statuses.append(service.ask(method, path, headers=headers, **how).status_code)
    return statuses


def test_requests_that_fail_leave_no_trace_of_whom_they_were_about(
    database: Database,
    guide_folder: Callable[..., Path],
    lines: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with live(database, guide_folder(), patience=1.0) as service:
        statuses = failing_requests(service)
        host = service.service.instance.host
        for error in (ValueError(f"{USER} is odd"), StoreError("it is out"), KeyError(USER)):

            def broken(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(host, "handle", broken)
                statuses += failing_requests(service)
        with monkeypatch.context() as patch:
            patch.setattr(service.service.database, "reading", broken)
            statuses += failing_requests(service)
    assert {200, 401, 404, 415, 422, 500, 503} <= set(statuses)
    found = lines()
    own = [line for line in found if line["logger"].startswith("proactrec")]
    for line in found:
        assert {"time", "level", "logger", "instance", "message"} <= line.keys()
        assert MARK not in json.dumps(line)
        assert service.key not in json.dumps(line)
    one_by_one = [line for line in own if line["message"] == "a request failed"]
    assert all(len(line["request_id"]) == 16 for line in one_by_one)
    assert any("ValueError" in line["traceback"] for line in one_by_one)
    assert any("serving/instance.py" in line["traceback"] for line in one_by_one)


def test_what_a_database_says_of_rows_is_not_told(database: Database) -> None:
    row = {"key_id": USER, "tenant": "t", "scope": "s", "hash": "h", "made_at": 0}
    with pytest.raises(IntegrityError) as told, database.writing() as connection:
        connection.execute(insert(KEYS), [row, row])
    trace = (told.type, told.value, told.tb)
    record = logging.LogRecord("a", logging.ERROR, "", 0, "it failed", (), trace)
    line = json.loads(JsonLines().format(record))
    assert MARK not in json.dumps(line)
    assert line["traceback"].endswith("IntegrityError")


def test_an_answer_names_the_request_that_log_lines_name(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    with live(database, guide_folder()) as service:
        ids = {service.ask("GET", "/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
