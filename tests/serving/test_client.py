"""The client is patient where the service asks for it, and says what is wrong in its words."""

import json
from collections.abc import Callable

import httpx2
import pytest

from proactrec.errors import (
    AccessError,
    InvalidInputError,
    OverloadedError,
    ProactrecError,
    StoreError,
)
from proactrec.serving import calling as module
from proactrec.serving.client import Client
from proactrec.serving.problems import problem

DECISION = {
    **dict.fromkeys(("decision_id", "campaign_id", "arm", "target_id", "label", "expires_at")),
    **{"item_id": "i01", "title": "Film", "guided": False, "reason": "", "probability": 1},
    "not_guided_because": "no_campaign",
}


def talking(handle: Callable[[httpx2.Request], httpx2.Response]) -> Client:
    return Client("http://shop", "key", transport=httpx2.MockTransport(handle))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(module.time, "sleep", found.append)
    return found


def test_it_waits_as_it_is_told_and_repeats_the_same_request(slept: list[float]) -> None:
    keys: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["idempotency-key"])
        assert request.headers["authorization"] == "Bearer key"
        if len(keys) == 1:
            raise httpx2.ConnectError("refused")
        if len(keys) == 2:
            return httpx2.Response(503, headers={"Retry-After": "3"})
        if len(keys) == 3:
            return httpx2.Response(429, headers={"Retry-After": "3600"})
        return httpx2.Response(200, json=DECISION)

    assert talking(handle).decide("u01").item_id == "i01"
    assert slept == [0.5, 3.0, module.MOST_PATIENCE]
    assert len(set(keys)) == 1


def test_it_gives_up_at_last(slept: list[float]) -> None:
    def refused(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(StoreError, match="can't be reached: refused"):
        talking(refused).campaigns()
    assert len(slept) == module.MOST_TRIES - 1


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (422, "invalid-input", InvalidInputError),
        (403, "access", AccessError),
        (413, "", InvalidInputError),
        (503, "overloaded", OverloadedError),
        (503, "store", StoreError),
        (500, "", StoreError),
    ],
)
def test_a_problem_is_raised_as_its_kind(
    slept: list[float], status: int, name: str, kind: type[ProactrecError]
) -> None:
    told = problem(status, "what is wrong", name=name)

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=bytes(told.body))

    with pytest.raises(kind, match="what is wrong") as raised:
        talking(handle).campaigns()
    assert type(raised.value) is kind


def test_an_answer_of_something_in_between_is_told_by_its_status() -> None:
    client = talking(lambda _: httpx2.Response(502, text="<html>Bad gateway"))
    with pytest.raises(StoreError, match="answered 502"):
        client.campaigns()


def test_a_user_id_is_one_part_of_the_path() -> None:
    paths: list[bytes] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(200, json=json.loads(request.content))

    talking(handle).consent("a/b ü?", guided=False)
    assert paths == [b"/v1/users/a%2Fb%20%C3%BC%3F/consent"]


def test_keys_are_made_listed_and_revoked(slept: list[float]) -> None:
    asked: list[tuple[str, str, bytes]] = []
    seen = {"key_id": "k1", "scope": "report", "name": "x", "made_at": "2026-05-04T12:00:00Z"}
    answers = {
        "POST": httpx2.Response(201, json={"key_id": "k1", "key": "pr_k1_s"}),
        "GET": httpx2.Response(
            200, json={"keys": [{**seen, "expires_at": None, "revoked_at": None}]}
        ),
        "DELETE": httpx2.Response(204),
    }

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, request.url.raw_path.decode(), request.read()))
        return answers[request.method]

    with talking(handle) as client:
        made = client.create_key("report", name="x")
        assert (made.key_id, made.key) == ("k1", "pr_k1_s")
        assert [one.name for one in client.list_keys()] == ["x"]
        client.revoke_key("k/1")
    assert json.loads(asked[0][2]) == {"scope": "report", "name": "x"}
    assert asked[2][:2] == ("DELETE", "/v1/keys/k%2F1")
