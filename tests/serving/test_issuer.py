"""People's tokens of a real provider open what their claims say; forged ones open nothing."""

import base64
import hmac
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pytest_httpserver import HTTPServer
from werkzeug import Response

from proactrec.errors import AccessError, InvalidInputError, IssuerError, UnknownKeyError
from proactrec.serving import issuer as module
from proactrec.serving.issuer import Issuer
from proactrec.serving.safety import OidcOptions
from proactrec.store.database import Database
from proactrec.store.keys import Access

from .live import TENANT, Live, campaign, live
from .provider import CLIENT, Provider, provider

CLAIMS = {"proactrec_scope": "operate", "proactrec_tenant": TENANT}
NOT_OURS = ("none", "HS256")
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@pytest.fixture(scope="module")
def real() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def service(
    real: Provider, guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    database = Database(str(tmp_path_factory.mktemp("store") / "store.db"))
    database.migrate()
    oidc = OidcOptions(issuer=real.url, client_id=CLIENT)
    with live(database, guide_folder(), oidc=oidc) as found:
        yield found


class Fake:
    """An issuer whose keys and answers a test chooses."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("").rstrip("/")
        self.keys, self.about, self.n_asked = [KEY], {"issuer": self.url}, 0
        self.about["jwks_uri"] = f"{self.url}/jwks"
        server.expect_request("/.well-known/openid-configuration").respond_with_handler(
            lambda _: Response(_json(self.about), content_type="application/json")
        )
        server.expect_request("/jwks").respond_with_handler(self._jwks)

    def _jwks(self, _: Any) -> Response:
        self.n_asked += 1
        return Response(_json(KeySet(self.keys).as_dict(private=False)))

    def issuer(self, **options: str) -> Issuer:
        return Issuer(OidcOptions(issuer=self.url, client_id=CLIENT, **options))

    def token(self, key: Any = KEY, alg: str = "RS256", **claims: Any) -> str:
        """A header with a token; claims that are None are left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": "ann", "exp": now + 300, **CLAIMS, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        head = {"alg": alg, "kid": key.kid}
        return f"Bearer {jwt.encode(head, said, key, algorithms=[alg])}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _json(content: Any) -> str:
    return module.json.dumps(content)


@pytest.fixture
def fake(httpserver: HTTPServer) -> Fake:
    return Fake(httpserver)


def test_a_person_does_what_the_claims_say_and_is_named(service: Live, real: Provider) -> None:
    token = real.token("ann", **CLAIMS)
    made = service.ask("POST", "/v1/campaigns", key=token, json=campaign().model_dump(mode="json"))
    assert made.status_code == 201, made.text
    assert made.json()["by"] == "oidc:ann"
    assert service.client.campaign(made.json()["id"]).by == "oidc:ann"
    assert service.ask("GET", "/v1/keys", key=token).status_code == 403
    reader = real.token("bob", **{**CLAIMS, "proactrec_scope": ["staff", "report"]})
    assert service.ask("GET", "/v1/campaigns", key=reader).is_success
    assert service.ask("POST", "/v1/campaigns", key=reader, json={}).status_code == 403


def test_a_person_of_another_tenant_sees_none_of_this_one(service: Live, real: Provider) -> None:
    campaign_id = service.client.create(campaign()).id
    token = real.token("eve", **{**CLAIMS, "proactrec_tenant": "rival"})
    assert service.ask("GET", "/v1/campaigns", key=token).json() == {"campaigns": []}
    assert service.ask("GET", f"/v1/campaigns/{campaign_id}", key=token).status_code == 404


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"proactrec_scope": "operate"}, 403),
        ({"proactrec_tenant": TENANT}, 403),
        ({**CLAIMS, "proactrec_scope": "decide"}, 403),
        ({**CLAIMS, "proactrec_scope": "operate admin"}, 403),
    ],
)
def test_claims_that_say_too_little_open_nothing(
    service: Live, real: Provider, claims: dict[str, Any], status: int
) -> None:
    token = real.token("carl", **claims)
    answer = service.ask("GET", "/v1/campaigns", key=token)
    assert answer.status_code == status
    assert "claim proactrec_" in answer.json()["detail"]


def test_a_token_for_another_application_is_refused(service: Live, real: Provider) -> None:
    token = real.token("dora", client_id="another", **CLAIMS)
    answer = service.ask("GET", "/v1/campaigns", key=token)
    assert answer.status_code == 401
    assert token not in answer.text


def test_keys_that_are_rotated_are_found(
    guide_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider() as first:
        issuer = Issuer(OidcOptions(issuer=first.url, client_id=CLIENT))
        old = first.token("ann", **CLAIMS)
        assert issuer.check(f"Bearer {old}") is not None
        port = int(first.url.rsplit(":", 1)[1])
    with provider(port) as second:
        new = second.token("ann", **CLAIMS)
        with pytest.raises(UnknownKeyError):  # asked a moment ago
            issuer.check(f"Bearer {new}")
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
        assert issuer.check(f"Bearer {new}") is not None
        with pytest.raises(UnknownKeyError):
            issuer.check(f"Bearer {old}")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": 7},
    ],
)
def test_what_a_token_must_say(fake: Fake, claims: dict[str, Any]) -> None:
    issuer = fake.issuer()
    with pytest.raises(UnknownKeyError, match="does not hold"):
        issuer.check(fake.token(**claims))
    assert issuer.check(fake.token(aud=["another", CLIENT])) is not None


def test_clocks_may_differ_by_a_minute(fake: Fake) -> None:
    now, issuer = int(time.time()), fake.issuer()
    late = issuer.check(fake.token(exp=now - 40))
    assert late == Access(TENANT, "operate", "oidc:ann", (now + 20) * 1_000_000)
    assert issuer.check(fake.token(nbf=now + 40)) is not None
    for claims in ({"exp": now - 70}, {"nbf": now + 80}):
        with pytest.raises(UnknownKeyError):
            issuer.check(fake.token(**claims))


def test_signatures_that_anybody_can_make_are_refused(fake: Fake) -> None:
    issuer, good = fake.issuer(), fake.token()
    head, body, sign = good.removeprefix("Bearer ").split(".")
    none, symmetric = (_base64(f'{{"alg":"{alg}","kid":"one"}}'.encode()) for alg in NOT_OURS)
    public = KEY.as_pem(private=False)  # as if it were a secret
    mac = _base64(hmac.digest(public, f"{symmetric}.{body}".encode(), "sha256"))
    forged = [
        f"Bearer {none}.{body}.",
        f"Bearer {none}.{body}.{sign}",
        f"Bearer {head}.{body}.",
        f"Bearer {head}.{body}.{'A' * len(sign)}",
        f"Bearer {head}.{body}x.{sign}",
        f"Bearer {symmetric}.{body}.{mac}",
        fake.token(RSAKey.generate_key(2048, {"kid": "one"})),
        fake.token(RSAKey.generate_key(2048, {"kid": "two"})),
        fake.token(ECKey.generate_key("P-256", {"kid": "one"}), "ES256"),
        "Bearer ..",
        "Bearer a.b.c",
    ]
    for one in forged:
        with pytest.raises(UnknownKeyError):
            issuer.check(one)
    assert issuer.check(good) is not None
    assert issuer.check(good.replace("Bearer", "Basic")) is None
    assert fake.n_asked == 1  # nobody makes us ask all the time


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"issuer": "https://other.example"}, "calls itself"),
        ({"jwks_uri": "http://10.0.0.1/jwks"}, "jwks_uri must begin with https"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri must begin with https"),
        ({"jwks_uri": None}, "jwks_uri must begin with https"),
    ],
)
def test_an_issuer_that_says_what_it_is_not_is_not_believed(
    fake: Fake, about: dict[str, Any], said: str
) -> None:
    fake.about.update(about)
    with pytest.raises(IssuerError, match=said):
        fake.issuer().check(fake.token())


@pytest.mark.parametrize("kind", ["endless", "slow", "deep", "list", "text", "gone", "elsewhere"])
def test_answers_of_an_issuer_are_bounded_in_size_and_time(
    httpserver: HTTPServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.5)

    def drops() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    answers: dict[str, Response] = {
        "endless": Response(b" " * (module.MOST_BYTES + 1) + b"{}"),
        "slow": Response(drops()),
        "deep": Response(b"[" * 100_000),
        "list": Response(b"[]"),
        "text": Response(b"hello"),
        "gone": Response(b"", 404),
        "elsewhere": Response(b"", 302, {"Location": "http://127.0.0.1:1/"}),
    }
    path = "/.well-known/openid-configuration"
    httpserver.expect_request(path).respond_with_response(answers[kind])
    options = OidcOptions(issuer=httpserver.url_for("").rstrip("/"), client_id=CLIENT)
    begun = time.monotonic()
    with pytest.raises(IssuerError, match="issuer"):
        Issuer(options).check("Bearer a.b.c")
    assert time.monotonic() - begun < 8  # the slow one would take ten


def test_known_keys_are_kept_while_the_issuer_is_out(
    fake: Fake, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = fake.issuer()
    assert issuer.check(fake.token()) is not None
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    httpserver.clear()
    assert issuer.check(fake.token()) is not None


def test_claims_may_have_other_names(fake: Fake) -> None:
    issuer = fake.issuer(scope_claim="role", tenant_claim="shop")
    access = issuer.check(fake.token(role=["report", "admin"], shop="north"))
    assert access is not None
    assert (access.tenant, access.scope) == ("north", "admin")
    with pytest.raises(AccessError, match="the claim shop"):
        issuer.check(fake.token(role="admin"))


@pytest.mark.parametrize("url", ["http://id.example", "ftp://x", "id.example", "https://", ""])
def test_an_issuer_that_others_could_play_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="must begin with https"):
        OidcOptions(issuer=url, client_id=CLIENT)
