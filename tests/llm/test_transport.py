"""What goes over the wire, and that the key goes nowhere else."""

import email.utils
import json
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.errors import LLMError
from proactrec.llm.messages import Message
from proactrec.llm.transport import _is_this_machine, _key_for, _retry_after_s

KEY = "sk-very-secret-0123456789"
PROMPT = (Message("user", "1 or 0?"),)
GOOD = {"choices": [{"message": {"content": "1"}}]}


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("PROACTREC_LLM_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({}, "none"),
        ({"OPENAI_API_KEY": "b"}, "none"),
        ({"OPENAI_API_KEY": "b", "PROACTREC_LLM_KEY": "a"}, "a"),
    ],
)
def test_key_comes_from_the_environment(
    httpserver: HTTPServer,
    connect: Callable[..., LLMClient],
    no_keys: pytest.MonkeyPatch,
    keys: dict[str, str],
    sent: str,
) -> None:
    for name, value in keys.items():
        no_keys.setenv(name, value)
    seen: list[Request] = []

    def handle(request: Request) -> Response:
        seen.append(request)
        return Response(json.dumps(GOOD), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions", method="POST").respond_with_handler(handle)
    client = connect(httpserver.url_for("/v1"))
    assert client.ask([PROMPT])[0].text == "1"
    assert seen[0].headers["Authorization"] == f"Bearer {sent}"
    assert seen[0].headers["Content-Type"] == "application/json"
    assert not [name for name, _ in seen[0].headers if name.lower().startswith("x-stainless")]
    assert json.loads(seen[0].data)["messages"] == [{"role": "user", "content": "1 or 0?"}]


def test_only_openai_gets_the_key_of_openai(no_keys: pytest.MonkeyPatch) -> None:
    no_keys.setenv("OPENAI_API_KEY", "b")
    assert _key_for("https://api.openai.com/v1") == "b"
    elsewhere = ("https://api.openai.com.evil.org/v1", "http://localhost:8000/v1")
    assert {_key_for(url) for url in elsewhere} == {"none"}
    no_keys.setenv("PROACTREC_LLM_KEY", "a")
    assert _key_for("https://api.openai.com/v1") == "a"


@pytest.mark.parametrize("status", [401, 403, 404, 400, 500])
def test_key_is_in_no_error_log_or_file(
    httpserver: HTTPServer,
    connect: Callable[..., LLMClient],
    cache: AnswerCache,
    no_keys: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    no_keys.setenv("PROACTREC_LLM_KEY", KEY)
    said = Response(json.dumps({"error": {"message": f"bad key {KEY}"}}), status)
    httpserver.expect_request("/v1/chat/completions").respond_with_response(said)
    client = connect(httpserver.url_for("/v1"), n_retries=0)
    with caplog.at_level(logging.DEBUG), pytest.raises(LLMError) as caught:
        client.ask([PROMPT])
    assert str(status) in str(caught.value)
    trace = "".join(traceback.format_exception(caught.value))
    for text in (trace, caplog.text, *capfd.readouterr(), str(client.usage)):
        assert KEY not in text
    assert KEY not in client.options.model_dump_json() + repr(vars(client))
    for path in cache.path.parent.glob("answers.sqlite*"):
        assert KEY.encode() not in path.read_bytes()


def test_status_says_what_to_do(
    httpserver: HTTPServer, connect: Callable[..., LLMClient], no_keys: pytest.MonkeyPatch
) -> None:
    answer = httpserver.expect_oneshot_request("/v1/chat/completions")
    answer.respond_with_response(Response("{}", 401))
    client = connect(httpserver.url_for("/v1"))
    with pytest.raises(LLMError, match="answered 401: set its key in PROACTREC_LLM_KEY"):
        client.ask([PROMPT])
    answer = httpserver.expect_oneshot_request("/v1/chat/completions")
    answer.respond_with_response(Response("{}", 404))
    with pytest.raises(LLMError, match="is there a model 'tiny'"):
        client.ask([PROMPT])
    answer = httpserver.expect_oneshot_request("/v1/chat/completions")
    answer.respond_with_response(Response('{"error": {"message": "prompt too long"}}', 400))
    with pytest.raises(LLMError, match=r"refuses a request: .*prompt too long"):
        client.ask([PROMPT])
    answer = httpserver.expect_oneshot_request("/v1/chat/completions")
    answer.respond_with_response(Response('{"detail": "context is 512 tokens"}', 422))
    with pytest.raises(LLMError, match=r"refuses a request: .*context is 512 tokens"):
        client.ask([PROMPT])
    assert client.usage.n_requests == 4


def test_proxy_of_the_environment_is_not_used_for_this_machine(
    httpserver: HTTPServer, connect: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    httpserver.expect_request("/v1/chat/completions").respond_with_json(GOOD)
    assert connect(httpserver.url_for("/v1")).ask([PROMPT])[0].text == "1"


def test_own_addresses() -> None:
    assert all(_is_this_machine(f"http://{h}/v1") for h in ("localhost:80", "127.0.0.2", "[::1]"))
    assert not any(_is_this_machine(f"http://{h}/v1") for h in ("10.0.0.1", "a.org", "localhost.a"))


def test_retry_after_in_seconds_or_as_a_date() -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 97 < _retry_after_s({"retry-after": date}) <= 100
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    cases = {"2": 2.0, "0.5": 0.5, "-1": 0.0, "soon": 0.0, "": 0.0, "nan": 0.0, past: 0.0}
    assert {text: _retry_after_s({"retry-after": text}) for text in cases} == cases
    assert _retry_after_s({}) == 0.0


def test_the_extra_is_named_when_it_is_not_installed(
    connect: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    with pytest.raises(ImportError, match=r"pip install 'proactrec\[llm\]'"):
        connect("http://127.0.0.1:9/v1").ask([PROMPT])
