"""A service, its console and a browser, all of them real."""

import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser

from proactrec.serving.client import Client
from proactrec.serving.schemas import EventReport, Item
from proactrec.testing.databases import Kind, fresh_database

from ..serving.conftest import certificate, guide_folder
from ..serving.starting import COMMAND, started
from .browsing import Visit, opened

__all__ = ["certificate", "guide_folder"]
PATIENCE = 60.0
MARKUP = "<img src=x onerror=\"alert('markup')\">"
"""Before every title: whoever shows it as anything but text is found out."""


@dataclass
class Site:
    """A service with its console."""

    url: str  # of the console
    api: str
    key: str
    client: Client


@contextmanager
def console(api: str, told: Path, *flags: str, cert: Path | None = None) -> Iterator[str]:
    """The console's command, started; its URL."""
    command = [*COMMAND[:-1], "console", "--api", api, "--port", "0", *flags]
    with told.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"is at (https?://[\d.:]+)", told.read_text())):
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < end, told.read_text()
            time.sleep(0.05)
        verify = ssl.create_default_context(cafile=cert) if cert else False
        while not answers(found[1], verify):
            assert time.monotonic() < end, told.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15), told.read_text()


def answers(url: str, verify: ssl.SSLContext | bool = False) -> bool:
    """Whether a console is there; who asks often reads certificates once, or none."""
    try:
        return httpx2.get(f"{url}/healthz", timeout=2, verify=verify).is_success
    except httpx2.TransportError:
        return False


@contextmanager
def site(kind: Kind, guide: Path, folder: Path) -> Iterator[Site]:
    """A service on a fresh database, whose items have markup in their titles."""
    with fresh_database(kind, folder) as database:
        url = database.url.set(drivername=kind).render_as_string(hide_password=False)
        with started(folder, "--guide", str(guide), "--database-url", url) as service:
            key = service.printed()
            service.until_ready()
            with Client(service.url, key) as client, console(service.url, folder / "console") as at:
                client.items(titled(client))
                yield Site(at, service.url, key, client)
            service.stop()


def titled(client: Client) -> list[Item]:
    """All items, with markup in their titles."""
    found = client.find_items(limit=200).items
    return [
        Item(item_id=one.item_id, title=MARKUP + one.title, categories=one.categories)
        for one in found
    ]


@pytest.fixture(scope="module")  # while it is open an event loop runs, which others can't have
def browser() -> Iterator[Browser]:
    if sys.platform != "linux":
        pytest.skip("the browser is Debian's")
    with opened() as found:
        yield found


@pytest.fixture(scope="package")
def at(
    guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A service that the tests of this folder share, as far as one process runs them."""
    with site("sqlite", guide_folder("foresight"), tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, at: Site) -> Iterator[Visit]:
    found = Visit(browser, at.url)
    yield found
    found.close()


class Shoppers:
    """Users who come again and again, and take every second item that they are shown."""

    def __init__(self, site: Site, users: range = range(24), pause: float = 0.02) -> None:
        self._site, self._users, self._pause = site, users, pause
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._come)
        self.failed: list[Exception] = []

    def __enter__(self) -> "Shoppers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        assert not self.failed, self.failed[:3]

    def _come(self) -> None:
        n = 0
        with Client(self._site.api, self._site.key) as client:
            while not self._ends.is_set():
                n += 1
                user = f"u{self._users[n % len(self._users)]:02}"
                try:
                    _visit(client, user, takes=n // len(self._users) % 2 == 0)
                except Exception as error:
                    self.failed.append(error)
                self._ends.wait(self._pause)


def _visit(client: Client, user: str, *, takes: bool) -> None:
    shown = client.decide(user)
    if shown.item_id is not None and shown.decision_id is not None:
        event = EventReport(
            event_id=f"of {shown.decision_id}",
            user_id=user,
            decision_id=shown.decision_id,
            item_id=shown.item_id,
            kind="accept" if takes else "skip",
        )
        client.report([event])
