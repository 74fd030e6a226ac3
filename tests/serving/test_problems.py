"""Every way in which a request is refused, and that the description tells of all routes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proactrec.guidance.decision import REASONS
from proactrec.serving.problems import TYPE
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.budgets import limits_of
from proactrec.store.campaign import GOES_TO, Budget, Campaign, CampaignRails, Goal
from proactrec.store.database import Database

from .live import Live, live, made_key

ASK = {"user_id": "u01"}
EVENT = {"event_id": "e", "user_id": "u", "item_id": "i01", "kind": "accept"}


@pytest.fixture(scope="module")
def service(
    guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    database = Database(str(tmp_path_factory.mktemp("store") / "store.db"))
    database.migrate()
    with live(database, guide_folder()) as found:
        yield found


def checked(answer: httpx2.Response, status: int, name: str = "") -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["type"] == (f"{TYPE}{name}" if name else "about:blank")
    assert told["title"]
    assert told["detail"]
    return told


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/decisions", {}, "user_id"),
        ("/v1/decisions", {"user_id": ""}, "user_id"),
        ("/v1/decisions", {"user_id": "u" * 201}, "user_id"),
        ("/v1/decisions", {"user_id": "a\0b"}, "user_id"),
        ("/v1/decisions", {"user_id": 7}, "user_id"),
        ("/v1/decisions", {**ASK, "colour": "red"}, "colour"),
        ("/v1/decisions", {**ASK, "at": "2026-01-01T00:00:00"}, "at"),
        ("/v1/decisions", {**ASK, "at": "9999-01-01T00:00:00Z"}, "at"),
        ("/v1/decisions", {**ASK, "at": 1_800_000_000}, "at"),
        ("/v1/decisions", {**ASK, "at": "1800000000"}, "at"),
        ("/v1/decisions", {**ASK, "candidates": ["i"] * 1001}, "candidates"),
        ("/v1/decisions/batch", [ASK, {}], "1.user_id"),
        ("/v1/events", [EVENT, {**EVENT, "item_id": None}], "1.item_id"),
        ("/v1/campaigns", {"name": "x"}, "goal"),
        ("/v1/campaigns", {"name": "x", "goal": {"items": ["i01"]}, "hold_out": 2}, "hold_out"),
    ],
)
def test_a_wrong_value_is_told_with_its_field(
    service: Live, path: str, body: Any, field: str
) -> None:
    told = checked(service.ask("POST", path, json=body), 422, "invalid-input")
    assert [one["field"] for one in told["errors"]] == [field]
    assert field in told["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "x", "goal": {}}, "goal needs items or category"),
        ({"name": "x", "goal": {"items": ["i01"]}, "budget": {"time_zone": "Mars"}}, "IANA"),
        ({"name": "x", "goal": {"items": ["i01"]}, "arms": [{"name": "hold-out"}]}, "hold_out"),
    ],
)
def test_a_campaigns_own_rules_are_told_in_their_words(service: Live, body: Any, said: str) -> None:
    told = checked(service.ask("POST", "/v1/campaigns", json=body), 422, "invalid-input")
    assert said in told["detail"]


GOAL = {"name": "x", "goal": {"items": ["i01"]}}


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("GET", "/v1/items?limit=many", None, "limit must be a whole number, got 'many'"),
        ("GET", "/v1/items?limit=0", None, "limit must be at least 1, got '0'"),
        ("GET", "/v1/power?effect=0.1", None, "rate must be given"),
        ("GET", "/v1/power?effect=nan&rate=0.1", None, "effect must be a finite number, got 'nan'"),
        ("POST", "/v1/decisions", {"user_id": 7}, "user_id must be a text, got 7"),
        ("POST", "/v1/decisions", {**ASK, "colour": "red"}, "colour does not exist"),
        ("POST", "/v1/decisions", {**ASK, "body": 1}, "body does not exist"),
        (
            *("POST", "/v1/decisions", {**ASK, "at": "2026-01-01T00:00:00"}),
            "at must be a time by RFC 3339, with its time zone, got '2026-01-01T00:00:00'",
        ),
        ("POST", "/v1/decisions", [], "the body must be a mapping, got []"),
        ("POST", "/v1/events", {}, "the body must be a list, got {}"),
        ("POST", "/v1/campaigns", [], "the body must be a mapping, got []"),
        (
            *("PUT", "/v1/users/u/consent", {"guided": "yes"}),
            "guided must be true or false, got 'yes'",
        ),
        (
            *("PUT", "/v1/items", [{"item_id": "a\0"}]),
            "0.item_id must hold no NUL, got 'a\\x00'",
        ),
        (
            *("POST", "/v1/keys", {"scope": "all"}),
            "scope must be 'decide', 'report', 'operate' or 'admin', got 'all'",
        ),
    ],
)
def test_every_rule_is_told_in_a_sentence_of_ours(
    service: Live, method: str, path: str, body: Any, told: str
) -> None:
    answer = checked(service.ask(method, path, json=body), 422, "invalid-input")
    assert answer["detail"] == told
    (first, *_) = answer["errors"]
    assert told == f"{first['field'] or 'the body'} {first['message']}"


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/campaigns"])
def test_what_is_no_json_is_told_as_that_of_every_route(service: Live, path: str) -> None:
    how = {"content": b"{'a'", "headers": {"Content-Type": "application/json"}}
    told = checked(service.ask("POST", path, **how), 422, "invalid-input")
    assert told["detail"].startswith("the body must be JSON: ")
    assert [one["field"] for one in told["errors"]] == [""]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "", GOAL | {"hold_out": "0.1"}, "Campaign.hold_out must be a number, got '0.1'"),
        ("POST", "", GOAL | {"rounds": "5"}, "Campaign.rounds must be a whole number, got '5'"),
        ("POST", "/look", GOAL | {"priority": "5"}, "priority must be a whole number, got '5'"),
        ("POST", "", GOAL | {"budget": {"total": "9"}}, "Budget.total must be a whole number"),
        ("POST", "", GOAL | {"ramp": {"steps": [0.5, "1"]}}, "Ramp.steps must be a number"),
        ("POST", "", GOAL | {"ramp": {"steps": "1"}}, "Ramp.steps must be a list, got '1'"),
        (
            *("POST", "", GOAL | {"rails": {"category_caps": {"Drama": "2"}}}),
            "CampaignRails.category_caps must be a whole number, got '2'",
        ),
        (
            *("PUT", "/x", {"reason": "x", "campaign": GOAL | {"rounds": "5"}}),
            "Campaign.rounds must be a whole number, got '5'",
        ),
    ],
)
def test_text_is_no_number_of_a_campaign(
    service: Live, method: str, path: str, body: Any, said: str
) -> None:
    answer = service.ask(method, f"/v1/campaigns{path}", json=body)
    assert said in checked(answer, 422, "invalid-input")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "care", '{"excluded_groups": ["\\ud800"]}', "excluded_groups must be UTF-8 text"),
        ("PUT", "care", '{"\\ud800": 1}', "must be UTF-8 text, got '\\ud800'"),
        (
            *("POST", "campaigns", '{"name": "x", "goal": {"items": ["\\ud800"]}}'),
            "Goal.items must be UTF-8 text",
        ),
        ("PUT", "items", '[{"item_id": "\\udfff"}]', "0.item_id must be UTF-8 text, got '\\udfff'"),
        ("DELETE", "users/%FF", None, "user_id must be UTF-8 text, got '\\udcff'"),
    ],
)
def test_halves_of_signs_are_refused_wherever_they_come(
    service: Live, method: str, path: str, body: str | None, said: str
) -> None:
    how: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "content": body}
    answer = service.ask(method, f"/v1/{path}", **({} if body is None else how))
    assert said in checked(answer, 422, "invalid-input")["detail"]


def test_text_is_no_number_of_what_is_watched(service: Live) -> None:
    told = checked(service.ask("PUT", "/v1/knowledge", json={"off": "0.1"}), 422, "invalid-input")
    assert told["detail"] == "Watch.off must be a number, got '0.1'"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/decisions/batch", [ASK] * 501, "at most 500 decisions, got 501"),
        ("/v1/events", [EVENT] * 1001, "at most 1,000 events, got 1,001"),
    ],
)
def test_batches_are_bounded(service: Live, path: str, body: Any, said: str) -> None:
    told = checked(service.ask("POST", path, json=body), 422, "invalid-input")
    assert said in told["detail"]


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/events", "/v1/campaigns"])
def test_what_is_no_json_is_refused(service: Live, path: str) -> None:
    json = {"Content-Type": "application/json"}
    checked(service.ask("POST", path, content=b"{", headers=json), 422, "invalid-input")
    checked(service.ask("POST", path, data={"user_id": "u01"}), 415)


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/campaigns"])
@pytest.mark.parametrize("is_length_said", [True, False])
def test_a_large_body_is_refused(service: Live, path: str, is_length_said: bool) -> None:
    body = b" " * (1 << 20) + b"{}"
    parts = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    json = {"Content-Type": "application/json"}
    content: Any = body if is_length_said else parts
    checked(service.ask("POST", path, content=content, headers=json), 413)


def test_no_key_and_a_wrong_key_are_401(service: Live) -> None:
    for key in ("pr_none_none", "nonsense"):
        answer = service.ask("POST", "/v1/decisions", key=key, json=ASK)
        checked(answer, 401, "unknown-key")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    checked(httpx2.get(f"{service.url}/v1/campaigns"), 401, "unknown-key")


@pytest.mark.parametrize(
    ("scope", "method", "path", "needed"),
    [
        ("report", "POST", "/v1/decisions", "decide"),
        ("report", "POST", "/v1/events", "decide"),
        ("report", "PUT", "/v1/users/u01/consent", "decide"),
        ("decide", "GET", "/v1/campaigns", "report"),
        ("decide", "GET", "/v1/users/u01/decisions", "report"),
        ("decide", "POST", "/v1/campaigns", "operate"),
        ("report", "POST", "/v1/campaigns/x/start", "operate"),
        ("report", "PUT", "/v1/items", "operate"),
    ],
)
def test_a_scope_that_does_not_reach_is_403(
    service: Live, scope: str, method: str, path: str, needed: str
) -> None:
    key = made_key(service.service.database, scope)
    told = checked(service.ask(method, path, key=key), 403, "access")
    assert f"the scope {needed}" in told["detail"]


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("GET", "/versions", None),
        ("GET", "/journeys", None),
        ("GET", "/forecast", None),
        ("POST", "/forecast", None),
        ("POST", "/start", {}),
        ("POST", "/pause", {"reason": "x"}),
        ("POST", "/stop", {"reason": "x"}),
        ("PUT", "", {"reason": "x", "campaign": {"name": "x", "goal": {"items": ["i01"]}}}),
    ],
)
def test_another_tenants_campaign_is_none(service: Live, method: str, tail: str, body: Any) -> None:
    campaign_id = service.running()
    key = made_key(service.service.database, tenant="rival")
    path = f"/v1/campaigns/{campaign_id}{tail}"
    told = checked(service.ask(method, path, key=key, json=body), 404, "unknown-id")
    none = service.ask(method, f"/v1/campaigns/none{tail}", key=key, json=body)
    assert told["detail"].replace(campaign_id, "none") == none.json()["detail"]
    assert service.client.campaign(campaign_id).state == "running"
    service.client.stop(campaign_id, "end of test")


def test_what_a_state_does_not_allow_is_409(service: Live) -> None:
    campaign_id = service.running()
    service.client.stop(campaign_id, "enough")
    path = f"/v1/campaigns/{campaign_id}/pause"
    told = checked(service.ask("POST", path, json={"reason": "x"}), 409, "campaign-state")
    assert told["detail"] == f"campaign {campaign_id} is stopped: it can't become paused"
    again = service.ask("POST", f"/v1/campaigns/{campaign_id}/stop", json={"reason": "x"})
    assert again.json()["version"] == 3  # a call that is repeated changes nothing


def test_wrong_paths_and_methods_are_problems_too(service: Live) -> None:
    checked(service.ask("GET", "/v1/nothing"), 404)
    checked(service.ask("GET", "/v1/decisions"), 405)
    checked(service.ask("DELETE", "/v1/campaigns"), 405)
    for method in ("OPTIONS", "DELETE"):
        assert service.ask(method, "/v1/campaigns/x").headers["allow"] == "GET, PUT"
    assert service.ask("GET", "/v1/decisions").headers["allow"] == "POST"


def test_a_long_idempotency_key_is_refused(service: Live) -> None:
    headers = {"Idempotency-Key": "k" * 201}
    checked(service.ask("POST", "/v1/decisions", json=ASK, headers=headers), 422, "invalid-input")


def test_the_description_has_every_route_and_every_reason(service: Live) -> None:
    told = httpx2.get(f"{service.url}/openapi.json").json()
    for path in ("/v1/decisions", "/v1/decisions/batch", "/v1/events"):
        operation = told["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]
    assert {"/v1/campaigns/{campaign_id}/journeys", "/v1/items", "/readyz"} <= set(told["paths"])
    assert all(f"`{code}`" in told["info"]["description"] for code in NOT_GUIDED)
    names = set(told["components"]["schemas"])
    assert {"Decision", "DecisionRequest", "EventReport", "EventsTaken", "Label"} <= names
    text = httpx2.get(f"{service.url}/openapi.json").text
    refs = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert refs <= names


def test_every_code_of_rails_and_states_has_a_sentence() -> None:
    states = {f"campaign_{state}" for state in GOES_TO if state != "running"}
    said = Campaign(
        name="x",
        goal=Goal(items=("i",)),
        rails=CampaignRails(item_cap_total=1),
        budget=Budget(per_day=9, total=9, pacing="even"),
    )
    limits = {allowed.because for allowed in limits_of("c", said, "i", 0).values()}
    assert limits == {"pacing", "budget_spent", "item_cap"}
    assert {*REASONS, *states, *limits} <= set(NOT_GUIDED)


def test_the_guide_page_has_every_reason_too() -> None:
    page = Path(__file__).parents[2] / "docs" / "guide" / "service.md"
    told = page.read_text()
    for code, sentence in NOT_GUIDED.items():
        assert f"| `{code}` | {sentence} |" in told


def test_an_instance_says_that_it_lives_and_is_ready(service: Live) -> None:
    assert httpx2.get(f"{service.url}/healthz").json()["status"] == "ok"
    assert httpx2.get(f"{service.url}/readyz").json() == {"status": "ok", "why": None}
