"""The client against a scripted server that works."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from proactrec.errors import InvalidInputError
from proactrec.llm.cache import Answer, AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.errors import LimitReachedError, LLMError
from proactrec.llm.messages import Message

Prompts = Callable[[int], list[tuple[Message, ...]]]
Right = Callable[[tuple[Message, ...]], str]
Serve = Callable[..., Any]
Connect = Callable[..., LLMClient]


def test_answers_come_in_order_and_each_prompt_is_asked_once(
    serve: Serve, connect: Connect, prompts: Prompts, right: Right
) -> None:
    server, asked = serve(), prompts(40) * 2 + prompts(3)
    client = connect(server)
    answers = client.ask(asked)
    assert [answer.text for answer in answers] == [right(prompt) for prompt in asked]
    assert answers[0] == Answer(right(asked[0]), None, 3, 1, pytest.approx(3 * 2e-6 + 8e-6))
    assert set(server.answered().values()) == {1}
    usage = client.usage
    assert (usage.n_requests, usage.n_retries, usage.n_cached) == (40, 0, 43)
    assert (usage.prompt_tokens, usage.answer_tokens) == server.billed() == (120, 40)
    assert usage.cost == pytest.approx(120 * 2e-6 + 40 * 8e-6)
    assert not usage.failures


def test_second_call_and_replay_answer_from_the_cache(
    serve: Serve, connect: Connect, prompts: Prompts, cache: AnswerCache
) -> None:
    server = serve()
    first = connect(server).ask(prompts(20), wants=["logprobs"])
    server.kill()
    client = connect(server, replay=True)
    again = client.ask(prompts(20), wants=["logprobs"])
    assert again == first
    assert (client.usage.n_requests, client.usage.n_cached, client.usage.cost) == (0, 20, 0)
    assert client._thread is None  # nothing that could reach a network was started
    assert cache.statistics().cost == pytest.approx(20 * (3 * 2e-6 + 8e-6))


def test_replay_says_what_is_missing(serve: Serve, connect: Connect, prompts: Prompts) -> None:
    server = serve()
    connect(server).ask(prompts(5))
    with pytest.raises(LLMError, match="may not ask the model, and 2 of 7 answers are not in"):
        connect(server, replay=True).ask(prompts(7))
    assert len(server.answered()) == 5


def test_probabilities_of_the_first_token(
    serve: Serve, connect: Connect, prompts: Prompts, right: Right
) -> None:
    prompt = prompts(1)[0]
    text = right(prompt)
    answer = connect(serve()).ask([prompt], wants=["logprobs"])[0]
    assert answer.top_logprobs == {text: -0.25, str(1 - int(text)): -1.5}


def test_endpoint_without_probabilities_is_found_out_once(
    serve: Serve, connect: Connect, prompts: Prompts, right: Right
) -> None:
    server = serve(logprobs=False)
    client = connect(server, concurrency=4)
    answers = client.ask(prompts(30), wants=["logprobs"])
    assert [answer.text for answer in answers] == [right(prompt) for prompt in prompts(30)]
    assert {answer.top_logprobs for answer in answers} == {None}
    n_refused = client.usage.failures["logprobs refused"]
    assert 1 <= n_refused <= 4
    client.ask(prompts(60), wants=["logprobs"])
    assert client.usage.failures == {"logprobs refused": n_refused}
    assert client.usage.n_requests == 60 + n_refused


def test_endpoint_that_ignores_the_wish_for_probabilities_is_asked_for_the_next(
    httpserver: HTTPServer, connect: Connect, prompts: Prompts
) -> None:
    asked: list[dict[str, Any]] = []

    def handle(request: Request) -> Response:
        asked.append(json.loads(request.data))
        said = {"choices": [{"message": {"content": "1"}}]}
        return Response(json.dumps(said), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(handle)
    client = connect(httpserver.url_for("/v1"), concurrency=1)
    client.ask(prompts(3), wants=["logprobs", "digit schema"])
    assert ["logprobs" in body for body in asked] == [True, False, False]
    assert ["response_format" in body for body in asked] == [False, True, True]
    assert client.usage.failures == {"logprobs ignored": 1}


def test_concurrency_is_kept_and_connections_are_used_again(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    server = serve()
    client = connect(server, concurrency=7)
    for n in (30, 60, 90):
        client.ask(prompts(n))
    counts = server.counts()
    assert counts["n_most"] == 7
    assert counts["n_connections"] <= 7 + 1  # and the one that asks for the counts


def test_threads_share_the_limit_on_concurrency(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    server = serve()
    client = connect(server, concurrency=5)
    parts = [prompts(120)[start::3] for start in range(3)]
    threads = [threading.Thread(target=client.ask, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.counts()["n_most"] == 5
    assert set(server.answered().values()) == {1}
    assert len(server.answered()) == client.usage.n_requests == 120


def test_works_where_an_event_loop_runs_already(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    client = connect(serve())

    async def in_a_notebook() -> list[Answer]:
        return client.ask(prompts(3))

    assert len(asyncio.run(in_a_notebook())) == 3


def test_warm_cache_answers_a_run_without_asking(
    connect: Connect, prompts: Prompts, cache: AnswerCache
) -> None:
    from proactrec.llm.messages import Question

    client, asked = connect("http://127.0.0.1:9/v1"), prompts(18860)
    keys = [Question(prompt, 16, ("logprobs",)).key(client.options) for prompt in asked]
    cache._connection.execute("BEGIN")
    cache._connection.executemany(
        "INSERT INTO answers (key, text, top_logprobs, prompt_tokens, answer_tokens, cost)"
        """ VALUES (?, '1', '{"1": -0.1, "0": -2.5}', 600, 1, 0.001)""",
        [(key,) for key in keys],
    )
    cache._connection.execute("COMMIT")
    answers = client.ask(asked, wants=["logprobs"])
    assert len(answers) == 18860
    assert client.usage.n_cached == 18860


def test_progress_is_told_from_the_calling_thread(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    told = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        told.append((stage, done, total, threading.current_thread()))

    client = connect(serve(latency_s=0.3), progress=progress, concurrency=10)
    client.ask(prompts(10))
    client.ask(prompts(30))
    assert told[-1] == ("asking", 30, 30, threading.main_thread())
    assert [step[1] for step in told if step[2] == 30] == sorted(s[1] for s in told if s[2] == 30)
    assert len(told) >= 4


def test_nothing_to_ask_and_a_prompt_without_messages(connect: Connect) -> None:
    client = connect("http://127.0.0.1:9/v1")
    assert client.ask([]) == []
    with pytest.raises(InvalidInputError, match="every prompt must hold a message"):
        client.ask([()])


def test_tokens_are_estimated_if_the_server_does_not_count(
    serve: Serve, connect: Connect, prompts: Prompts
) -> None:
    client = connect(serve(has_usage=False))
    answer = client.ask(prompts(1))[0]
    assert client.usage.n_uncounted == 1
    assert answer.prompt_tokens > 3
    assert answer.answer_tokens >= 1
    assert client.usage.cost > 0


@pytest.mark.parametrize(
    ("limits", "n_done"),
    [
        ({"max_requests": 25}, (25, 25)),
        # 4 tokens a prompt; 16 of an answer and up to 80 of a prompt are set aside at first
        ({"max_tokens": 200}, (25, 50)),
        ({"max_cost": 200 * 3.5e-6}, (25, 51)),
    ],
)
def test_limit_stops_the_run_and_the_same_command_goes_on(
    serve: Serve,
    connect: Connect,
    prompts: Prompts,
    cache: AnswerCache,
    limits: dict[str, float],
    n_done: tuple[int, int],
) -> None:
    server, n_asked = serve(), 60
    for _ in range(10):
        n_before = cache.statistics().n_entries
        client = connect(server, **limits)
        try:
            client.ask(prompts(n_asked))
            break
        except LimitReachedError as error:
            assert str(limits[min(limits)]) in str(error)  # noqa: PT017
        usage, n_new = client.usage, cache.statistics().n_entries - n_before
        assert n_done[0] * 0.6 <= n_new <= n_done[1]  # used as far as it goes
        assert usage.n_requests == n_new <= limits.get("max_requests", n_new)
        assert usage.prompt_tokens + usage.answer_tokens <= limits.get("max_tokens", 10**9)
        assert usage.cost <= limits.get("max_cost", 10**9)
    assert len(server.answered()) == n_asked
    assert set(server.answered().values()) == {1}


def test_usage_of_another_process_is_not_paid_again(
    serve: Serve, prompts: Prompts, start_asking: Callable[..., Any], cache: AnswerCache
) -> None:
    server = serve(latency_s=0.05)
    processes = [start_asking(server, 150) for _ in range(2)]
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said
    stored, n_answered = cache.statistics(), sum(server.answered().values())
    assert (stored.n_entries, stored.n_paid) == (150, n_answered)
    assert n_answered <= 225  # both may have the same ones under way
    assert stored.cost == pytest.approx(n_answered * (3 * 2e-6 + 8e-6))
    assert (stored.prompt_tokens, stored.answer_tokens) == server.billed()


def test_cache_that_takes_no_more_ends_the_run(
    serve: Serve, connect: Connect, prompts: Prompts, cache: AnswerCache, tmp_path: Path
) -> None:
    client = connect(serve())
    cache._connection.execute("PRAGMA query_only=1")  # as good as a full disk
    with pytest.raises(Exception, match="takes no more answers"):
        client.ask(prompts(50))
    cache._connection.execute("PRAGMA query_only=0")
    assert len(client.ask(prompts(50))) == 50
