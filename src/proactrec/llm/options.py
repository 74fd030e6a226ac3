"""Settings of a language model: where it is, how it answers, what it may cost."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError


class LLMOptions(Options):
    """A language model behind an OpenAI-compatible endpoint; its key comes from the environment."""

    url: str = Field(
        "http://localhost:8000/v1",
        description="address of an OpenAI-compatible endpoint, up to /v1; its key comes from "
        "PROACTREC_LLM_KEY",
    )
    model: str = Field(min_length=1, description="name of the model, as the endpoint calls it")
    temperature: float = Field(0.0, ge=0, le=2, description="spread of the answers")
    max_answer_tokens: int = Field(16, ge=1, description="longest answer, in tokens")
    answer_limit: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what the endpoint calls that limit; OpenAI's newer name is long"
    )
    n_top_logprobs: int = Field(
        10, ge=1, le=20, description="most likely first tokens, where probabilities are wanted"
    )
    seed: int | None = Field(0, description="sent with every request; None: not sent")

    concurrency: int = Field(16, ge=1, le=1000, description="requests under way at most")
    timeout_s: float = Field(60.0, gt=0, description="seconds after which a request has failed")
    n_retries: int = Field(8, ge=0, description="further attempts at one prompt")
    backoff_s: float = Field(0.5, gt=0, description="wait before the first retry; then doubled")
    max_backoff_s: float = Field(30.0, gt=0, description="longest wait between two attempts")
    n_failures_to_pause: int = Field(
        20, ge=1, description="failures in a row, over all prompts, after which one prompt probes"
    )
    give_up_s: float = Field(120.0, gt=0, description="seconds of failures only that end the run")

    max_requests: int | None = Field(None, ge=0, description="requests sent, retries among them")
    max_tokens: int | None = Field(None, ge=0, description="tokens of prompts and answers")
    max_cost: float | None = Field(None, ge=0, description="money, in the currency of the prices")
    price_in: float = Field(0.0, ge=0, description="price of a million prompt tokens")
    price_out: float = Field(0.0, ge=0, description="price of a million answer tokens")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query:  # do not repeat it: it may be the key
            raise InvalidInputError(
                "url must hold no name, password or query: a key goes into PROACTREC_LLM_KEY"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(f"url must be like http://localhost:8000/v1, got {url!r}")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_price(self) -> Self:
        if self.max_cost is not None and not self.price_in + self.price_out:
            raise InvalidInputError("max_cost needs a price: set price_in, price_out or both")
        return self

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float:
        """Price of so many tokens."""
        return (prompt_tokens * self.price_in + answer_tokens * self.price_out) / 1e6
