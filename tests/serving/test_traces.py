"""Spans, as a collector gets them by OTLP over HTTP."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from proactrec.errors import MissingExtraError
from proactrec.serving.traces import ENDPOINT, OFF, traces_of
from proactrec.store.database import Database

from .live import live

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
PARENT_TRACE, PARENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """What came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def exports(self) -> list[Any]:
        return [trace_service.ExportTraceServiceRequest.FromString(b) for b in self.bodies]

    def spans(self) -> list[Any]:
        return [
            span
            for export in self.exports()
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collector() -> Iterator[tuple[Collector, str]]:
    """One that listens, and its endpoint."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            found.bodies.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def told(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_and_its_transaction_are_linked_and_name_nobody(
    database: Database, guide_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (found, endpoint):
        monkeypatch.setenv(ENDPOINT, endpoint)
        with live(database, guide_folder(), traces=traces_of("instance-7")) as service:
            headers = {"traceparent": f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"}
            body = {"user_id": "MARKED-USER", "candidates": ["i01", "MARKED-ITEM"]}
            service.ask("POST", "/v1/decisions", json=body, headers=headers)
            service.ask("PUT", "/v1/users/MARKED-USER/consent", json={"guided": False})
            service.ask("POST", "/v1/decisions", json={"MARKED-BODY": 1})
        end = time.monotonic() + 10
        while len(found.spans()) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        spans = {span.name: span for span in found.spans()}
        assert set(spans) == {
            "POST /v1/decisions",
            "PUT /v1/users/{user_id:owner}/consent",
            "transaction",
        }
        asked = [one for one in found.spans() if one.name == "POST /v1/decisions"]
        first = next(one for one in asked if one.parent_span_id)
        assert (first.trace_id.hex(), first.parent_span_id.hex()) == (PARENT_TRACE, PARENT_SPAN)
        assert sorted(told(one)["http.response.status_code"] for one in asked) == [200, 422]
        batches = [one for one in found.spans() if one.name == "transaction"]
        linked = {link.span_id for one in batches for link in one.links}
        consent = spans["PUT /v1/users/{user_id:owner}/consent"]
        assert linked == {first.span_id, consent.span_id}
        assert [told(one)["proactrec.requests"] for one in batches] == [1, 1]
        resource = found.exports()[0].resource_spans[0].resource
        about = {one.key: one.value.string_value for one in resource.attributes}
        assert (about["service.name"], about["service.instance.id"]) == ("proactrec", "instance-7")
        assert not any(b"MARKED" in body for body in found.bodies)
        assert not any(service.key.encode() in body for body in found.bodies)


def test_a_collector_that_is_away_holds_nobody_up(
    database: Database, guide_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    with live(database, guide_folder(), traces=traces_of("one")) as service:
        start = time.monotonic()
        assert service.client.decide("u01").item_id
        assert time.monotonic() - start < 5


def test_without_a_collector_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert traces_of("one") is OFF
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtraError, match="proactrec\\[telemetry\\]"):
        traces_of("one")
