"""The service as it is started, and what is said before anything starts."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from proactrec.serving.safety import SafetyOptions

from ..e2e.conftest import Command
from .starting import READY_SECONDS, started


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


def test_it_speaks_tls_itself_and_keeps_the_first_key_in_a_file_for_its_owner_alone(
    guide_folder: Callable[..., Path], tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    (cert, key), file = certificate, tmp_path / "first-key"
    flags = ("--guide", str(guide_folder()), "--database-url", str(tmp_path / "store.db"))
    flags += ("--tls-cert", str(cert), "--tls-key", str(key), "--rate-limit", "3/minute")
    with started(tmp_path, *flags, "--first-key-file", str(file)) as service:
        assert service.url.startswith("https://")
        secret, end = file.read_text().strip(), time.monotonic() + READY_SECONDS
        assert file.stat().st_mode & 0o777 == 0o600
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
        assert service.stop() == ""
        assert secret not in service.told


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
