"""A real OpenID Connect provider, in a process of its own, and tokens that it gives to people."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

CLIENT = "console"
BACK = "http://127.0.0.1/back"
START_SECONDS = 30


class Provider:
    """At a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def token(self, subject: str, client_id: str = CLIENT, **claims: Any) -> str:
        """The ID token of somebody who has signed in."""
        with httpx2.Client(base_url=self.url) as http:
            http.put(f"/users/{subject}", json=claims).raise_for_status()
            asked = {"client_id": client_id, "redirect_uri": BACK, "response_type": "code"}
            back = http.post(
                "/oauth2/authorize",
                params={**asked, "scope": "openid"},
                data={"sub": subject},
            )
            (code,) = parse_qs(urlsplit(back.headers["location"]).query)["code"]
            given = http.post(
                "/oauth2/token",
                data={"grant_type": "authorization_code", "code": code, "redirect_uri": BACK},
                auth=(client_id, "any"),
            )
            return str(given.raise_for_status().json()["id_token"])


@contextmanager
def provider(port: int = 0) -> Iterator[Provider]:
    """One that is stopped afterwards; another at the same port has other keys."""
    port = port or _free()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = Provider(f"http://127.0.0.1:{port}")
    try:
        _wait(found.url, process)
        yield found
    finally:
        process.terminate()
        process.wait()


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx2.get(f"{url}/jwks").is_success:
                return
        except httpx2.TransportError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
