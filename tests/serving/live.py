"""The service in a thread of the tests, on a free port of this machine."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import uvicorn

from proactrec.serving import refreshing
from proactrec.serving.app import create_app
from proactrec.serving.calling import trusted
from proactrec.serving.client import Client
from proactrec.serving.connections import Connection
from proactrec.serving.guides import Guides
from proactrec.serving.host import Host
from proactrec.serving.instance import Instance
from proactrec.serving.safety import SafetyOptions
from proactrec.serving.service import Service
from proactrec.serving.traces import OFF, Traces
from proactrec.store import keys
from proactrec.store.campaign import Campaign
from proactrec.store.database import Database
from proactrec.store.keys import Scope

from ..store.shop import CHEAP

TENANT = "shop"
LOOK_SECONDS = 0.1
"""Between two looks of an instance for news, which has a second otherwise."""


class Live:
    """A running service, a key for everything, and ways to ask."""

    def __init__(self, service: Service, port: int, key: str) -> None:
        self.service, self.url, self.key = service, f"http://127.0.0.1:{port}", key
        self.client = Client(self.url, key)
        self._raw = httpx2.Client(base_url=self.url, timeout=20, verify=trusted())

    def close(self) -> None:
        self.client.close()
        self._raw.close()

    def ask(self, method: str, path: str, *, key: str | None = None, **how: Any) -> httpx2.Response:
        """The answer as it comes, with this service's key unless another is given."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        headers |= how.pop("headers", {})
        return self.bare(method, path, headers=headers, **how)

    def bare(self, method: str, path: str, **how: Any) -> httpx2.Response:
        """The same without a key."""
        return self._raw.request(method, path, **how)

    def running(self, **said: Any) -> str:
        """Id of a campaign that runs; toward i04 unless told."""
        made = self.client.create(campaign(**said))
        return self.client.start(made.id, without_forecast="a test").id


def campaign(**said: Any) -> Campaign:
    return Campaign(**{"name": "test", "goal": {"items": ("i04",)}, "hold_out": 0, **said})


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what instances look for all the time."""
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def made_key(database: Database, scope: Scope = "admin", tenant: str = TENANT) -> str:
    with mock.patch.object(keys, "_HASHER", CHEAP), database.writing() as connection:
        return keys.create(connection, tenant, scope, 0)


@contextmanager
def live(
    database: Database,
    folder: Path,
    *,
    patience: float = 3.0,
    most_waiting: int = 4000,
    traces: Traces = OFF,
    **safety: Any,
) -> Iterator[Live]:
    """An instance of the service, stopped afterwards; it closes the database."""
    instance = Instance(
        Host(database, Guides(folder)), patience=patience, most_waiting=most_waiting, traces=traces
    )
    options = SafetyOptions(**safety)
    service = Service(database.apart(), instance, options.door(database))
    with (
        mock.patch.object(refreshing, "EVERY_SECONDS", LOOK_SECONDS),
        mock.patch.object(keys, "_HASHER", CHEAP),
        listening(service, options) as port,
        closing(Live(service, port, made_key(database))) as found,
    ):
        yield found


@contextmanager
def listening(service: Service, options: SafetyOptions) -> Iterator[int]:
    """A thread that serves on a free port."""
    config = uvicorn.Config(
        create_app(service),
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        **options.server(),
    )
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
