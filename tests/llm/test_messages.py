"""Requests and replies, as the protocol writes them."""

import json

import pytest

from proactrec.llm.messages import Message, Question, Reply, UnusableReplyError, read_reply
from proactrec.llm.options import LLMOptions

OPTIONS = LLMOptions(model="tiny")
QUESTION = Question(
    (Message("system", "Answer."), Message("user", "\ud800 é 1?")), 2, ("logprobs",)
)


def completion(**choice: object) -> str:
    return json.dumps({"choices": [{"message": {"content": "1"}} | choice]})


def test_body_is_what_the_endpoint_expects() -> None:
    assert json.loads(QUESTION.body(OPTIONS, "logprobs")) == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Answer."},
            {"role": "user", "content": "\ud800 é 1?"},
        ],
        "temperature": 0.0,
        "max_tokens": 2,
        "seed": 0,
        "logprobs": True,
        "top_logprobs": 10,
    }
    plain = json.loads(QUESTION.body(LLMOptions(model="tiny", seed=None), None))
    assert plain.keys() == {"model", "messages", "temperature", "max_tokens"}
    newer = LLMOptions(model="tiny", answer_limit="max_completion_tokens")
    assert json.loads(QUESTION.body(newer, None))["max_completion_tokens"] == 2
    assert QUESTION.key(newer) == QUESTION.key(OPTIONS)
    held = json.loads(QUESTION.body(OPTIONS, "digit schema"))
    schema = held["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"answer": {"type": "integer", "enum": [0, 1]}}
    assert "logprobs" not in held


def test_key_depends_on_all_that_decides_the_answer_and_on_nothing_else() -> None:
    others = [
        QUESTION._replace(max_answer_tokens=3),
        QUESTION._replace(wants=()),
        QUESTION._replace(wants=("digit schema",)),
        QUESTION._replace(messages=(Message("user", "Answer."), *QUESTION.messages[1:])),
        QUESTION._replace(messages=QUESTION.messages[:1]),
    ]
    changed = [{"model": "other"}, {"temperature": 0.5}, {"seed": 1}, {"n_top_logprobs": 5}]
    keys = {question.key(OPTIONS) for question in (QUESTION, *others)}
    keys |= {QUESTION.key(LLMOptions(**({"model": "tiny"} | change))) for change in changed}
    assert len(keys) == 10
    elsewhere = LLMOptions(model="tiny", url="https://elsewhere.org/v1", concurrency=3, price_in=1)
    assert QUESTION.key(elsewhere) == QUESTION.key(OPTIONS)


def token(text: str, **logprobs: float) -> dict[str, object]:
    top = [{"token": name, "logprob": value} for name, value in logprobs.items()]
    return {"token": text, "logprob": 0.0, "top_logprobs": top}


def test_a_space_before_the_answer_is_skipped() -> None:
    """A base model goes on from "Answer:" with a space, and then the digit."""
    two = [token(" ", x=-9.0), token("1", zero=-1.5)]
    said = read_reply(completion(message={"content": " 1"}, logprobs={"content": two}))
    assert said.top_logprobs == {"zero": -1.5, "1": 0.0}
    only = read_reply(completion(logprobs={"content": two[:1]}))
    assert only.top_logprobs == {"x": -9.0, " ": 0.0}


def test_reply_with_everything() -> None:
    top = [
        {"token": "1", "logprob": -0.5},
        {"token": "0", "logprob": -1},
        {"token": "1", "logprob": -9},
    ]
    first = {"token": "x", "logprob": -4, "top_logprobs": top}
    body = json.loads(completion(logprobs={"content": [first, {}]}))
    body["usage"] = {"prompt_tokens": 7, "completion_tokens": 2}
    assert read_reply(json.dumps(body)) == Reply("1", {"1": -0.5, "0": -1.0, "x": -4.0}, 7, 2)


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": []}, {"content": [{"token": "1"}]}, {"content": None}, "no", [1]],
)
def test_reply_without_usable_probabilities(logprobs: object) -> None:
    assert read_reply(completion(logprobs=logprobs)) == Reply("1", None, None, None)


def test_infinite_probabilities_are_left_out() -> None:
    body = completion(
        logprobs={
            "content": [
                {
                    "token": "1",
                    "logprob": 0,
                    "top_logprobs": [{"token": "0", "logprob": -float("inf")}],
                }
            ]
        }
    )
    assert read_reply(body).top_logprobs == {"1": 0.0}


def test_a_model_that_says_nothing_was_paid_nonetheless() -> None:
    assert read_reply(completion(message={"content": None})).text == ""


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        '{"choices": [{"message": {"cont',
        "[]",
        '"text"',
        "null",
        "{}",
        '{"choices": []}',
        '{"choices": null}',
        '{"choices": {"a": 1}}',
        '{"choices": ["text"]}',
        '{"choices": [{"message": {}}]}',
        '{"choices": [{"message": {"content": 1}}]}',
    ],
)
def test_broken_replies(body: str) -> None:
    with pytest.raises(UnusableReplyError):
        read_reply(body)


def test_a_broken_reply_may_have_a_bill() -> None:
    with pytest.raises(UnusableReplyError) as caught:
        read_reply('{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": "x"}}')
    assert caught.value.tokens == (5, 0)
