"""What a run sent and paid, and the limits that are checked before anything is sent."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from proactrec.llm.errors import LimitReachedError
from proactrec.llm.options import LLMOptions

FIRST_TOKENS_A_BYTE = 0.5
"""Guess until a server has counted; English has about 0.25, CJK text about 0.4."""


@dataclass
class Usage:
    """What one client did so far; a run that goes on later begins anew at zero."""

    n_requests: int = 0  # sent, retries among them
    n_retries: int = 0
    n_cached: int = 0  # prompts answered without a request: stored, or asked in the same call
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0
    n_uncounted: int = 0  # answers whose tokens the server did not count: estimated
    failures: Counter[str] = field(default_factory=Counter)  # of requests, by kind


class MostSpent(NamedTuple):
    """What a request may cost at most, as far as one knows before it is sent."""

    prompt_tokens: float
    answer_tokens: int
    cost: float

    @property
    def tokens(self) -> float:
        """All tokens."""
        return self.prompt_tokens + self.answer_tokens


class Budget:
    """Keeps a run within its limits: an estimate is reserved before, settled after a request.

    The estimate takes the most tokens a byte that the server has counted so far and the longest
    answer allowed. A request that does not fit waits until those under way are settled; when it
    does not fit beside none, the limit is reached.
    """

    def __init__(self, options: LLMOptions, usage: Usage) -> None:
        self._options, self._usage = options, usage
        self._n_reserved, self._reserved_tokens, self._reserved_cost = 0, 0.0, 0.0
        self._tokens_a_byte = 0.0
        self._settled = asyncio.Event()

    async def reserve(self, n_bytes: int, max_answer_tokens: int) -> MostSpent:
        """Set the estimate for one request aside, and count the request as sent.

        Raises
        ------
        LimitReachedError
            If that would pass a limit.
        """
        while True:
            estimate = self.estimate(n_bytes, max_answer_tokens)
            passed = self._limit_passed_by(estimate)
            if passed is None:
                break
            if self._n_reserved == 0 or passed == "requests":
                raise LimitReachedError(self._sentence(passed))
            await self._settled.wait()
        self._usage.n_requests += 1
        self._reserve(estimate, 1)
        return estimate

    def release(self, estimate: MostSpent) -> None:
        """Give back what was set aside; wakes those who wait for it."""
        self._reserve(estimate, -1)
        if self._n_reserved == 0:  # sums of floats leave dust
            self._reserved_tokens = self._reserved_cost = 0.0
        self._settled.set()
        self._settled = asyncio.Event()

    def pay(self, prompt_tokens: int, answer_tokens: int) -> float:
        """Count tokens that the server billed; their cost."""
        cost = self._options.cost(prompt_tokens, answer_tokens)
        self._usage.prompt_tokens += prompt_tokens
        self._usage.answer_tokens += answer_tokens
        self._usage.cost += cost
        return cost

    def learn(self, n_bytes: int, prompt_tokens: int) -> None:
        """Take note of how many tokens a prompt had, for later estimates."""
        self._tokens_a_byte = max(self._tokens_a_byte, prompt_tokens / n_bytes)

    def estimate(self, n_bytes: int, max_answer_tokens: int) -> MostSpent:
        """What a prompt of so many bytes may cost."""
        prompt_tokens = n_bytes * (self._tokens_a_byte or FIRST_TOKENS_A_BYTE)
        return MostSpent(
            prompt_tokens, max_answer_tokens, self._options.cost(prompt_tokens, max_answer_tokens)
        )

    def _reserve(self, estimate: MostSpent, sign: int) -> None:
        self._n_reserved += sign
        self._reserved_tokens += sign * estimate.tokens
        self._reserved_cost += sign * estimate.cost

    def _limit_passed_by(self, estimate: MostSpent) -> str | None:
        limits, usage = self._options, self._usage
        n_tokens = usage.prompt_tokens + usage.answer_tokens + self._reserved_tokens
        if limits.max_requests is not None and usage.n_requests >= limits.max_requests:
            return "requests"
        if limits.max_tokens is not None and n_tokens + estimate.tokens > limits.max_tokens:
            return "tokens"
        cost = usage.cost + self._reserved_cost + estimate.cost
        if limits.max_cost is not None and cost > limits.max_cost:
            return "cost"
        return None

    def _sentence(self, passed: str) -> str:
        usage = self._usage
        return (
            f"the limit max_{passed}={getattr(self._options, f'max_{passed}')} would be passed by"
            f" the next request, after {usage.n_requests} requests,"
            f" {usage.prompt_tokens + usage.answer_tokens} tokens and a cost of {usage.cost:.4g};"
            " all answers so far are in the cache, and the same command goes on from there"
        )
