"""Limits: nothing is sent that would pass them, and they are used as far as they go."""

import asyncio
import re

import pytest

from proactrec.llm.budget import Budget, Usage
from proactrec.llm.errors import LimitReachedError
from proactrec.llm.options import LLMOptions


def budget(**limits: float) -> Budget:
    return Budget(LLMOptions(model="m", price_in=1e6, price_out=1e6, **limits), Usage())


def test_without_limits_all_is_granted() -> None:
    async def check() -> None:
        free = budget()
        for _ in range(1000):
            await free.reserve(10**9, 10**6)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_requests": 1}, "max_requests=1 would be passed by the next request, after 1 reques"),
        ({"max_tokens": 119}, "max_tokens=119 would be passed"),
        ({"max_cost": 119.0}, "max_cost=119.0 would be passed"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(limits: dict[str, float], message: str) -> None:
    async def check() -> None:
        limited = budget(**limits)
        estimate = await limited.reserve(100, 10)  # 0.5 tokens a byte: 60
        limited.pay(55, 5)
        limited.release(estimate)
        await limited.reserve(100, 10)

    with pytest.raises(LimitReachedError, match=re.escape(message)):
        asyncio.run(check())


def test_a_request_waits_for_those_under_way_if_it_may_fit_beside_what_they_use() -> None:
    async def check() -> None:
        limited = budget(max_tokens=119)
        first = await limited.reserve(100, 10)
        second = asyncio.create_task(limited.reserve(100, 10))
        await asyncio.sleep(0)
        assert not second.done()
        limited.pay(20, 1)
        limited.learn(100, 20)
        limited.release(first)
        assert (await second).tokens == 30

    asyncio.run(check())


def test_estimates_follow_what_the_server_counts() -> None:
    learning = budget()
    assert learning.estimate(1000, 10).tokens == 510
    learning.learn(1000, 300)
    learning.learn(1000, 200)
    assert learning.estimate(1000, 10) == (300, 10, 310.0)
