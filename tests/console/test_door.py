"""Who comes in: by a key, or by a real issuer; and what every answer says to browsers."""

import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from proactrec.serving.client import Client

from ..serving.provider import CLIENT, provider
from ..serving.starting import Started, started
from .browsing import Visit
from .conftest import Site, answers, console

pytestmark = pytest.mark.slow


def test_a_service_opens_its_console_and_takes_it_along(
    browser: Browser,
    guide_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who comes in there by a key, and somebody whom the issuer knows, with their scope."""
    monkeypatch.setenv("PROACTREC_OIDC_SECRET", "a secret")
    with provider() as issuer:
        claims = {"proactrec_tenant": "default", "proactrec_scope": "report"}
        httpx2.put(f"{issuer.url}/users/lovelace", json=claims).raise_for_status()
        flags = ["--guide", str(guide_folder()), "--database-url", str(tmp_path / "s.db")]
        flags += ["--oidc-issuer", issuer.url, "--oidc-client-id", CLIENT, "--console-port", "0"]
        with started(tmp_path, *flags) as service:
            key = service.printed()
            service.until_ready()
            url = console_of(service)
            with Client(service.url, key) as client:
                client.access()  # it tries again while a busy service takes its time over a key
            assert httpx2.post(f"{url}/sign-in", data={"key": key}).headers["location"] == "/"
            come_in(Visit(browser, url), "lovelace")
            service.stop()
            assert not answers(url)
        assert "lovelace" not in service.told


def console_of(service: Started) -> str:
    """Where the console that a service opened is, once it answers."""
    end = time.monotonic() + 60
    while not (found := re.search(r"the console of (\S+) is at (http://[\d.:]+)", service.told)):
        assert time.monotonic() < end, service.told
        time.sleep(0.1)
    api, url = found.groups()
    assert api == service.url
    while not answers(url):
        assert time.monotonic() < end, service.told
        time.sleep(0.1)
    return url


def come_in(visit: Visit, name: str) -> None:
    """By the issuer, as somebody who may only read reports."""
    visit.page.goto("/sign-in")
    visit.page.get_by_role("link", name=re.compile("Sign in by")).click()
    visit.page.get_by_placeholder("sub").fill(name)
    visit.page.get_by_role("button").first.click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(visit.page.get_by_text("default · report")).to_be_visible()
    visit.close()


def test_answers_allow_no_other_hosts_and_no_frames(at: Site) -> None:
    for path in ("/sign-in", "/static/console.css", "/", "/nothing-here"):
        headers = httpx2.get(f"{at.url}{path}").headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert not re.search(r"https?:", headers["content-security-policy"])
        assert headers["x-content-type-options"] == "nosniff"


def test_the_cookie_is_for_the_server_alone(at: Site) -> None:
    answer = httpx2.post(f"{at.url}/sign-in", data={"key": at.key})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert at.key not in answer.headers["set-cookie"]


def test_a_form_of_another_site_is_refused(at: Site) -> None:
    headers = {"origin": "https://elsewhere.example"}
    answer = httpx2.post(f"{at.url}/sign-in", data={"key": at.key}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_console_speaks_tls_itself_and_slows_wrong_keys_down_before_it_asks(
    at: Site, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    flags = ("--tls-cert", str(cert), "--tls-key", str(key))
    verify = ssl.create_default_context(cafile=cert)
    with (
        console(at.api, tmp_path / "console", *flags, cert=cert) as url,
        httpx2.Client(base_url=url, verify=verify) as client,
    ):

        def sign_in(key: str) -> httpx2.Response:
            client.cookies.clear()
            return client.post("/sign-in", data={"key": key})

        assert "secure" in sign_in(at.key).headers["set-cookie"].lower()
        right = [sign_in(at.key).status_code for _ in range(7)]
        assert right == [303] * 7, "right ones cost nothing"
        wrong = [sign_in(f"pr_wrong_{n}é").status_code for n in range(7)]
        assert wrong == [401] * 5 + [429] * 2
        assert sign_in(at.key).status_code == 429


def test_nothing_is_served_to_whoever_is_not_signed_in(at: Site) -> None:
    for path in ("/", "/new", "/users", "/download/users?id=u01", "/campaigns/x"):
        answer = httpx2.get(f"{at.url}{path}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
