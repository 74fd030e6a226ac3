"""Speed of the client against the scripted server, on a quiet machine.

Usage: python benchmarks/llm_speed.py PAGE.md. The server is that of tests/llm. It measures calls a
second beside concurrency ÷ latency and CPU a call, at 50 ms, and a run's answers from a warm cache.
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "llm"))

from conftest import Server  # type: ignore[import-not-found]
from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.messages import Message
from proactrec.llm.options import LLMOptions
from shared.page import origin, page_parser, write_page

LATENCY_S = 0.05
N_DECISIONS = 18860
HISTORY = "Some Movie Title, The (1995) " * 20


def prompts(name: str, n: int) -> list[tuple[Message, ...]]:
    """Prompts as long as the click agent's."""
    task = Message("system", "Decide as this user would. " * 40)
    return [(task, Message("user", f"{name} {i} {HISTORY}")) for i in range(n)]


def calibration_s() -> float:
    """CPU seconds of a fixed loop: 0.3 or so on an idle core."""
    start = time.process_time()
    sum(i * i for i in range(5_000_000))
    return time.process_time() - start


def calls(server: Server, cache: AnswerCache, concurrency: int, n: int) -> dict[str, Any]:
    """Rate and CPU of n new prompts."""
    options = LLMOptions(url=server.url, model="tiny", concurrency=concurrency)
    with closing(LLMClient(options, cache)) as client:
        client.ask(prompts(f"warm {concurrency}", concurrency), wants=["logprobs"])
        cpu, start = time.process_time(), time.perf_counter()
        client.ask(prompts(f"at {concurrency}", n), wants=["logprobs"])
        wall = time.perf_counter() - start
        cpu = time.process_time() - cpu
    return {
        "concurrency": concurrency,
        "calls_a_second": round(n / wall),
        "share_of_concurrency_by_latency": round(n / wall * LATENCY_S / concurrency, 3),
        "cpu_ms_a_call": round(cpu / n * 1000, 3),
    }


def warm(cache: AnswerCache) -> float:
    """Seconds for a run's decisions from the cache."""
    asked = prompts("at 64", N_DECISIONS)
    with closing(LLMClient(LLMOptions(model="tiny"), cache, replay=True)) as client:
        start = time.perf_counter()
        client.ask(asked, wants=["logprobs"])
        return time.perf_counter() - start


def main() -> None:
    """Measure, print, and write the page."""
    asked = page_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "log", {"latency_s": LATENCY_S})
        try:
            with closing(AnswerCache(Path(folder) / "answers.sqlite")) as cache:
                sizes = ((16, 1600), (32, 3200), (64, N_DECISIONS))
                found: dict[str, Any] = {
                    "calibration_s": calibration_s(),
                    "calls": [calls(server, cache, *size) for size in sizes],
                    "warm_cache_s": warm(cache),
                }
        finally:
            server.kill()
    lines = [
        "| at once | calls a second | of concurrency ÷ 50 ms | CPU a call |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {c['concurrency']} | {c['calls_a_second']:,} | "
            f"{c['share_of_concurrency_by_latency']:.1%} | {c['cpu_ms_a_call']:.2f} ms |"
            for c in found["calls"]
        ),
        "",
        f"{N_DECISIONS:,} decisions from a warm cache: {found['warm_cache_s']:.2f} s. A fixed loop "
        f"took {found['calibration_s']:.2f} s of CPU (0.3 on this machine when it is idle).",
    ]
    print("\n".join(lines))
    title = "Speed of the language model's client"
    write_page(asked.page, title, {"origin": origin(), **found}, "\n".join(lines))


if __name__ == "__main__":
    main()
