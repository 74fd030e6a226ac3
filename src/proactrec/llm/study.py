"""How far a language model agrees, as a click model, with held-out items and with calibrated users.

Three parts: the same questions to both click models (:mod:`proactrec.llm.held_out`); the same
guidance under both, as in Figure 6 of the paper; and some users' journeys side by side, as in its
Table 5. Nothing of it is random but by the seed, and all answers of the model are in the cache: the
same command gives the same figures, also with `replay`.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pydantic import Field

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.comparison import compared_logs
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.metrics import METRICS
from proactrec.guidance.log import GuidanceLog
from proactrec.llm.agreement import Bootstrap, agreement, known_or_none
from proactrec.llm.click_agent import WANTS, ClickAgent, Reads
from proactrec.llm.held_out import (
    KINDS,
    Questions,
    chances,
    click_model_figures,
    discrimination,
    held_out_questions,
)
from proactrec.measurement.bootstrap import bootstrap_weights, ratio_estimates
from proactrec.measurement.results import Figure, GuidanceFigures
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray

CALIBRATED, MODEL = "distribution", "llm"
"""The two click models, as figures name them."""
CURVES = ("ioi", "ior")
N_HISTORY = 5


class StudyOptions(Options):
    """What is asked, and shown, beside the guidance of both experiments."""

    n_asked: int = Field(200, ge=2, description="users whose held-out item is asked about")
    n_negatives: int = Field(1, ge=1, description="random, and as many popular, items beside it")
    n_journeys: int = Field(3, ge=0, description="journeys shown side by side")
    modes: tuple[Reads, ...] = Field(
        tuple(WANTS),
        description="way to read an answer that is compared with the run's own; each asks all "
        "the held-out questions again",
    )


class Study(NamedTuple):
    """What a study found."""

    figures: dict[str, Any]  # the same whenever it is done again
    questions: pl.DataFrame  # one row a question, with all chances
    rounds: pl.DataFrame  # IoI and IoR of both click models after every round
    spent: dict[str, Any]  # what this process asked and paid; how long everything took


def study(calibrated: Experiment, model: Experiment, options: StudyOptions | None = None) -> Study:
    """All three parts; `model` has a language model as its click model, `calibrated` has none.

    Raises
    ------
    InvalidInputError
        If that is not so.
    LLMError
        If the model can't be asked, or a limit is reached; the same call then goes on.
    """
    if calibrated.options.response or model.options.response.get("kind") != MODEL:
        raise InvalidInputError("a study needs one experiment with response llm, and one without")
    options, agent = options or StudyOptions(), model.world.response
    assert isinstance(agent, ClickAgent)
    start, experiments = time.perf_counter(), {CALIBRATED: calibrated, MODEL: model}
    try:
        held_out, questions, tokens = _held_out(calibrated, agent, options)
        seconds = time.perf_counter() - start
        guidance = {name: _guidance(experiment) for name, experiment in experiments.items()}
    finally:
        agent.close()
    logs = {name: experiment.log for name, experiment in experiments.items()}
    figures = {
        "dataset": calibrated.dataset.name,
        "synthetic": calibrated.dataset.name == "demo",
        "n_users": calibrated.dataset.n_users,
        "n_items": calibrated.dataset.n_items,
        "policy": calibrated.options.policy,
        "protocol": calibrated.protocol.name,
        "world": calibrated.protocol.world.world,
        "seed": calibrated.seed,
        "targets": calibrated.fitting.target_list(),
        "responses": {name: e.world.response.describe() for name, e in experiments.items()},
        "held_out": held_out,
        "guidance": {
            name: of.model_dump(mode="json", exclude_unset=True) for name, of in guidance.items()
        },
        "differences": _differences(calibrated, logs),
        "journeys": _journeys(calibrated.dataset, logs, options.n_journeys, calibrated.seed),
        "cost": _cost(agent, tokens, held_out["n_decisions"], int(logs[MODEL].is_shown.sum())),
    }
    played = {name: experiment.seconds["guidance"] for name, experiment in experiments.items()}
    spent = {
        "usage": agent.usage(),
        "seconds": {"held_out": round(seconds, 3), "guidance": played},
    }
    return Study(figures, questions, _rounds(guidance), spent)


def _held_out(
    calibrated: Experiment, agent: ClickAgent, options: StudyOptions
) -> tuple[dict[str, Any], pl.DataFrame, dict[str, float]]:
    """Figures of both click models and of the ways to read, the questions, tokens a decision."""
    data, world, seed = calibrated.dataset, calibrated.world, calibrated.seed
    asked = held_out_questions(
        data,
        n_users=options.n_asked,
        n_negatives=options.n_negatives,
        history_len=agent.options.history_len,
        seed=seed,
    )
    responses = {CALIBRATED: world.response, MODEL: agent}
    given = {name: chances(response, world, asked) for name, response in responses.items()}
    backwards = {
        name: chances(response, world, asked.backwards()) for name, response in responses.items()
    }
    by_mode: dict[str, FloatArray] = {agent.options.reads: given[MODEL]}
    for mode in options.modes:
        if mode not in by_mode:
            by_mode[mode] = chances(agent.reading(mode), world, asked)
    bootstrap, count = Bootstrap(asked.user_idx, seed=seed), data.train_counts
    chance = {name: np.nan_to_num(values) for name, values in given.items()}
    figures = {
        "n_users": len(np.unique(asked.user_idx)),
        "n_negatives": options.n_negatives,
        "n_questions": len(asked.user_idx),
        "n_decisions": len(asked.user_idx) * (len(by_mode) + 1),
        "share_real": float(asked.are("real").mean()),
        "click_models": {
            name: click_model_figures(given[name], backwards[name], asked, count, bootstrap)
            for name in responses
        },
        "agreement": agreement(chance[CALIBRATED], chance[MODEL], bootstrap),
        "modes": _modes(by_mode, asked, bootstrap),
    }
    columns = {**given, f"{MODEL}_backwards": backwards[MODEL]}
    columns |= {f"{MODEL}_{mode}": values for mode, values in list(by_mode.items())[1:]}
    return figures, _questions_table(data, asked, columns), _tokens(agent, asked)


def _modes(
    by_mode: Mapping[str, FloatArray], asked: Questions, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Every way to read an answer, and its agreement with the first, the run's own."""
    first = np.nan_to_num(next(iter(by_mode.values())))
    return {
        mode: {
            **discrimination(given, asked, bootstrap),
            "agreement": agreement(first, np.nan_to_num(given), bootstrap),
        }
        for mode, given in by_mode.items()
    }


def _questions_table(
    data: Dataset, asked: Questions, columns: Mapping[str, FloatArray]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [data.user_ids[user] for user in asked.user_idx],
            "item_id": [data.item_ids[item - 1] for item in asked.item_idx],
            "title": [data.titles[item - 1] for item in asked.item_idx],
            "kind": [KINDS[kind] for kind in asked.kind],
            **{name: pl.Series(values, nan_to_null=True) for name, values in columns.items()},
        }
    )


def _tokens(agent: ClickAgent, asked: Questions) -> dict[str, float]:
    """Mean tokens of a decision; the answers are in the cache by now."""
    pairs = zip(asked.recent.tolist(), asked.item_idx.tolist(), strict=True)
    prompts = [agent.prompt(history, item) for history, item in pairs]
    answers = agent.client.ask(prompts, wants=WANTS[agent.options.reads])
    return {
        name: float(np.mean([getattr(answer, name) for answer in answers]))
        for name in ("prompt_tokens", "answer_tokens")
    }


def _guidance(experiment: Experiment) -> GuidanceFigures:
    """Figures of a run, and IoI and IoR after every round."""
    log = experiment.log
    every = {"rounds": tuple(range(1, log.n_rounds + 1))}
    options = experiment.protocol.measured.model_copy(update=every)
    weights = bootstrap_weights(len(np.unique(log.user_idx)), seed=experiment.seed)

    def curve(metric: str) -> list[Figure]:
        users = METRICS[metric](log, options).by_user()
        return [Figure(**estimate.as_dict()) for estimate in ratio_estimates(users, weights)]

    curves = {metric: curve(metric) for metric in CURVES}
    return GuidanceFigures(**experiment.figures, curves=curves)


def _differences(calibrated: Experiment, logs: Mapping[str, GuidanceLog]) -> list[dict[str, Any]]:
    """Figures under the language model less those under the calibrated users, pairs matched."""
    seed, options = calibrated.seed, calibrated.protocol.measured
    found = compared_logs({seed: logs[MODEL]}, {seed: logs[CALIBRATED]}, options)
    return [{"metric": d.metric, "round": d.round, **d.estimate.as_dict()} for d in found]


def _rounds(guidance: Mapping[str, GuidanceFigures]) -> pl.DataFrame:
    rows = [
        {"click_model": name, "metric": metric, "round": number, **figure.model_dump()}
        for name, figures in guidance.items()
        for metric, curve in figures.curves.items()
        for number, figure in enumerate(curve, start=1)
    ]
    return pl.DataFrame(rows)


def _journeys(
    data: Dataset, logs: Mapping[str, GuidanceLog], n_journeys: int, seed: int
) -> list[dict[str, Any]]:
    """Pairs of user and target, drawn at random, under both click models."""
    log = logs[CALIBRATED]
    counted = np.flatnonzero(log.is_counted)
    n_shown = min(n_journeys, len(counted))
    rows = np.sort(generator(seed, "study journeys").choice(counted, n_shown, replace=False))
    before = data.before("train")
    return [
        {
            "user_id": data.user_ids[log.user_idx[row]],
            "history": [data.titles[i - 1] for i in before.of(log.user_idx[row])[-N_HISTORY:]],
            "target": data.titles[log.targets[row, 0] - 1],
            "click_models": {name: _journey(data, one, row) for name, one in logs.items()},
        }
        for row in rows.tolist()
    ]


def _journey(data: Dataset, log: GuidanceLog, row: int) -> dict[str, Any]:
    shown: IntArray = log.item_idx[row][log.is_shown[row]]
    return {
        "interest": log.interest[row, [0, -1]].tolist(),
        "rank": (log.rank[row, [0, -1]] + 1).tolist(),
        "rounds": [
            {
                "title": data.titles[item - 1],
                "is_target": bool(log.is_target[row, number]),
                "accepted": bool(log.accepted[row, number]),
                "chance": known_or_none(log.accept_prob[row, number]),
            }
            for number, item in enumerate(shown.tolist())
        ],
    }


def _cost(
    agent: ClickAgent, tokens: Mapping[str, float], n_held_out: int, n_guidance: int
) -> dict[str, Any]:
    """What all decisions would cost at the options' prices, if each took as many tokens."""
    one = agent.options.cost(tokens["prompt_tokens"], tokens["answer_tokens"])
    decisions = {"held_out": n_held_out, "guidance": n_guidance}
    return {
        **tokens,
        "n_decisions": decisions,
        "cost_of_1000": 1000 * one,
        "cost": {part: one * n for part, n in decisions.items()},
    }
