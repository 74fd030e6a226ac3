"""A run decided by a real language model: killed, resumed, and replayed without the model.

Usage: python benchmarks/llm_decisions.py PAGE.md [--n-rounds 20] [--policy next-item]
ML-100k (folder in PROACTREC_DATA), one Sci-Fi target, all users. The model is the tiny one of
tests/llm, trained on the spot and served by a process of its own, which counts its answers.
Finished stages come from runs/artefacts. Needs the dependency group `test`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from shared.page import origin, page_parser, write_page

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "llm"))

import tiny_model  # type: ignore[import-not-found]
from real_servers import TinyServer  # type: ignore[import-not-found]

from proactrec.data.load import load_dataset
from proactrec.fitting.fitting import ANSWERS
from proactrec.guidance.log import GuidanceLog
from proactrec.llm.cache import AnswerCache

STAGES = Path("runs/artefacts")
TRAINED = ("interest", "encoder", "intents", "next-item")
CONCURRENCY = 16
QUIET_S = 2.0


class Reached(NamedTuple):
    """When the server had answered how often."""

    seconds: float
    n_answers: int


class Study:
    """One run in a folder, and the server that decides it."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, server: TinyServer) -> None:
        self._arguments, self._folder, self._server = arguments, folder, server

    def command(self, name: str, *more: str) -> list[str]:
        """The run's command, with a store of its own that has all that was trained."""
        store = self._folder / name / "artefacts"
        if not store.exists():
            link_stages(store)
        return [
            str(Path(sys.executable).with_name("proactrec")),
            "run",
            *("--dataset", "ml-100k", "--filter", "paper", "--category", "Sci-Fi"),
            *("--n-targets", "1", "--n-rounds", str(self._arguments.n_rounds)),
            *("--policy", self._arguments.policy, "--seed", str(self._arguments.seed)),
            # Users who have the target are guided, too: every user, in every round.
            *("--set", "protocol.world.owners=zero"),
            *("--response", "llm", "--llm-url", self._server.url),
            *("--llm-model", self._server.model, "--set", "response.domain=movies"),
            *("--set", f"response.concurrency={CONCURRENCY}"),
            *("--out", str(self._folder / name)),
            *more,
        ]

    def answers(self, name: str = "run") -> Path:
        """Where a run keeps answers."""
        return self._folder / name / "artefacts" / ANSWERS

    def n_stored(self) -> int:
        """Answers that the run has."""
        with closing(AnswerCache(self.answers())) as cache:
            return cache.statistics().n_entries

    def asks(self, stop_at: int | None) -> list[Reached]:
        """Run, to the end or until the server has answered so often; then kill it."""
        process = subprocess.Popen(self.command("run"), env=environment())
        reached: list[Reached] = []
        while process.poll() is None:
            n_answers = self.n_answered()
            reached.append(Reached(time.perf_counter(), n_answers))
            if stop_at is not None and n_answers >= stop_at:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.1)
        wanted = 0 if stop_at is None else -signal.SIGKILL
        if process.returncode != wanted:
            raise SystemExit(f"the run ended with {process.returncode}, not {wanted}")
        self._settle()
        return reached

    def n_answered(self) -> int:
        """Answers that left the server."""
        return len(self._server.answered())

    def replay(self) -> None:
        """The same run elsewhere, from the stored answers."""
        more = ("--replay", "--set", f"response.cache={self.answers()}")
        subprocess.run(self.command("replay", *more), env=environment(), check=True)

    def result(self, name: str, file: str) -> Any:
        """What a run wrote."""
        return json.loads((self._folder / name / file).read_text())

    def is_same(self) -> bool:
        """Whether run and replay have the same figures, byte for byte."""
        files = [self._folder / name / "metrics.json" for name in ("run", "replay")]
        return files[0].read_bytes() == files[1].read_bytes()

    def n_decisions(self) -> int:
        """Items shown."""
        (path,) = (self._folder / "run" / "artefacts").glob("guidance-*/log.parquet")
        return int(GuidanceLog.load(path).is_shown.sum())

    def _settle(self) -> None:
        """Wait until what was under way is answered, to nobody."""
        n_answers = -1
        while n_answers != self.n_answered():
            n_answers = self.n_answered()
            time.sleep(QUIET_S)


def main() -> None:
    """Run, kill, resume, replay, and write the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--n-rounds", type=int, default=20)
    parser.add_argument("--policy", default="next-item")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill-at", type=float, default=0.3, help="share of the decisions")
    arguments = parser.parse_args()
    dataset = load_dataset("ml-100k", filter="paper")
    STAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STAGES.parent) as name:
        folder = Path(name).resolve()
        start = time.process_time()
        tiny_model.build(folder / "tiny", dataset.titles, domain="movies")
        seconds = time.process_time() - start
        server = TinyServer(folder / "tiny", folder / "server.log")
        try:
            stop_at = round(arguments.kill_at * dataset.n_users * arguments.n_rounds)
            found = measured(Study(arguments, folder, server), server, stop_at)
        finally:
            server.kill()
    found |= {"model_cpu_seconds": round(seconds, 1), "concurrency": CONCURRENCY}
    body = table(found, arguments)
    print(body)
    settings = {key: str(value) for key, value in vars(arguments).items()}
    write_page(
        arguments.page,
        "A language model decides: killed, resumed, replayed",
        {"origin": origin(), "arguments": settings, **found},
        body,
    )


def measured(study: Study, server: TinyServer, stop_at: int) -> dict[str, Any]:
    """Counts and speeds."""
    first = study.asks(stop_at)
    n_at_kill, n_stored = study.n_answered(), study.n_stored()
    second = study.asks(None)
    n_answered = study.n_answered()
    server.kill()
    study.replay()
    how, again = (study.result(name, "run.json") for name in ("run", "replay"))
    n_decisions, n_different = study.n_decisions(), len(set(server.answered()))
    return {
        "n_users": study.result("run", "metrics.json")["n_users"],
        "n_decisions": n_decisions,
        "n_different_prompts": n_different,
        "n_answered_at_kill": n_at_kill,
        "n_stored_at_kill": n_stored,
        "n_answered": n_answered,
        "n_repeated": n_answered - n_different,
        "n_stored": study.n_stored(),
        "n_requests_after_resume": how["usage"]["response"]["n_requests"],
        "n_retries_after_resume": how["usage"]["response"]["n_retries"],
        "n_requests_of_replay": again["usage"]["response"]["n_requests"],
        "decisions_a_second": {"first run": rate(first), "resumed": rate(second)},
        "replayed_decisions_a_second": round(n_decisions / again["seconds"]["guidance"]),
        "is_same": study.is_same(),
        "response": study.result("run", "metrics.json")["response"],
        "pairs": study.result("run", "metrics.json")["pairs"],
        "metrics": study.result("run", "metrics.json")["metrics"],
    }


def rate(reached: list[Reached]) -> float:
    """Answers a second, from the first that was seen to the last."""
    some = [point for point in reached if point.n_answers > reached[0].n_answers]
    ended = next(point for point in some if point.n_answers == some[-1].n_answers)
    n, seconds = ended.n_answers - some[0].n_answers, ended.seconds - some[0].seconds
    return round(n / seconds, 1) if seconds else 0.0


def link_stages(store: Path) -> None:
    """What was trained, as hard links: stages are never written again."""
    for kind in TRAINED:
        for stage in STAGES.glob(f"{kind}-*"):
            (store / stage.name).mkdir(parents=True)
            for file in stage.iterdir():
                os.link(file, store / stage.name / file.name)


def environment() -> dict[str, str]:
    """One thread for the run; the model has another."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def table(found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Markdown."""
    rates = found["decisions_a_second"]
    same = "the same, byte for byte" if found["is_same"] else "**different**"
    n_lost = found["n_answered_at_kill"] - found["n_stored_at_kill"]
    rows = {
        "users × target × rounds": f"{found['n_users']} × 1 × {arguments.n_rounds}",
        "decisions": f"{found['n_decisions']:,}",
        "different prompts among them": f"{found['n_different_prompts']:,}",
        "answered by the server when the run was killed": f"{found['n_answered_at_kill']:,}",
        "of these stored": f"{found['n_stored_at_kill']:,}",
        "lost: under way at the kill": f"{n_lost} (at most {found['concurrency']})",
        "asked after resuming": f"{found['n_requests_after_resume']:,}",
        "answered twice in all": f"{found['n_repeated']}",
        "stored answers that were asked for again": f"{found['n_repeated'] - n_lost}",
        "asked by the replay, the server stopped": f"{found['n_requests_of_replay']}",
        "`metrics.json` of run and replay": same,
        "no readable answer": f"{found['pairs']['n_no_answer']}",
        "decisions a second, first run": f"{rates['first run']:.0f}",
        "decisions a second, resumed": f"{rates['resumed']:.0f}",
        "decisions a second, replayed": f"{found['replayed_decisions_a_second']:,}",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    note = (
        "The model: a Llama of two layers and 32 dimensions, trained for "
        f"{found['model_cpu_seconds']:.0f} CPU-seconds on click prompts, one forward pass at a "
        f"time on one core; {found['concurrency']} requests at once. Policy {arguments.policy}, "
        "protocol `common`, except that users who have the target are guided, too. "
        "The figures of this model say nothing about users: it knows years of titles only."
    )
    return "\n".join(["| figure | value |", "| --- | --- |", *lines, "", note])


if __name__ == "__main__":
    main()
