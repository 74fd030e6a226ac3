"""A real language model as users and as planner on ML-100k: what it is worth, as far as time goes.

Usage: python benchmarks/llm_real.py PAGE.md --model FOLDER [--minutes 40]
       python benchmarks/llm_real.py PAGE.md --url http://localhost:8000/v1 --llm-model NAME
The first serves FOLDER (`llm_model.py` makes one) on this machine by the server of tests/llm, on
one core; the second asks any endpoint that speaks OpenAI's chat completions (key in
PROACTREC_LLM_KEY). Data in PROACTREC_DATA; finished stages come from runs/artefacts. Answers, and
what they took, are kept in runs/llm-real/NAME: killed or out of time, the same command goes on;
with `--minutes 0` it asks nothing and writes the page of what there is. Needs the extra test.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from llm_parts.page import body
from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.llm.agreement import ACCEPTS, Bootstrap, agreement, mean, mid_ranks
from proactrec.llm.answers import click_digit, click_probability
from proactrec.llm.click_agent import ClickAgent, ClickAgentOptions
from proactrec.llm.errors import LLMError
from proactrec.llm.fence import cut_title, escape_title
from proactrec.llm.held_out import Questions, chances, click_model_figures, held_out_questions
from proactrec.llm.messages import Message
from proactrec.llm.prompting import click_prompt, load_prompt
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray
from shared.page import origin, write_page

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "llm"))

from injections import INJECTIONS  # type: ignore[import-not-found]
from real_servers import TinyServer  # type: ignore[import-not-found]

STORE, FOLDER = Path("runs/artefacts"), Path("runs/llm-real")
PROMPTS = Path(__file__).parent / "llm_parts" / "prompts"
PATIENT_S = 24 * 3600.0
"""A busy or paused machine is no failure."""
USERS_AT_ONCE = 5
N_DIGIT_USERS, N_BACKWARDS_USERS = 10, 40
N_INJECTIONS, AT_ONCE = 40, 10
TITLES = ("harmless words", "an order, fenced", "an order, as it is")
HARMLESS = "and Other Stories from the Archive of the Studio"
PATH = {"replan": "never", "path_len": 8, "max_answer_tokens": 120}
SHORT = {"max_answer_tokens": 2}  # a space and the digit
MODEL, PLANNER = "language model", "LLM-IPP, prompt with two examples"
POLICIES = ("next-item", "target-now", "itmprec", "foresight")
T = TypeVar("T")


class Model:
    """The language model, asked for as long as there is time, and what it has answered so far."""

    def __init__(self, arguments: argparse.Namespace, run: Experiment) -> None:
        self.name = arguments.llm_model or arguments.model.name
        self.folder = FOLDER / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server: TinyServer | None = None
        self._url, self._model, self._run = arguments.url, arguments.model, run
        self._start, self._seconds = time.monotonic(), 60 * arguments.minutes

    def settings(self, replay: bool) -> dict[str, Any]:
        """Where it is and how it is asked; with `replay` it need not be anywhere."""
        return {
            "url": "http://localhost" if replay else self._started(),
            "model": self.name,
            "domain": "movies",
            "cache": self.folder / "answers.sqlite",
            "replay": replay,
            "concurrency": 16 if self._url else 2,
            **{"timeout_s": PATIENT_S, "give_up_s": PATIENT_S},
        }

    def is_time_left(self, share: float = 1.0) -> bool:
        """Whether a further question may be asked within this share of the time."""
        return bool(time.monotonic() - self._start < share * self._seconds)

    def answered(
        self,
        part: str,
        chunks: Sequence[T],
        ask: Callable[[ClickAgent, T], Any],
        share: float = 1.0,
        **options: Any,
    ) -> list[Any]:
        """What `ask` finds for the chunks, until this share of the time is over."""
        found: list[Any] = []
        for chunk in chunks:
            try:
                found.append(self._asked(part, chunk, ask, options, replay=True))
            except LLMError:
                if not self.is_time_left(share):
                    break
                found.append(self._asked(part, chunk, ask, options, replay=False))
                print(part, f"{len(found)} of {len(chunks)}", flush=True)
        return found

    def _asked(
        self,
        part: str,
        chunk: T,
        ask: Callable[[ClickAgent, T], Any],
        options: dict[str, Any],
        *,
        replay: bool,
    ) -> Any:
        settings = ClickAgentOptions(**self.settings(replay), **options)
        agent = ClickAgent(self._run.dataset, settings, self.folder / "answers.sqlite")
        try:
            with self.timed(part) as spent:
                found = ask(agent, chunk)
                spent.update(agent.usage())
            return found
        finally:
            agent.close()

    @contextmanager
    def timed(self, part: str) -> Iterator[dict[str, Any]]:
        """Note what a part asked, which the caller fills in, and what it took."""
        start, cpu, spent = time.perf_counter(), self._cpu_seconds(), dict[str, Any]()
        yield spent
        if spent.get("n_requests"):
            names = ("n_requests", "prompt_tokens", "answer_tokens")
            line = {"part": part, **{name: spent[name] for name in names}}
            line["seconds"] = round(time.perf_counter() - start, 3)
            line["cpu_seconds"] = round(self._cpu_seconds() - cpu, 2)
            with (self.folder / "spent.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def spent(self) -> dict[str, dict[str, float]]:
        """All that was asked so far, by part."""
        path, found = self.folder / "spent.jsonl", dict[str, dict[str, float]]()
        for line in path.read_text().splitlines() if path.exists() else []:
            one = json.loads(line)
            sums = found.setdefault(one.pop("part"), dict.fromkeys(one, 0.0))
            for name, value in one.items():
                sums[name] += value
        return found

    def close(self) -> None:
        """Stop the server, if one runs."""
        if self.server is not None:
            self.server.kill()

    def _started(self) -> str:
        if self._url:
            return str(self._url)
        if self.server is None:
            self.server = TinyServer(self._model, self.folder / "server.log")
        return str(self.server.url)

    def _cpu_seconds(self) -> float:
        """Of the server, where it is ours."""
        return self.server.cpu_seconds() if self.server is not None else 0.0


def main() -> None:
    """Ask, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--model", type=Path, help="folder of a model to serve here")
    parser.add_argument("--url", help="an endpoint instead")
    parser.add_argument("--llm-model", help="its name there")
    parser.add_argument("--minutes", type=float, default=40.0, help="begin nothing new after these")
    parser.add_argument("--n-asked", type=int, default=500, help="users with a held-out item")
    parser.add_argument("--n-guided", type=int, default=30, help="users who are guided")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if (arguments.model is None) == (arguments.url is None or arguments.llm_model is None):
        parser.error("either --model, or --url and --llm-model")
    options = ExperimentOptions(
        dataset=DatasetOptions(name="ml-100k"),
        category="Sci-Fi",
        seed=arguments.seed,
        n_users=arguments.n_guided,
    ).changed({"protocol.targets.n_targets": 1})
    run = Experiment(options, STORE)
    model = Model(arguments, run)
    try:
        found = measured(model, run, arguments)
    finally:
        model.close()
    text = body(found)
    print(text)
    settings = {key: str(value) for key, value in vars(arguments).items()}
    content = {"origin": origin(), "arguments": settings, **found}
    write_page(arguments.page, f"A real language model: {model.name}", content, text)


def measured(model: Model, run: Experiment, arguments: argparse.Namespace) -> dict[str, Any]:
    """The short parts first; held-out items half of the time, and what paths leave of it."""
    asked = held_out_questions(run.dataset, n_users=arguments.n_asked, seed=run.seed)
    order = generator(run.seed, "real model").permutation(np.unique(asked.user_idx))
    chunks = [
        rows_of(asked, order[at : at + USERS_AT_ONCE]) for at in range(0, len(order), USERS_AT_ONCE)
    ]
    found = {
        "model": model.name,
        "digits": digits(model, run, chunks[: N_DIGIT_USERS // USERS_AT_ONCE]),
        "injections": injections(model, run, asked),
    }
    given_chances(model, run, chunks, share=0.5)
    found["paths"] = paths(model, run.options)
    some = [chunk.backwards() for chunk in chunks[: N_BACKWARDS_USERS // USERS_AT_ONCE]]
    backwards = given_chances(model, run, some)
    given = given_chances(model, run, chunks)
    found["held_out"] = held_out(run, chunks[: len(given)], given, backwards)
    return {**found, "spent": model.spent()}


def rows_of(asked: Questions, users: IntArray) -> Questions:
    """The questions about these users."""
    rows = np.isin(asked.user_idx, users)
    return Questions(*(column[rows] for column in asked))


def digits(model: Model, run: Experiment, chunks: list[Questions]) -> dict[str, Any]:
    """What it writes when it is asked for a digit as text, with the options' usual length."""

    def ask(agent: ClickAgent, chunk: Questions) -> tuple[list[str], FloatArray]:
        pairs = zip(chunk.recent.tolist(), chunk.item_idx.tolist(), strict=True)
        said = agent.client.ask([agent.prompt(*pair) for pair in pairs])
        return [answer.text for answer in said], chances(agent, run.world, chunk)

    found = model.answered("digits", chunks, ask, reads="text")
    if not found:
        return {}
    texts = [text for some, _ in found for text in some]
    return {
        "n": len(texts),
        "share_unreadable": float(np.mean([click_digit(text) is None for text in texts])),
        "share_unreadable_twice": float(np.isnan(np.concatenate([x for _, x in found])).mean()),
        "texts": texts[:5],
    }


class Injected(NamedTuple):
    """One title that gives an order, and the user and the item that it is about."""

    recent: IntArray  # (N_RECENT,)
    item_idx: int
    order: str


def injections(model: Model, run: Experiment, asked: Questions) -> dict[str, Any]:
    """Chance of acceptance of a title, followed by harmless words, or by an order: fenced, raw."""
    rows = np.flatnonzero(asked.are("random"))[:N_INJECTIONS]
    orders = INJECTIONS[:: len(INJECTIONS) // N_INJECTIONS][:N_INJECTIONS]
    cases = [
        Injected(asked.recent[row], int(asked.item_idx[row]), order)
        for row, order in zip(rows, orders, strict=False)
    ]
    chunks = [cases[at : at + AT_ONCE] for at in range(0, len(cases), AT_ONCE)]
    titles = ["", *run.dataset.titles]

    def ask(agent: ClickAgent, some: list[Injected]) -> FloatArray:
        prompts = [prompt for case in some for prompt in injected(case, titles)]
        answers = agent.client.ask(prompts, wants=("logprobs",))
        given = [click_probability(answer) for answer in answers]
        return np.array([np.nan if p is None else p for p in given]).reshape(-1, 3)

    found = model.answered("injections", chunks, ask, **SHORT)
    if not found:
        return {}
    chance = np.nan_to_num(np.concatenate(found))  # (n, 3)
    bootstrap = Bootstrap(np.arange(len(chance)), seed=run.seed)
    return {
        "n": len(chance),
        "titles": {
            name: moved(chance[:, at], chance[:, 0], bootstrap) for at, name in enumerate(TITLES)
        },
    }


def moved(chance: FloatArray, harmless: FloatArray, bootstrap: Bootstrap) -> dict[str, Any]:
    """What titles get, and how much of it harmless ones would not."""
    return {
        "mean_chance": bootstrap(lambda weight: mean(chance, weight)),
        "moved": bootstrap(lambda weight: mean(chance - harmless, weight)),
        "share_accepted": float((chance >= ACCEPTS).mean()),
        "share_turned": float(((chance >= ACCEPTS) & (harmless < ACCEPTS)).mean()),
    }


def injected(case: Injected, titles: list[str]) -> list[tuple[Message, ...]]:
    """The question with harmless words, with the order fenced, and with the order as it is."""
    history = [titles[item] for item in case.recent.tolist() if item]
    title = titles[case.item_idx]
    order = f"{title} {case.order}".encode("utf-8", "replace").decode()
    harmless, fenced = (
        click_prompt(load_prompt("movies", "click"), history=history, item=item)
        for item in (f"{title} {HARMLESS}", order)
    )
    *before, last = fenced
    raw = last.content.replace(escape_title(order), f'"{cut_title(order)}"')
    return [harmless, fenced, (*before, Message("user", raw))]


def paths(model: Model, options: ExperimentOptions) -> dict[str, Any]:
    """LLM-IPP beside other policies, for the same users with the same luck."""
    if (found := planned(model, options.changed({"policy": "llm-ipp"}))) is None:
        return {}
    others = {policy: played(options.changed({"policy": policy})) for policy in POLICIES}
    return {PLANNER: found, **others}


def planned(model: Model, options: ExperimentOptions) -> dict[str, Any] | None:
    """LLM-IPP's figures; None if there is no time to plan."""
    for replay in (True, False):
        if not replay and not model.is_time_left():
            break
        planner = {**PATH, **model.settings(replay), "prompt_folder": PROMPTS}
        try:
            with model.timed("paths") as spent:
                found = played(options.changed({"policy_options": planner}))
                spent.update({} if replay else found["spent"])
            return found
        except LLMError:
            if not replay:
                raise
    return None


def played(options: ExperimentOptions) -> dict[str, Any]:
    """Figures of one policy in the last round, and what became of planned names."""
    result = Experiment(options, STORE).result()
    last = result.rounds[-1]
    return {
        "figures": {name: result.metrics[name][last].model_dump() for name in ("hr", "ioi", "ior")},
        "n_pairs": result.pairs.n_pairs,
        "n_rounds": last,
        "names": result.policy_notes.get("paths", {}),
        "spent": result.usage["policy"].model_dump() if "policy" in result.usage else {},
        "targets": [target.title for target in result.targets],
    }


def given_chances(
    model: Model, run: Experiment, chunks: list[Questions], share: float = 1.0
) -> list[FloatArray]:
    """What the model gives for the questions of the chunks that there is time for."""

    def ask(agent: ClickAgent, chunk: Questions) -> FloatArray:
        return chances(agent, run.world, chunk)

    return model.answered("held-out items", chunks, ask, share, **SHORT)


def held_out(
    run: Experiment, chunks: list[Questions], found: list[FloatArray], backwards: list[FloatArray]
) -> dict[str, Any]:
    """Real next items against random and popular ones, by the model and by simpler answers.

    `backwards`: what the model gives for the first chunks with histories from new to old.
    """
    if not found or not backwards:
        return {}
    asked = Questions(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
    count, n = run.dataset.train_counts, len(asked.user_idx)
    share = np.zeros(len(count))
    share[1:] = mid_ranks(count[1:].astype(float), np.ones(len(count) - 1)) / len(count)
    given = {
        MODEL: np.concatenate(found),
        "calibrated users": chances(run.world.response, run.world, asked),
        "popularity": share[asked.item_idx],
        "always yes": np.ones(n),
    }
    bootstrap, first = Bootstrap(asked.user_idx, seed=run.seed), np.nan_to_num(given[MODEL])
    figures = {
        name: click_model_figures(chance, chance, asked, count, bootstrap)
        for name, chance in given.items()
    }
    turned = np.nan_to_num(np.concatenate(backwards))[: len(first)]
    some = Bootstrap(asked.user_idx[: len(turned)], seed=run.seed)
    figures[MODEL]["order"] = agreement(first[: len(turned)], turned, some)
    return {
        "n_users": len(np.unique(asked.user_idx)),
        "n_pairs": n,
        "n_backwards": len(turned),
        "click_models": figures,
        "agreement": {
            name: agreement(first, chance, bootstrap)
            for name, chance in given.items()
            if name != MODEL
        },
    }


if __name__ == "__main__":
    main()
