"""What is asked and what comes back, as the chat completions protocol writes it."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from proactrec.llm.errors import RetryableError
from proactrec.llm.options import LLMOptions


class Message(NamedTuple):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Reply(NamedTuple):
    """What a chat completion says; token counts are None if the server does not count."""

    text: str
    top_logprobs: dict[str, float] | None
    prompt_tokens: int | None
    answer_tokens: int | None


class UnusableReplyError(RetryableError):
    """A body that holds no answer, but maybe a bill: `tokens` of prompt and answer."""

    def __init__(self, sentence: str, tokens: tuple[int, int] = (0, 0)) -> None:
        super().__init__("broken answer", sentence)
        self.tokens = tokens


Feature = Literal["logprobs", "digit schema"]
"""What an endpoint may offer or refuse: the first token's probabilities; an answer that is held
to ``{"answer": 0 or 1}``."""
DIGIT_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "click",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "integer", "enum": [0, 1]}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}


class Question(NamedTuple):
    """One prompt with the parameters that decide the answer."""

    messages: tuple[Message, ...]
    max_answer_tokens: int
    wants: tuple[Feature, ...] = ()  # the first that the endpoint does not refuse is used

    def key(self, options: LLMOptions) -> bytes:
        """SHA-256 of model, parameters and exact messages; the endpoint's address is left out."""
        content: list[Any] = [
            options.model,
            options.temperature,
            options.seed,
            self.max_answer_tokens,
            options.n_top_logprobs if "logprobs" in self.wants else 0,
            self.messages,
        ]
        if self.wants[:1] == ("digit schema",):
            content.append(DIGIT_SCHEMA)
        return hashlib.sha256(json.dumps(content).encode()).digest()

    def body(self, options: LLMOptions, feature: Feature | None) -> bytes:
        """The request, as JSON."""
        content: dict[str, Any] = {
            "model": options.model,
            "messages": [message._asdict() for message in self.messages],
            "temperature": options.temperature,
            options.answer_limit: self.max_answer_tokens,
        }
        if options.seed is not None:
            content["seed"] = options.seed
        if feature == "logprobs":
            content |= {"logprobs": True, "top_logprobs": options.n_top_logprobs}
        elif feature == "digit schema":
            content["response_format"] = DIGIT_SCHEMA
        return json.dumps(content).encode()


def read_reply(body: str) -> Reply:
    """Text, first token's probabilities and token counts of a chat completion.

    Raises
    ------
    UnusableReplyError
        If the body is cut off, is no JSON, or holds no answer.
    """
    try:
        content = json.loads(body)
    except ValueError as error:
        raise UnusableReplyError(f"an answer of {len(body)} characters is not JSON") from error
    if not isinstance(content, dict):
        raise UnusableReplyError("an answer is JSON, but no chat completion")
    usage = content.get("usage")
    prompt_tokens, answer_tokens = (
        _count(usage.get(name)) if isinstance(usage, dict) else None
        for name in ("prompt_tokens", "completion_tokens")
    )
    try:
        choice = content["choices"][0]
        text = choice["message"]["content"]
        if not isinstance(text, str | None):
            raise TypeError
    except (LookupError, TypeError) as error:
        tokens = (prompt_tokens or 0, answer_tokens or 0)
        raise UnusableReplyError("an answer is JSON, but holds no message", tokens) from error
    # A model that spent its tokens on thinking says nothing: paid, so not asked again here.
    return Reply(text or "", _first_token(choice), prompt_tokens, answer_tokens)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Log probabilities of the first token that shows, and of those that might have stood there.

    A space before it is skipped: models that were not made for chat write one ("Answer: 1").
    """
    try:
        tokens = choice["logprobs"]["content"]
        first = next((one for one in tokens if one["token"].strip()), tokens[0])
        found = {top["token"]: float(top["logprob"]) for top in reversed(first["top_logprobs"])}
        found.setdefault(first["token"], float(first["logprob"]))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return {token: value for token, value in found.items() if math.isfinite(value)}
