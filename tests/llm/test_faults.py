"""The client against a server that fails: every prompt is answered, once, and nothing is lost."""

import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.errors import LLMError
from proactrec.llm.messages import Message

Prompts = Callable[[int], list[tuple[Message, ...]]]
Right = Callable[[tuple[Message, ...]], str]
Serve = Callable[..., Any]
Connect = Callable[..., LLMClient]
Start = Callable[..., Any]

STORM = {
    "refused": 0.3,
    "retry_after": 0.3,
    "retry_after_s": "0.1",
    "hanging": 0.1,
    "broken": 0.05,
}


def test_storm_of_faults(
    serve: Serve, connect: Connect, prompts: Prompts, right: Right, cache: AnswerCache
) -> None:
    server, n = serve(**STORM), 150
    client = connect(server, concurrency=32, timeout_s=1.0, n_retries=20)
    answers = client.ask(prompts(n))
    assert [answer.text for answer in answers] == [right(prompt) for prompt in prompts(n)]
    assert set(server.answered().values()) == {1}
    usage, kinds = client.usage, server.counts()["kinds"]
    assert usage.failures == {
        "rate limit": kinds["refused"],
        "timeout": kinds["hanging"],
        "broken answer": kinds["broken"],
    }
    assert usage.n_requests == sum(kinds.values()) == n + usage.n_retries
    assert (usage.prompt_tokens, usage.answer_tokens) == server.billed()
    assert usage.cost == pytest.approx(usage.prompt_tokens * 2e-6 + usage.answer_tokens * 8e-6)
    assert cache.statistics().n_paid == n


def test_server_restarts_in_the_middle_of_a_storm(
    serve: Serve, connect: Connect, prompts: Prompts, right: Right, cache: AnswerCache
) -> None:
    server, n, logged = serve(**STORM), 200, []

    def restart() -> None:
        server.wait_for(100)
        server.kill()
        logged.extend(server.lines())
        time.sleep(0.3)
        server.start(seed=1)

    client = connect(server, concurrency=32, timeout_s=1.0, n_retries=20)
    restarting = threading.Thread(target=restart)
    restarting.start()
    answers = client.ask(prompts(n))
    restarting.join()
    assert [answer.text for answer in answers] == [right(prompt) for prompt in prompts(n)]
    assert cache.statistics()[:2] == (n, n)
    assert client.usage.failures["connection"] > 0
    twice = {prompt for prompt, count in server.answered().items() if count > 1}
    assert twice <= set(logged[-32:])  # on their way when the server died
    wasted = (server.billed()[0] - client.usage.prompt_tokens) / 3
    assert len(twice) <= wasted + 2  # 5 tokens of a broken answer may be lost as well


def test_outage_is_waited_for_and_uses_up_no_retries(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    server = serve(n_failing_first=40)
    client = connect(server, n_retries=3, n_failures_to_pause=5, concurrency=8, max_backoff_s=0.02)
    assert len(client.ask(prompts(50))) == 50
    assert client.usage.failures == {"server error": 40}
    assert client.usage.n_requests == 90


def test_no_server_at_all_is_given_up_in_the_stated_time(
    connect: Connect, prompts: Prompts, serve: Serve
) -> None:
    server = serve()
    server.kill()
    client = connect(server, give_up_s=0.6, n_failures_to_pause=10, max_backoff_s=0.1)
    for _ in range(2):  # the second call has the same patience
        start = time.monotonic()
        with pytest.raises(LLMError, match=r"has only failed for .*connection lost"):
            client.ask(prompts(100))
        assert 0.5 < time.monotonic() - start < 10
    assert client.usage.n_requests < 2 * (10 + 16 + 30)
    assert client.usage.cost == 0


def test_one_prompt_that_always_fails_ends_the_run_after_its_retries(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    server = serve(status=500)
    client = connect(server, n_retries=2)
    with pytest.raises(LLMError, match="failed 3 times on the same prompt, last: status 500"):
        client.ask(prompts(1))
    assert client.usage.n_requests == 3
    assert client.usage.n_retries == 2


def test_retry_after_is_waited_for(serve: Serve, connect: Connect, prompts: Prompts) -> None:
    server = serve(n_failing_first=1, first_status=429, first_headers="Retry-After: 1\r\n")
    start = time.monotonic()
    connect(server).ask(prompts(1))
    assert 1.0 <= time.monotonic() - start < 8


def test_retry_after_beyond_patience_ends_the_run(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    server = serve(n_failing_first=99, first_status=429, first_headers="Retry-After: 3600\r\n")
    with pytest.raises(LLMError, match="asks to wait 3600 s, longer than give_up_s=10"):
        connect(server).ask(prompts(5))


def test_refusal_stops_the_run_but_what_is_under_way_is_stored(
    serve: Serve, connect: Connect, prompts: Prompts, cache: AnswerCache
) -> None:
    server = serve(n_failing_first=1, first_status=403, latency_s=0.2)
    client = connect(server, concurrency=8)
    with pytest.raises(LLMError, match="answered 403"):
        client.ask(prompts(100))
    stored = cache.statistics().n_entries
    assert stored == sum(server.answered().values()) <= 8
    assert client.ask(prompts(100))[50].text in "01"


def test_kill_in_the_middle_repeats_only_what_was_under_way(
    serve: Serve, prompts: Prompts, start_asking: Start, cache: AnswerCache
) -> None:
    server, n = serve(latency_s=0.05), 200
    process = start_asking(server, n)
    server.wait_for(80)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.1)  # the server writes down what was under way
    n_stored, n_answered = cache.statistics().n_entries, len(server.lines())
    assert 64 <= n_stored <= n_answered < n
    assert n_answered - n_stored <= 16
    again = start_asking(server, n)
    said, problem = again.communicate()
    assert again.returncode == 0, problem
    usage = json.loads(said)
    assert usage["n_requests"] == n - n_stored
    assert usage["n_cached"] == n_stored
    answered = server.answered()
    assert len(answered) == n
    assert sum(answered.values()) - n == n_answered - n_stored  # those under way, and no others
    assert cache.statistics()[:2] == (n, n)


def test_interrupt_waits_for_what_was_sent(
    serve: Serve, prompts: Prompts, start_asking: Start, cache: AnswerCache
) -> None:
    server = serve(latency_s=0.3)
    process = start_asking(server, 200)
    server.wait_for(20)
    process.send_signal(signal.SIGINT)
    _, problem = process.communicate()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in problem
    assert cache.statistics().n_entries == len(server.lines()) < 200
