"""However much routes read, and however slowly, decisions find a connection."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from proactrec.serving import reporting
from proactrec.serving.routes import care
from proactrec.store.database import Database

from .live import Live, live

MOST_CONNECTIONS = 16


@pytest.fixture
def service(database: Database, guide_folder: Callable[..., Path]) -> Iterator[Live]:
    with live(database, guide_folder(), patience=1.0) as found:
        yield found


def n_held(service: Live) -> int:
    """Connections of routes that somebody has."""
    return service.service.database.engine.pool.checkedout()  # type: ignore[attr-defined]


def test_reads_that_take_all_connections_keep_no_decision_waiting(service: Live) -> None:
    service.running()
    with ExitStack() as held:
        for _ in range(MOST_CONNECTIONS):
            held.enter_context(service.service.database.reading())
        assert service.client.decide("u01").guided
        assert service.ask("GET", "/readyz").status_code == 200
        assert not service.service.instance.is_store_out


def test_no_transaction_waits_for_who_reads_an_export(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(connection: Connection, *_: Any) -> Iterator[str]:
        for _ in range(400):  # 25 MB, more than is on the way
            connection.exec_driver_sql("SELECT 1")
            yield "x" * 2**16

    monkeypatch.setattr(care, "exported", large)
    asked = f"GET /v1/users/u01/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}"
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as reader:
        reader.sendall(f"{asked}\r\n\r\n".encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        assert n_held(service) == 0


def test_no_transaction_waits_for_a_report_to_be_drawn(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, real = [], reporting.campaign_page

    def drawn(*told: Any) -> str:
        held.append(n_held(service))
        return real(*told)

    monkeypatch.setattr(reporting, "campaign_page", drawn)
    assert service.client.report_page(service.running())
    assert held == [0]
