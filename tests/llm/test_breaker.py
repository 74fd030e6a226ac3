"""The breaker: pauses all, sends one to look, gives up in time."""

import asyncio
import re

import pytest

from proactrec.llm.breaker import Breaker, backoff_s
from proactrec.llm.errors import LLMError, RetryableError
from proactrec.llm.options import LLMOptions

FAILURE = RetryableError("server error", "status 500")


def options(**changes: float) -> LLMOptions:
    few = {"n_failures_to_pause": 3, "backoff_s": 0.01, "max_backoff_s": 0.02, "give_up_s": 9}
    return LLMOptions(model="m", **(few | changes))


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    patient = options(backoff_s=1, max_backoff_s=5)
    for n_failed, longest in ((1, 1), (2, 2), (3, 4), (4, 5), (1000, 5)):
        waits = [backoff_s(patient, n_failed) for _ in range(200)]
        assert longest / 2 <= min(waits) < 0.6 * longest
        assert 0.9 * longest < max(waits) <= longest
    assert 60.5 <= backoff_s(patient, 1, retry_after_s=60) <= 61


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker(options())
    for _ in range(10):
        breaker.failed(FAILURE, is_probe=False)
        breaker.failed(FAILURE, is_probe=False)
        breaker.succeeded()
        assert not breaker.is_open


def test_one_caller_probes_while_the_others_wait() -> None:
    async def check() -> list[str]:
        breaker, events = Breaker(options()), []
        for _ in range(3):
            breaker.failed(FAILURE, is_probe=False)

        async def call(is_up: asyncio.Event) -> None:
            is_probe = await breaker.enter()
            while not is_up.is_set():
                assert is_probe
                events.append("probe")
                if events.count("probe") == 4:
                    is_up.set()
                breaker.failed(FAILURE, is_probe=True)
                breaker.leave()
                is_probe = await breaker.enter()
            breaker.succeeded()
            if is_probe:
                breaker.leave()
            events.append("passed")

        is_up = asyncio.Event()
        await asyncio.wait_for(asyncio.gather(*[call(is_up) for _ in range(8)]), 5)
        return events

    assert asyncio.run(check()) == ["probe"] * 4 + ["passed"] * 8


def test_a_probe_that_is_cancelled_lets_the_next_one_probe() -> None:
    async def check() -> None:
        breaker = Breaker(options())
        for _ in range(3):
            breaker.failed(FAILURE, is_probe=False)
        first, second = (asyncio.create_task(breaker.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.wait_for(second, 5)

    asyncio.run(check())


def test_it_gives_up_after_the_stated_time_and_then_begins_anew() -> None:
    breaker = Breaker(options(give_up_s=0.001))

    async def fail() -> None:
        for _ in range(10):
            breaker.failed(FAILURE, is_probe=False)
            await asyncio.sleep(0.001)

    with pytest.raises(LLMError, match=re.escape("last: status 500")):
        asyncio.run(fail())
    assert not breaker.is_open


def test_a_server_that_asks_for_too_much_patience_ends_it() -> None:
    with pytest.raises(LLMError, match=re.escape("asks to wait 3600 s, longer than give_up_s=9")):
        Breaker(options()).failed(RetryableError("rate limit", "429", 3600.0), is_probe=False)
