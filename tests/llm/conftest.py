"""A scripted server in a process of its own, and clients with short patience."""

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.messages import Message
from proactrec.llm.options import LLMOptions

SERVER = Path(__file__).with_name("scripted_server.py")
SHORT = {
    "model": "tiny",
    "temperature": 0.0,
    "concurrency": 16,
    "timeout_s": 5.0,
    "backoff_s": 0.01,
    "max_backoff_s": 0.1,
    "give_up_s": 10.0,
    "price_in": 2.0,
    "price_out": 8.0,
}


class Server:
    """The scripted server: start, kill, and count what it answered."""

    def __init__(self, log: Path, script: dict[str, Any]) -> None:
        self._log, self._script, self._port = log, script, 0
        self._process: subprocess.Popen[str] | None = None
        log.touch()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self, **changes: Any) -> None:
        command = [str(self._port), str(self._log), json.dumps(self._script | changes)]
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), *command], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def lines(self) -> list[str]:
        """Whole lines of the log."""
        return self._log.read_text().split("\n")[:-1]

    def answered(self) -> Counter[str]:
        """How often each prompt was answered."""
        return Counter(line for line in self.lines() if not line.startswith("#"))

    def billed(self) -> tuple[int, int]:
        """Tokens of prompts and answers that the server counted."""
        lines = self.lines()
        in_answers = sum(len(line.split()) for line in lines if not line.startswith("#"))
        in_broken = sum(int(line[2:]) for line in lines if line.startswith("#"))
        return in_answers + in_broken, sum(not line.startswith("#") for line in lines)

    def wait_for(self, n_lines: int) -> None:
        give_up = time.monotonic() + 20
        while len(self.lines()) < n_lines:
            assert time.monotonic() < give_up, "the server does not answer"
            time.sleep(0.005)

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url) as reply:
            found: dict[str, Any] = json.load(reply)
        return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with a script."""
    with ExitStack() as stack:

        def start(**script: Any) -> Server:
            server = Server(tmp_path / "server.log", {"latency_s": 0.01} | script)
            stack.callback(server.kill)
            return server

        yield start


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    with closing(AnswerCache(tmp_path / "answers.sqlite")) as cache:
        yield cache


@pytest.fixture
def connect(cache: AnswerCache) -> Iterator[Callable[..., LLMClient]]:
    """A client of a server, or of an address; `replay` and `progress` go to the client."""
    with ExitStack() as stack:

        def connect(server: Server | str, **changes: Any) -> LLMClient:
            url = server if isinstance(server, str) else server.url
            rest = {name: changes.pop(name) for name in ("replay", "progress") if name in changes}
            options = LLMOptions(url=url, **(SHORT | changes))
            return stack.enter_context(closing(LLMClient(options, cache, **rest)))

        yield connect


@pytest.fixture
def prompts() -> Callable[[int], list[tuple[Message, ...]]]:
    """The first prompts of an endless list; each has 3 words."""
    return lambda n: [(Message("user", f"prompt number {i}"),) for i in range(n)]


@pytest.fixture
def right() -> Callable[[tuple[Message, ...]], str]:
    """The one right answer to a prompt."""
    return lambda prompt: str(hashlib.sha256(prompt[-1].content.encode()).digest()[0] % 2)


@pytest.fixture
def start_asking(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A process that asks the first prompts, with the cache of `cache`; it prints its usage."""
    script = """
import dataclasses, json, sys
from contextlib import closing
from pathlib import Path
from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.messages import Message
from proactrec.llm.options import LLMOptions
options, n = LLMOptions(**json.loads(sys.argv[2])), int(sys.argv[3])
with closing(AnswerCache(Path(sys.argv[1]))) as cache, closing(LLMClient(options, cache)) as client:
    client.ask([(Message("user", f"prompt number {i}"),) for i in range(n)])
    print(json.dumps(dataclasses.asdict(client.usage)))
"""
    started = []

    def start(server: Server, n: int, **changes: Any) -> subprocess.Popen[str]:
        options = json.dumps(SHORT | {"url": server.url} | changes)
        command = [sys.executable, "-c", script, str(tmp_path / "answers.sqlite"), options, str(n)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
