"""OWASP's API security top ten (2023): a heading an item, over every route that there is."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from proactrec.serving import access, connections, limits
from proactrec.serving.rates import Buckets, Rate
from proactrec.serving.safety import OidcOptions
from proactrec.store import keys
from proactrec.store.database import Database
from proactrec.store.keys import ALLOWS, Access, Scope
from proactrec.store.tables import METADATA
from proactrec.testing.databases import Kind, fresh_database

from .live import TENANT, Live, campaign, live, made_key
from .routes import DESCRIPTION, NEEDED, ROUTES, Route

MARK = "zebra"
"""In every name that the owner gives: it must not reach anybody else."""
ROUTES_WITH_BODIES = [route for route in ROUTES if route.body is not None]
CLOSED = [route for route in ROUTES if NEEDED.get(str(route)) != "none"]
KEYLESS_SIGNS = (
    "decision_id",
    "expires_at",
    "key",
    "key_id",
    "at",
    "id",
    "made_at",
    "version",
    "receipt_id",
)
"""What differs between two calls that are the same."""
on_one_database = pytest.mark.parametrize("kind", ["sqlite"], indirect=True, scope="module")
"""What is refused before any store is asked is the same on all."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Of the database of all tests of a round."""
    return request.param


@pytest.fixture(scope="module")
def service(
    kind: Kind, guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    with (
        fresh_database(kind, tmp_path_factory.mktemp("store")) as database,
        live(database, guide_folder()) as found,
    ):
        found.service.door._wrong = Buckets(Rate(100_000, 60))  # hundreds are given here
        yield found


@pytest.fixture(scope="module")
def worthless(service: Live) -> list[str]:
    """Keys that were good for everything: one is revoked, one has expired."""
    revoked = service.client.create_key("admin")
    service.client.revoke_key(revoked.key_id)
    with service.service.database.writing() as connection:
        return [revoked.key, keys.create(connection, TENANT, "admin", 0, expires_at=1)]


@pytest.fixture
def fresh(guide_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    """Gives a service of its own, with further options."""

    def made(**safety: Any) -> Any:
        database = Database(str(tmp_path / "store.db"))
        database.migrate()
        return live(database, guide_folder(), **safety)

    return made


ANY = {"user_id": "u01", "campaign_id": "x", "key_id": "x"}


def path_of(route: Route, ids: dict[str, str]) -> str:
    """The path of a call that is about those ids."""
    return route.path.format_map({"version": "1", "kind": "worlds", **ids})


def body_of(route: Route, ids: dict[str, str]) -> Any:
    """A body that is taken, about those ids."""
    ask = {"user_id": ids["user_id"], "campaign_id": ids["campaign_id"]}
    item = {"item_id": ids["item_id"], "title": "an item"}
    event = {"event_id": "e1", "kind": "accept", "user_id": ids["user_id"], "item_id": "i04"}
    said = {"name": "test", "goal": {"items": ["i04"]}}
    return {
        "POST /v1/decisions": ask,
        "POST /v1/decisions/batch": [ask],
        "POST /v1/events": [{**event, "decision_id": ids["decision_id"]}],
        "PUT /v1/users/{user_id}/consent": {"guided": False},
        "PUT /v1/users/{user_id}/groups": {"groups": ["vip"]},
        "POST /v1/campaigns": said,
        "POST /v1/campaigns/look": said,
        "PUT /v1/campaigns/{campaign_id}": {"campaign": said, "reason": "mine"},
        "POST /v1/campaigns/{campaign_id}/start": {"without_forecast": True, "reason": "mine"},
        "POST /v1/campaigns/{campaign_id}/pause": {"reason": "mine"},
        "POST /v1/campaigns/{campaign_id}/stop": {"reason": "mine"},
        "POST /v1/campaigns/{campaign_id}/studies/{kind}": {"policies": ["next-item"]},
        "PUT /v1/items": [item],
        "POST /v1/keys": {"scope": "report"},
        "PUT /v1/care": {"excluded_groups": ["children"]},
        "PUT /v1/knowledge": {"window": 500},
        "POST /v1/knowledge/{version}/restore": {"reason": "mine"},
    }[str(route)]


def called(service: Live, route: Route, ids: dict[str, str], key: str) -> httpx2.Response:
    """The answer to a call that is about those ids."""
    path = path_of(route, ids)
    if route.body is None:
        return service.ask(route.method, path, key=key)
    return service.ask(route.method, path, key=key, json=body_of(route, ids))


def owned(service: Live) -> dict[str, str]:
    """What the owner has: ids of all kinds, with the mark in all that has a name."""
    client, names = service.client, {"user_id": f"{MARK}-user", "item_id": f"{MARK}-item"}
    campaign_id = service.running(name=f"{MARK} campaign")
    service.ask("PUT", "/v1/items", json=[{"item_id": names["item_id"], "title": f"{MARK} title"}])
    service.ask("PUT", f"/v1/users/{names['user_id']}/groups", json={"groups": [f"{MARK} group"]})
    decision = client.decide(names["user_id"])
    assert decision.campaign_id == campaign_id
    client.forecast(campaign_id)
    client.study(campaign_id, "worlds")
    made = client.create_key("report", name=f"{MARK} key")
    return {
        **names,
        "campaign_id": campaign_id,
        "decision_id": str(decision.decision_id),
        "key_id": made.key_id,
    }


def rows(database: Database, tenant: str) -> dict[str, list[str]]:
    """All that a tenant has, by table."""
    found = {}
    with database.reading() as connection:
        for name, table in METADATA.tables.items():
            if "tenant" in table.c:
                query = table.select().where(table.c.tenant == tenant)
                found[name] = sorted(repr(tuple(row)) for row in connection.execute(query))
    return found


def plain(answer: httpx2.Response, ids: dict[str, str]) -> tuple[int, str]:
    """An answer without the ids that it is about, and what is new in every call."""
    text = answer.text
    for name, one in ids.items():
        text = text.replace(one, name)
    is_json = "json" in answer.headers.get("content-type", "")
    return answer.status_code, json.dumps(_without(json.loads(text))) if is_json else ""


def _without(told: Any) -> Any:
    if isinstance(told, list):
        return [_without(one) for one in told]
    if isinstance(told, dict):
        return {name: _without(one) for name, one in told.items() if name not in KEYLESS_SIGNS}
    return told


# API1: broken object level authorization


def test_of_another_tenant_nobody_reads_or_changes_anything(service: Live) -> None:
    own, database = owned(service), service.service.database
    rival = made_key(database, tenant="rival")
    unknown = {name: f"{'0' * 11}{n}" for n, name in enumerate(own)}
    before = rows(database, TENANT)
    for route in ROUTES:
        answer = called(service, route, own, rival)
        told = answer.text
        for one in own.values():
            told = told.replace(one, "")  # what was asked for may be named
        assert MARK not in told, str(route)
        assert plain(answer, own) == plain(called(service, route, unknown, rival), unknown), route
    assert rows(database, TENANT) == before
    for route in ROUTES:  # the ids are those of something
        if route.method == "GET" and "{" in route.path:
            assert called(service, route, own, service.key).is_success, str(route)


# API2: broken authentication


@pytest.mark.parametrize("route", CLOSED, ids=str)
def test_nobody_comes_in_without_a_key_that_holds(
    service: Live, route: Route, worthless: list[str]
) -> None:
    path = path_of(route, ANY)
    right = service.key
    wrong = right[:-1] + ("a" if right[-1] != "a" else "b")
    for key in (wrong, f"{right}x", *worthless, "pr__", "null"):
        answer = service.ask(route.method, path, key=key)
        assert answer.status_code == 401, key
        assert key not in answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for how in (
        {},
        {"params": {"key": right, "access_token": right, "authorization": f"Bearer {right}"}},
        {"headers": {"Cookie": f"key={right}", "X-Api-Key": right}},
        {"headers": {"Authorization": f"Basic {right}"}},
        {"headers": {"Authorization": right}},
    ):
        assert service.bare(route.method, path, **how).status_code == 401


def test_a_key_that_was_used_is_refused_once_it_is_revoked(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = service.client.create_key("report")
    assert service.ask("GET", "/v1/campaigns", key=made.key).is_success
    service.client.revoke_key(made.key_id)
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(keys, "REMEMBERED_SECONDS", 0.0)
    assert service.ask("GET", "/v1/campaigns", key=made.key).status_code == 401


def test_whoever_guesses_keys_does_not_stall_those_who_have_one(
    fresh: Callable[..., Any],
) -> None:
    with fresh(behind_proxy="127.0.0.1") as service:
        key_id = keys.id_of(service.key)
        assert service.ask("GET", "/v1/campaigns").is_success
        bad = {"X-Forwarded-For": "192.0.2.66"}

        def guess(n: int) -> int:
            key = f"pr_{key_id}_guess{n}"
            return int(service.ask("GET", "/v1/campaigns", key=key, headers=bad).status_code)

        with ThreadPoolExecutor(16) as pool:
            guesses = pool.map(guess, range(300))
            newcomer = made_key(service.service.database, "report")
            begun = time.monotonic()
            for key in (service.key, newcomer):
                good = {"X-Forwarded-For": "192.0.2.1"}
                assert service.ask("GET", "/v1/campaigns", key=key, headers=good).is_success
            assert time.monotonic() - begun < 5
            found = list(guesses)
        assert found.count(401) <= 35  # 30, and what is given back while they wait
        assert set(found) == {401, 429}
        refused = service.ask("GET", "/v1/campaigns", key="pr_x_y", headers=bad)
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["type"] == "urn:proactrec:problem:rate"
        # Even from there, whoever is known goes on.
        assert service.ask("GET", "/v1/campaigns", headers=bad).is_success


def test_where_a_request_comes_from_is_believed_of_proxies_alone(fresh: Callable[..., Any]) -> None:
    with fresh() as service:
        found = [
            service.ask("GET", "/v1/keys", key="no", headers={"X-Forwarded-For": f"192.0.2.{n}"})
            for n in range(32)
        ]
        assert [one.status_code for one in found[-2:]] == [429, 429]


# API3: broken object property level authorization


@on_one_database
@pytest.mark.parametrize("route", ROUTES_WITH_BODIES, ids=str)
def test_fields_that_nobody_knows_or_may_set_are_refused(service: Live, route: Route) -> None:
    ids = dict.fromkeys(("user_id", "campaign_id", "item_id", "decision_id", "key_id"), "x")
    body = body_of(route, ids)
    for name in (MARK, "tenant", "state", "share", "by", "id", "made_at", "hash", "__class__"):
        wrong = [{**body[0], name: "x"}] if isinstance(body, list) else {**body, name: "x"}
        answer = service.ask(route.method, path_of(route, ids), json=wrong)
        assert answer.status_code == 422, (name, answer.text)
        assert name in answer.json()["errors"][0]["field"]


def test_what_opens_a_key_is_told_once(service: Live) -> None:
    made = service.client.create_key("decide", name="once")
    listed = service.ask("GET", "/v1/keys")
    assert made.key_id in listed.text
    assert made.key.split("_", 2)[2] not in listed.text
    assert "argon2" not in listed.text
    known = {"key_id", "scope", "name", "made_at", "expires_at", "revoked_at"}
    assert {name for one in listed.json()["keys"] for name in one} == known


# API4: unrestricted resource consumption


@on_one_database
@pytest.mark.parametrize("route", ROUTES_WITH_BODIES, ids=str)
def test_bodies_are_bounded(service: Live, route: Route) -> None:
    path = path_of(route, ANY)
    as_json = {"Content-Type": "application/json"}
    large = service.ask(route.method, path, content=b" " * 1_100_000 + b"{}", headers=as_json)
    assert large.status_code == 413
    for body in (b"[" * 500_000, b'{"a":' * 100_000, b"9" * 500_000, b'"\\ud800"', b"\xff", b"NaN"):
        answer = service.ask(route.method, path, content=body, headers=as_json)
        assert answer.status_code in (400, 422), (body[:9], answer.text)
    schema = route.body
    assert schema is not None
    if schema.get("type") == "array":
        assert schema["maxItems"] <= 1000
        many = [body_of(route, dict.fromkeys(owned_names(), "x"))[0]] * (schema["maxItems"] + 1)
        assert service.ask(route.method, path, json=many).status_code == 422


def owned_names() -> tuple[str, ...]:
    return ("user_id", "campaign_id", "item_id", "decision_id", "key_id")


def test_every_page_is_bounded() -> None:
    limited = [
        parameter["schema"]
        for route in ROUTES
        for parameter in route.about.get("parameters", ())
        if parameter["name"] == "limit"
    ]
    assert limited
    assert all(schema["maximum"] <= 1000 for schema in limited)


def test_a_key_that_asks_too_often_waits(fresh: Callable[..., Any]) -> None:
    with fresh(rate_limit="5/minute") as service:
        other = made_key(service.service.database, "report")
        found = [service.ask("GET", "/v1/campaigns") for _ in range(6)]
        assert [one.status_code for one in found] == [200] * 5 + [429]
        assert found[-1].headers["content-type"] == "application/problem+json"
        assert 0 < int(found[-1].headers["retry-after"]) <= 12
        assert service.ask("GET", "/v1/campaigns", key=other).is_success


def sent(service: Live, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the service closes the connection."""
    port = int(service.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        found = b""
        try:
            while part := connection.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
        return found


def test_slow_and_endless_requests_are_ended(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    head = f"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
    begun = time.monotonic()
    assert sent(service) == b""  # nothing at all
    assert sent(service, b"GET /healthz HTTP/1.1\r\n", *[b"a: b\r\n"] * 8, pause=0.1) == b""
    assert sent(service, b"GET /healthz HTTP/1.1\r\na: ", *[b"b" * 60_000] * 4) == b""
    assert sent(service, b"GET /" + b"a" * 60_000, *[b"b" * 60_000] * 4) == b""
    length = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    late = sent(service, head.encode() + length, *[b" "] * 8, pause=0.1)
    assert late.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in late.lower()
    assert time.monotonic() - begun < 10
    assert service.ask("GET", "/healthz").is_success
    with httpx2.Client(base_url=service.url) as http:  # a connection that is kept is no slow one
        for _ in range(3):
            time.sleep(0.4)
            assert http.get("/healthz").is_success


# API5: broken function level authorization


def test_the_page_says_of_every_route_what_it_needs() -> None:
    assert set(NEEDED.values()) <= {*ALLOWS, "any", "none"}
    secured = {str(route) for route in ROUTES if route.about.get("security")}
    assert secured == {name for name, scope in NEEDED.items() if scope != "none"}


@pytest.mark.parametrize("scope", ALLOWS)
def test_a_scope_opens_its_routes_and_no_others(service: Live, scope: Scope) -> None:
    key, own = made_key(service.service.database, scope), Access(TENANT, scope, "")
    ids = dict.fromkeys(owned_names(), "none")
    for route in CLOSED:
        answer = called(service, route, ids, key)
        needed: Any = NEEDED[str(route)]
        is_let_in = needed == "any" or own.allows(needed)
        assert (answer.status_code == 403) != is_let_in, f"{route}: {answer.text}"
        assert answer.status_code != 401


# API6: unrestricted access to sensitive business flows


def test_nobody_starts_unseen_or_guides_without_end(service: Live) -> None:
    draft = service.client.create(campaign(rails={"daily_cap": 2}))
    path = f"/v1/campaigns/{draft.id}/start"
    assert service.ask("POST", path).status_code == 409
    assert service.ask("POST", path, json={"without_forecast": True}).status_code == 422
    service.client.start(draft.id, without_forecast="a test")
    found = [service.client.decide("often", campaign_id=draft.id) for _ in range(8)]
    assert sum(one.guided for one in found) <= 2
    assert {one.not_guided_because for one in found[-3:]} <= {"daily_cap", "finished"}
    service.client.stop(draft.id, "end of test")


# API7: server side request forgery


def test_no_route_takes_an_address() -> None:
    words = ("url", "uri", "webhook", "callback", "host", "address", "endpoint")
    models = DESCRIPTION["components"]["schemas"]
    for name, model in models.items():
        for field, about in model.get("properties", {}).items():
            assert not set(words) & set(field.lower().split("_")), (name, field)
            assert "uri" not in json.dumps(about.get("format", "")), (name, field)


# API8: security misconfiguration


def test_every_answer_says_how_it_is_treated_and_nothing_of_the_server(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise RuntimeError("kaboom")

    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    found = [
        service.ask("GET", "/v1/campaigns", headers=origin),
        service.ask("OPTIONS", "/v1/decisions", headers=origin),
        service.ask("GET", "/v1/none"),
        service.ask("TRACE", "/v1/campaigns"),
        service.ask("GET", "/v1/campaigns", key="wrong"),
        service.ask("POST", "/v1/decisions", content=b"x" * 1_100_000, headers={}),
        service.ask("PUT", "/v1/users/u01/consent", json={}),
    ]
    monkeypatch.setattr(service.service.instance, "handle", fails)
    found.append(service.ask("POST", "/v1/decisions", json={"user_id": "u01"}))
    assert [one.status_code for one in found] == [200, 405, 404, 405, 401, 415, 422, 500]
    for answer in found:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert not [name for name in headers if name.startswith("access-control")]
        assert "kaboom" not in answer.text
        assert "Traceback" not in answer.text
        assert "site-packages" not in answer.text


def test_there_is_no_default_key(fresh: Callable[..., Any], tmp_path: Path) -> None:
    with fresh() as service:
        listed = service.client.list_keys()
        assert [one.key_id for one in listed] == [keys.id_of(service.key)]  # made by the test


# API9: improper inventory management


def test_every_route_is_on_the_page_and_the_other_way() -> None:
    assert set(NEEDED) == {str(route) for route in ROUTES}
    assert all(route.about.get("summary") for route in ROUTES)


# API10: unsafe consumption of APIs; what an issuer says is bounded: see test_issuer.py


def test_an_issuer_that_hangs_stalls_nobody_who_has_a_key(
    fresh: Callable[..., Any], httpserver: HTTPServer
) -> None:
    hangs = threading.Event()

    def slow(_: Any) -> Response:
        hangs.wait(4)
        return Response("{}")

    httpserver.expect_request("/.well-known/openid-configuration").respond_with_handler(slow)
    issuer = OidcOptions(issuer=httpserver.url_for("").rstrip("/"), client_id="console")
    with fresh(oidc=issuer) as service, ThreadPoolExecutor(8) as pool:
        newcomer = made_key(service.service.database, "report")
        tokens = [
            pool.submit(service.ask, "GET", "/v1/campaigns", key=f"a.b.{n}") for n in range(8)
        ]
        for key in (service.key, newcomer):
            assert service.ask("GET", "/v1/campaigns", key=key).is_success
        assert not hangs.is_set()
        answers = [token.result() for token in tokens]
        hangs.set()
        assert {one.status_code for one in answers} == {503}
        assert all(one.headers["retry-after"] for one in answers)
