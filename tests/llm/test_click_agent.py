"""Users played by a language model: against a real server, through the real rollout."""

import hashlib
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.llm.click_agent import ONCE_MORE, ClickAgent, ClickAgentOptions
from proactrec.llm.errors import LLMError
from proactrec.simulator.response import Shown

Serve = Callable[..., Any]
LIKELY = 1 / (1 + math.exp(-1.25))  # of log probabilities -0.25 and -1.5
N_USERS, N_ITEMS = 12, 16


def title(item: int) -> str:
    return f"Item number {item}"


def built(rows: list[tuple[str, str, int]], titles: Sequence[str]) -> Dataset:
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    ids = [f"i{i:04}" for i in range(1, len(titles) + 1)]
    lists = pl.Series([["all"]] * len(ids), dtype=pl.List(pl.String))
    catalogue = pl.DataFrame({"item_id": ids, "title": titles, "categories": lists})
    return Dataset.build("toy", Interactions(events), Catalogue(catalogue))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rows = [
        (f"u{u:02}", f"i{(u * 5 + t * 3) % N_ITEMS + 1:04}", t)
        for u in range(N_USERS)
        for t in range(6)
    ]
    return built(rows, [title(i) for i in range(1, N_ITEMS + 1)])


@pytest.fixture
def agent(dataset: Dataset, tmp_path: Path) -> Any:
    made: list[ClickAgent] = []

    def make(url: str, **options: Any) -> ClickAgent:
        chosen = ClickAgentOptions(
            url=url, **{"model": "tiny", "backoff_s": 0.01, "give_up_s": 2.0} | options
        )
        made.append(ClickAgent(dataset, chosen, tmp_path / "answers.sqlite"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def shown(items: list[int], recent: list[list[int]]) -> Shown:
    n = len(items)
    return Shown(torch.arange(n), torch.tensor(items), torch.tensor(recent), torch.zeros(n), 0.0)


def expected(agent: ClickAgent, history: list[int], item: int) -> float:
    asked = agent.prompt(history, item)[-1].content
    accepts = hashlib.sha256(asked.encode()).digest()[0] % 2
    return LIKELY if accepts else 1 - LIKELY


def test_a_click_is_the_probability_of_the_answer_token(serve: Serve, agent: Any) -> None:
    one = agent(serve().url)
    recent = [[0, 0, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0], [5, 6, 7, 8]]
    found = one.respond(shown([9, 9, 0, 2], recent))
    assert found[2].isnan()  # nothing was shown
    for row, item in ((0, 9), (1, 9), (3, 2)):
        assert found[row].item() == pytest.approx(expected(one, recent[row], item))
    assert one.client.usage.n_requests == 3


def test_the_prompt_holds_the_history_newest_last_and_the_item(agent: Any) -> None:
    from .fence_reader import inside_fences, outside_fences  # a child imports this file alone

    one = agent("http://127.0.0.1:9/v1", history_len=3)
    prompt = one.prompt([0, 0, 5, 6, 7, 8], 2)
    lines = inside_fences(prompt[-1:])
    assert [json.loads(line) for line in lines] == [title(i) for i in (6, 7, 8, 2)]
    assert title(2) not in outside_fences(prompt)


def test_without_probabilities_the_digit_counts(serve: Serve, agent: Any) -> None:
    one = agent(serve(logprobs=False).url)
    recent = [[1, 2, 3, item] for item in range(4, 12)]
    found = one.respond(shown([12] * 8, recent))
    wanted = [round(expected(one, history, 12)) for history in recent]
    assert found.tolist() == wanted
    assert set(wanted) == {0, 1}


def test_what_cannot_be_read_is_asked_once_more_then_there_is_no_answer(
    serve: Serve, agent: Any
) -> None:
    server = serve(says="Well, it depends.")
    found = agent(server.url).respond(shown([9, 8], [[1, 2], [3, 4]]))
    assert found.isnan().all()
    asked = server.lines()
    assert sum(line == ONCE_MORE for line in asked) == 2
    assert server.counts()["n_requests"] == 4


def run(dataset_file: Path, store: Path, url: str, **response: Any) -> Experiment:
    once = {"n_epochs": 1}
    options = ExperimentOptions().changed(
        {
            "dataset.name": "csv",
            "dataset.filter": "none",
            "dataset.table": {"events": dataset_file},
            "target_items": ("1", "2"),
            "policy": "popular",
            "graphau.embedding_dim": 8,
            "graphau.stopping": once,
            "encoder_options": {"embedding_dim": 8, "max_seq_len": 8, "stopping": once},
            "protocol.rollout.n_rounds": 3,
            "response": {"kind": "llm", "url": url, "model": "tiny", "backoff_s": 0.01, **response},
        }
    )
    return Experiment(options, store)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "events.csv"
    lines = [f"{u},{(u * 5 + t * 3) % 16},{t}" for u in range(24) for t in range(6)]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    return path


def test_a_run_replays_from_its_answers_without_the_model(
    serve: Serve, events: Path, tmp_path: Path
) -> None:
    server = serve()
    first = run(events, tmp_path / "store", server.url)
    log = first.log
    assert np.isin(log.accept_prob[log.is_shown].round(6), np.round([LIKELY, 1 - LIKELY], 6)).all()
    assert 0 < log.accepted.sum() < log.is_shown.sum()
    assert first.result().response["model"] == "tiny"
    assert first.result().pairs.n_no_answer == 0
    server.kill()
    answers = str(tmp_path / "store" / "answers.sqlite")
    again = run(events, tmp_path / "other", "http://127.0.0.1:9/v1", replay=True, cache=answers)
    assert again.result().metrics == first.result().metrics
    assert again.result().response == first.result().response
    np.testing.assert_array_equal(again.log.item_idx, log.item_idx)
    with pytest.raises(LLMError, match="replay may not ask"):
        _ = run(events, tmp_path / "third", server.url, replay=True).log


def test_killed_in_the_middle_nothing_is_paid_twice(
    serve: Serve, events: Path, tmp_path: Path
) -> None:
    server = serve(latency_s=0.05)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom llm.test_click_agent import run\n"
        "run(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], concurrency=4).log"
    )
    here, store = str(Path(__file__).parents[1]), tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", code, here, events, store, server.url])
    end = time.monotonic() + 60
    while server.counts()["n_requests"] < 20:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run(events, store, server.url, concurrency=4)
    log = done.log
    n_different = len(
        {(tuple(history), int(item)) for history, item in zip(*histories_of(done), strict=True)}
    )
    assert server.counts()["n_requests"] <= n_different + 4  # those under way at the kill
    assert int(log.is_shown.sum()) >= n_different > 20


def histories_of(experiment: Experiment) -> tuple[list[list[int]], list[int]]:
    """Recent items and shown item of every decision."""
    log, known = experiment.log, experiment.dataset.before("train")
    histories, items = [], []
    for row, user in enumerate(log.user_idx):
        history = known.of(int(user)).tolist()
        for item, accepted in zip(log.item_idx[row], log.accepted[row], strict=True):
            if item:
                histories.append(history[-20:])
                items.append(int(item))
            if accepted:
                history = [*history, int(item)]
    return histories, items


def test_answers_depend_on_the_prompt_and_not_on_the_speed(dataset: Dataset) -> None:
    def named(**changes: Any) -> dict[str, Any]:
        return ClickAgent.fingerprint(ClickAgentOptions(model="tiny", **changes))

    same = named()
    assert named(concurrency=99, url="http://elsewhere/v1", max_cost=1, price_in=1) == same
    for change in ({"domain": "movies"}, {"history_len": 5}, {"temperature": 1.0}):
        assert named(**change) != same
