"""The click agent and the command with a real language model, tiny, behind real servers."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from proactrec.data.dataset import Dataset
from proactrec.data.load import DatasetOptions, load
from proactrec.llm.answers import digit_probability
from proactrec.llm.cache import AnswerCache
from proactrec.llm.click_agent import ClickAgent, ClickAgentOptions
from proactrec.llm.client import LLMClient
from proactrec.llm.errors import LLMError
from proactrec.llm.messages import Message

from ..e2e.conftest import Command
from ..e2e.conftest import here as here
from . import tiny_model
from .real_servers import TinyServer, TransformersServe

pytestmark = pytest.mark.slow

Asked = list[tuple[list[int], int]]
MakeAgent = Callable[..., ClickAgent]
N_ASKED, CONCURRENCY = 32, 16


@pytest.fixture(scope="session")
def demo() -> Dataset:
    return load(DatasetOptions(name="demo"))


@pytest.fixture(scope="session")
def folder(demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, trained once."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.build(folder, demo.titles)
    return folder


@pytest.fixture(scope="module")
def one_server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    server = TinyServer(folder, tmp_path_factory.mktemp("tiny") / "log")
    yield server
    server.kill()


@pytest.fixture
def tiny(one_server: TinyServer) -> TinyServer:
    """Our server; it runs, whatever the test before did to it."""
    one_server.start()
    return one_server


@pytest.fixture(scope="module")
def foreign(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServe]:
    server = TransformersServe(folder, tmp_path_factory.mktemp("transformers") / "log")
    yield server
    server.kill()


@pytest.fixture
def agent(demo: Dataset, tmp_path: Path) -> Iterator[MakeAgent]:
    """An agent without any answers yet."""
    made: list[ClickAgent] = []

    def make(server: TinyServer | TransformersServe, **options: Any) -> ClickAgent:
        chosen = ClickAgentOptions(
            url=server.url, **{"model": server.model, "max_backoff_s": 0.5} | options
        )
        made.append(ClickAgent(demo, chosen, tmp_path / f"answers-{len(made)}.sqlite"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def asked(demo: Dataset) -> Asked:
    """Histories of 1 to 20 items, each with another item."""
    luck, items = random.Random(5), range(1, demo.n_items + 1)
    found = [luck.sample(items, luck.randint(2, 21)) for _ in range(N_ASKED)]
    return [(history, item) for *history, item in found]


@pytest.fixture(scope="module")
def computed(folder: Path) -> Callable[[tuple[Message, ...]], torch.Tensor]:
    """Log probabilities of the answer's first token, by transformers in this process, (V,)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)

    def compute(prompt: tuple[Message, ...]) -> torch.Tensor:
        inputs = tokenizer.apply_chat_template(
            [message._asdict() for message in prompt],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            return model(**inputs).logits[0, -1].double().log_softmax(-1)

    compute.tokenizer = tokenizer  # type: ignore[attr-defined]
    return compute


@pytest.fixture(scope="module")
def expected(demo: Dataset, asked: Asked, computed: Any, tmp_path_factory: Any) -> list[float]:
    """Chances of a click by transformers in this process."""
    cache = tmp_path_factory.mktemp("none") / "answers.sqlite"
    writer = ClickAgent(demo, ClickAgentOptions(model="none"), cache)
    zero, one = computed.tokenizer.convert_tokens_to_ids(["0", "1"])
    rows = [computed(writer.prompt(*pair)) for pair in asked]
    writer.close()
    return [torch.sigmoid(row[one] - row[zero]).item() for row in rows]


def test_a_click_has_the_chance_that_the_model_computes(
    tiny: TinyServer, agent: MakeAgent, asked: Asked, expected: list[float], computed: Any
) -> None:
    one = agent(tiny)
    found = one.probabilities(asked)
    assert all(0 < chance < 1 for chance in found)
    assert found == pytest.approx(expected, abs=1e-5)
    prompt = one.prompt(*asked[0])
    n_requests = one.client.usage.n_requests
    (answer,) = one.client.ask([prompt], wants=("logprobs",))
    assert one.client.usage.n_requests == n_requests
    assert answer.top_logprobs is not None
    best = computed(prompt).topk(one.options.n_top_logprobs)
    texts = [computed.tokenizer.decode([token]) for token in best.indices.tolist()]
    assert answer.top_logprobs == pytest.approx(
        dict(zip(texts, best.values.tolist(), strict=True)), abs=1e-4
    )
    assert digit_probability(answer.top_logprobs) == found[0]
    messages = [message._asdict() for message in prompt]
    inputs = computed.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    assert answer.prompt_tokens == len(inputs["input_ids"])
    assert answer.answer_tokens == 2  # the digit and the end


def test_it_answers_as_it_was_taught(tiny: TinyServer, agent: MakeAgent, demo: Dataset) -> None:
    taste, luck = tiny_model.Taste.of(demo.titles), random.Random(0)
    by_year = sorted(range(1, demo.n_items + 1), key=lambda item: taste.year(demo.titles[item - 1]))
    old, new = by_year[:300], by_year[-300:]
    asked = [
        (luck.sample(history, 10), luck.choice(item))
        for history in (old, new)
        for item in (old, new)
        for _ in range(10)
    ]
    found = agent(tiny).probabilities(asked)
    old_old, old_new, new_old, new_new = (mean(found[i : i + 10]) for i in range(0, 40, 10))
    assert old_old < min(old_new, new_old) < max(old_new, new_old) < new_new
    assert new_new - old_old > 0.5


def test_as_text_the_likelier_digit_counts_and_any_server_says_it(
    tiny: TinyServer,
    foreign: TransformersServe,
    agent: MakeAgent,
    asked: Asked,
    expected: list[float],
) -> None:
    digits = [float(chance > 0.5) for chance in expected]
    assert set(digits) == {0.0, 1.0}
    assert agent(tiny, reads="text").probabilities(asked) == digits
    assert agent(foreign, reads="text").probabilities(asked) == digits
    one = agent(tiny, reads="json")
    assert one.probabilities(asked) == digits
    assert set(one.client.usage.failures) == {"digit schema refused"}
    one = agent(foreign)  # it does not refuse to tell probabilities, it leaves them out
    assert one.probabilities(asked) == digits
    assert one.client.usage.n_requests == N_ASKED
    assert set(one.client.usage.failures) == {"logprobs ignored"}
    assert one.client.usage.failures["logprobs ignored"] <= CONCURRENCY  # then it is not asked


def test_many_at_once_are_answered_as_one_by_one(
    tiny: TinyServer, agent: MakeAgent, asked: Asked
) -> None:
    one_by_one = agent(tiny, concurrency=1).probabilities(asked[:CONCURRENCY])
    assert agent(tiny, concurrency=CONCURRENCY).probabilities(asked[:CONCURRENCY]) == one_by_one


def test_prompts_with_other_tasks_are_not_mixed_up(
    tiny: TinyServer, agent: MakeAgent, asked: Asked, computed: Any
) -> None:
    zero, one = computed.tokenizer.convert_tokens_to_ids(["0", "1"])
    for domain in ("generic", "music", "generic"):  # the server keeps what it made of a task
        writer = agent(tiny, domain=domain)
        rows = [computed(writer.prompt(*pair)) for pair in asked[:3]]
        expected = [torch.sigmoid(row[one] - row[zero]).item() for row in rows]
        assert writer.probabilities(asked[:3]) == pytest.approx(expected, abs=1e-5)


def test_a_prompt_beyond_the_context_is_an_error_where_the_server_says_so(
    tiny: TinyServer, foreign: TransformersServe, tmp_path: Path
) -> None:
    prompt, start = (Message("user", "Horizon " * 2 * tiny_model.MAX_TOKENS),), time.monotonic()
    with closing(AnswerCache(tmp_path / "answers.sqlite")) as cache:
        options = ClickAgentOptions(url=tiny.url, model=tiny.model)
        with closing(LLMClient(options, cache)) as client:
            with pytest.raises(LLMError, match="maximum context length is 1024 tokens"):
                client.ask([prompt], wants=("logprobs",))
            assert client.usage.n_requests == 2  # the second without probabilities
        options = ClickAgentOptions(url=foreign.url, model=foreign.model)
        with closing(
            LLMClient(options, cache)
        ) as client:  # it reads on, with positions never trained
            (answer,) = client.ask([prompt])
            assert answer.prompt_tokens > tiny_model.MAX_TOKENS
    assert time.monotonic() - start < 20


def test_an_unknown_model_is_an_error(
    tiny: TinyServer, foreign: TransformersServe, agent: MakeAgent, asked: Asked
) -> None:
    with pytest.raises(LLMError, match=r"does not exist.*is there a model 'other'"):
        agent(tiny, model="other").probabilities(asked[:3])
    with pytest.raises(LLMError, match="refuses a request: status 400"):
        agent(foreign, model="other").probabilities(asked[:3])


def test_a_server_that_dies_and_comes_back_answers_every_prompt_once(
    tiny: TinyServer, agent: MakeAgent, asked: Asked, expected: list[float]
) -> None:
    n_before, at_death = len(tiny.answered()), []

    def restart() -> None:
        tiny.wait_for(n_before + 20)
        tiny.kill()
        at_death.extend(tiny.answered()[n_before:])
        tiny.start()

    one = agent(tiny, concurrency=8)
    restarting = threading.Thread(target=restart)
    restarting.start()
    found = one.probabilities(asked)
    restarting.join()
    assert found == pytest.approx(expected, abs=1e-5)
    assert one.client.usage.failures["connection"] > 0
    assert one.client.cache.statistics()[:2] == (N_ASKED, N_ASKED)
    answered = tiny.answered()[n_before:]
    assert len(set(answered)) == N_ASKED
    twice = [prompt for prompt in set(answered) if answered.count(prompt) > 1]
    assert set(twice) <= set(at_death[-8:])  # on their way when it died


N_USERS, N_ROUNDS = 40, 2
RUN = [
    "run",
    "--dataset=demo",
    f"--n-users={N_USERS}",
    "--n-targets=1",
    f"--n-rounds={N_ROUNDS}",
    "--policy=popular",
    "--set=graphau.stopping.n_epochs=1",
    "--set=graphau.stopping.min_epochs=1",
    "--set=graphau.embedding_dim=8",
    "--set=encoder_options.embedding_dim=8",
    "--set=encoder_options.stopping.n_epochs=1",
    "--response=llm",
]


def start(*arguments: str) -> "subprocess.Popen[str]":
    """The installed command."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("proactrec")), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_a_run_is_killed_resumed_and_replayed_without_the_server(
    tiny: TinyServer, here: Command, tmp_path: Path
) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    run = [*RUN, f"--llm-model={tiny.model}", "--set=response.concurrency=4"]
    asking = [*run, f"--llm-url={tiny.url}", f"--out={out}"]
    n_before = len(tiny.answered())
    with start(*asking) as process:
        try:
            tiny.wait_for(n_before + N_USERS // 2, process)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "metrics.json").exists()
    time.sleep(0.5)  # what was under way is answered to nobody
    answers = out / "artefacts" / "answers.sqlite"
    with closing(AnswerCache(answers)) as cache:
        n_lost = len(tiny.answered()) - n_before - cache.statistics().n_entries
    assert 0 <= n_lost <= 4
    assert here(*asking).code == 0
    answered = tiny.answered()[n_before:]
    assert len(answered) - len(set(answered)) == n_lost
    tiny.kill()
    assert here(*run, "--replay", f"--set=response.cache={answers}", f"--out={again}").code == 0
    assert (again / "metrics.json").read_bytes() == (out / "metrics.json").read_bytes()
    pairs = json.loads((out / "metrics.json").read_text())["pairs"]
    assert pairs["n_pairs"] <= len(set(answered)) <= N_ROUNDS * pairs["n_pairs"]
    assert pairs["n_no_answer"] == 0
