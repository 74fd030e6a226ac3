"""`proactrec llm study` on the toy world, with a scripted server as the language model."""

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proactrec.guidance.log import GuidanceLog
from proactrec.llm.cache import AnswerCache

from ..llm.conftest import Server
from .conftest import FAST, Command, Toy

N_ASKED, N_GUIDED, N_ROUNDS, LIMIT = 12, 20, 5, 40
MODES = ("probability", "json", "text")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server.log", {"latency_s": 0.0})
    yield server
    server.kill()


@pytest.fixture
def study(toy: Toy, copied: Path) -> list[str]:
    arguments = ["llm", "study", *toy.files, "--category", "Drama", *FAST, "--out", str(copied)]
    return [*arguments, "--llm-model", "tiny", "--set", "response.price_in=2"]


def test_a_study_goes_on_and_its_replay_gives_the_same(
    study: list[str], server: Server, copied: Path, here: Command
) -> None:
    arguments = [*study, "--llm-url", server.url, "--journeys", "2"]
    arguments += ["--n-asked", str(N_ASKED), "--n-users", str(N_GUIDED)]
    outcome = here(*arguments, "--set", f"response.max_requests={LIMIT}")
    assert outcome.code == 2
    assert f"max_requests={LIMIT} would be passed" in outcome.errors[0]
    assert not (copied / "study.json").exists()
    outcome = here(*arguments)
    assert outcome.code == 0, outcome.stderr
    n_most = N_GUIDED * 3 * N_ROUNDS
    assert f"guidance may need up to {n_most} answers of the language model" in outcome.stderr
    figures = json.loads((copied / "study.json").read_text())
    spent = json.loads((copied / "run.json").read_text())
    with closing(AnswerCache(copied / "artefacts" / "answers.sqlite")) as cache:
        held = cache.statistics()
    assert held.n_entries == held.n_paid == LIMIT + spent["usage"]["n_requests"]
    assert held.n_entries == server.counts()["n_requests"]
    check_held_out(figures["held_out"], pl.read_csv(copied / "tables" / "questions.csv"))
    check_guidance(figures, copied)
    check_cost(figures["cost"], held.prompt_tokens / held.n_entries)
    check_files(figures, copied, outcome.stdout)

    first = (copied / "study.json").read_bytes()
    server.kill()
    outcome = here(*arguments, "--replay", "--json")
    assert outcome.code == 0, outcome.stderr
    assert (copied / "study.json").read_bytes() == first
    printed = json.loads(outcome.stdout)
    assert printed.pop("spent")["usage"]["n_requests"] == 0
    assert printed == figures


def check_held_out(found: dict[str, Any], questions: pl.DataFrame) -> None:
    """Figures are those of the chances in the table."""
    assert found["n_questions"] == len(questions) == 3 * N_ASKED
    assert questions["kind"].to_list() == ["real", "random", "popular"] * N_ASKED
    for name in ("distribution", "llm"):
        by_kind = {kind: questions.filter(kind=kind)[name] for kind in ("real", "random")}
        pairs = list(itertools.product(*by_kind.values()))
        wanted = sum((real > other) + (real == other) / 2 for real, other in pairs) / len(pairs)
        assert found["click_models"][name]["auc"]["random"]["mean"] == pytest.approx(wanted)
    assert found["click_models"]["distribution"]["order"]["mean_difference"]["high"] == 0
    # The scripted server's answer hangs on every letter of the prompt.
    assert found["click_models"]["llm"]["order"]["mean_difference"]["low"] > 0
    assert set(found["modes"]) == set(MODES)
    for mode in MODES:  # all read the same digit
        assert found["modes"][mode]["agreement"]["kappa"]["mean"] == 1
        assert found["modes"][mode]["share_without_answer"] == 0
    assert [found["modes"][mode]["share_graded"] for mode in MODES] == [1, 0, 0]


def check_guidance(figures: dict[str, Any], out: Path) -> None:
    """IoI and journeys are those of the logs."""
    names, logs = ("distribution", "llm"), {}
    for path in (out / "artefacts").glob("guidance-*"):
        inputs = json.loads((path / "manifest.json").read_text())["inputs"]
        if inputs.get("n_users") == N_GUIDED:  # not that of the run whose stages were copied
            logs[names["response" in inputs]] = GuidanceLog.load(path / "log.parquet")
    assert set(logs) == set(names)
    curves = pl.read_csv(out / "tables" / "rounds.csv")
    for name, log in logs.items():
        assert 0 < len(set(log.user_idx)) <= N_GUIDED
        gain = (log.interest - log.interest[:, :1]).mean(0)[1:]
        curve = curves.filter(click_model=name, metric="ioi")
        assert curve["mean"].to_list() == pytest.approx(gain.tolist())
        assert (curve["low"] <= curve["mean"]).all()
    differences = {d["metric"]: d["mean"] for d in figures["differences"] if d["round"] == N_ROUNDS}
    last = {name: figures["guidance"][name]["curves"]["ioi"][-1]["mean"] for name in names}
    assert differences["ioi"] == pytest.approx(last["llm"] - last["distribution"])
    assert len(figures["journeys"]) == 2
    for journey in figures["journeys"]:
        assert set(journey["click_models"]) == set(names)
        for of in journey["click_models"].values():
            assert 1 <= len(of["rounds"]) <= N_ROUNDS
            if of["rounds"][-1]["is_target"] and of["rounds"][-1]["accepted"]:
                assert of["rounds"][-1]["title"] == journey["target"]
    assert figures["cost"]["n_decisions"]["guidance"] == int(logs["llm"].is_shown.sum())


def check_cost(cost: dict[str, Any], mean_tokens: float) -> None:
    """Tokens of the held-out questions are much like those of all answers; 2 a million."""
    assert cost["n_decisions"]["held_out"] == 3 * N_ASKED * (1 + len(MODES))
    assert cost["prompt_tokens"] == pytest.approx(mean_tokens, rel=0.05)
    assert cost["answer_tokens"] == 1
    assert cost["cost_of_1000"] == pytest.approx(cost["prompt_tokens"] * 2 / 1000)


def check_files(figures: dict[str, Any], out: Path, stdout: str) -> None:
    page = (out / "study.html").read_text()
    assert page.count("<svg") == 4
    assert all(journey["target"] in page for journey in figures["journeys"])
    for name in ("reliability", "popularity", "ioi", "ior"):
        assert (out / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for title in ("held-out items", "reading an answer", "guidance", "cost"):
        assert title in stdout
    assert str(out / "study.json") in stdout.replace("\n", "")
    assert not list(out.rglob(".study*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "guess"], "--mode must be probability, json or"),
        (["--n-negatives", "99"], "n_negatives must be at most 28"),
        (["--replay"], "a replay may not ask the model"),
        (["--llm-url", "http://127.0.0.1:9/v1", "--set", "response.give_up_s=0.1"], "127.0.0.1:9"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    arguments: list[str], sentence: str, study: list[str], copied: Path, here: Command
) -> None:
    outcome = here(*study, *arguments)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert sentence in outcome.errors[0]
    assert not (copied / "study.json").exists()
