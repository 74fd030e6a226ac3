"""Tables and one self-contained HTML page of an agreement study, from its `study.json`."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from proactrec.files import write_text
from proactrec.measurement.results import Figure, GuidanceFigures
from proactrec.report.drawing import svg
from proactrec.report.html import Comparison
from proactrec.report.page import settings_text, template
from proactrec.report.study_plots import LABELS, study_plots
from proactrec.report.tables import MISSING, interval_texts, label_of, number_text

Keys = tuple[str, ...]
DISCRIMINATION: dict[str, Keys] = {
    "balanced accuracy at 0.5": ("accuracy",),
    "AUC against random items": ("auc", "random"),
    "AUC against popular items": ("auc", "popular"),
    "share without an answer": ("share_without_answer",),
    "share of chances that are neither 0 nor 1": ("share_graded",),
}
HELD_OUT: dict[str, Keys] = {
    **DISCRIMINATION,
    "mean chance of real items": ("mean_chance", "real"),
    "mean chance of random items": ("mean_chance", "random"),
    "mean chance of popular items": ("mean_chance", "popular"),
    "Brier score": ("brier",),
    "expected calibration error": ("calibration_error",),
    "popularity bias: rank correlation": ("popularity", "rank_correlation"),
    "position bias: mean change of the chance": ("order", "mean_difference"),
    "position bias: same decision": ("order", "same_decision"),
}
AGREEMENT: dict[str, Keys] = {
    "correlation of the chances": ("correlation",),
    "Cohen's kappa at 0.5": ("kappa",),
    "same decision at 0.5": ("same_decision",),
    "mean difference of the chances": ("mean_difference",),
}
MODES: dict[str, Keys] = {
    **DISCRIMINATION,
    **{f"with the first: {label}": ("agreement", *path) for label, path in AGREEMENT.items()},
}


def write_study(
    path: Path, figures: Mapping[str, Any], spent: Mapping[str, Any], settings: Mapping[str, Any]
) -> Path:
    """Write the page and return its path; the file appears whole or not at all.

    Parameters
    ----------
    figures, spent : mappings
        Content of `study.json` and `run.json`.
    settings : mapping
        Shown as YAML.
    """
    page = template("study.html.j2").render(
        figures=figures,
        tables=study_tables(figures, spent),
        plots={
            name: (svg(figure), caption) for name, (figure, caption) in study_plots(figures).items()
        },
        journeys=[_journey(journey) for journey in figures["journeys"]],
        settings=settings_text(settings),
    )
    return write_text(path, page)


def study_tables(figures: Mapping[str, Any], spent: Mapping[str, Any]) -> dict[str, Comparison]:
    """All tables, by name, as texts; the page and the terminal show the same."""
    held_out = figures["held_out"]
    names = {LABELS.get(name, name): of for name, of in held_out["click_models"].items()}
    return {
        "held-out items": _side_by_side(names, HELD_OUT),
        "agreement": _side_by_side({"both click models": held_out["agreement"]}, AGREEMENT),
        "reading an answer": _side_by_side(held_out["modes"], MODES),
        "guidance": _guidance(figures),
        "cost": _cost(figures["cost"], spent),
    }


def _side_by_side(columns: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Keys]) -> Comparison:
    """A column each, and in every row the figure at the end of a path."""
    texts = [
        (label, _texts([_figure(reduce(getitem, path, of)) for of in columns.values()]))
        for label, path in rows.items()
    ]
    return Comparison(list(columns), texts)


def _guidance(figures: Mapping[str, Any]) -> Comparison:
    """HR, IoI and IoR at rounds under both click models, and the paired difference."""
    by_model = {name: GuidanceFigures(**of) for name, of in figures["guidance"].items()}
    rows = [
        (
            f"{label_of(d['metric'])}@{d['round']}",
            _texts([of.metrics[d["metric"]][d["round"]] for of in by_model.values()])
            + _texts([Figure(mean=d["mean"], low=d["low"], high=d["high"])]),
        )
        for d in figures["differences"]
    ]
    accepted = _texts([of.outcome["target_accepted"] for of in by_model.values()])
    no_answer = [f"{of.pairs.n_no_answer:,}" for of in by_model.values()]
    rows.append((label_of("target_accepted"), [*accepted, MISSING]))
    rows.append(("decisions without an answer", [*no_answer, MISSING]))
    return Comparison([*(LABELS.get(name, name) for name in by_model), "difference"], rows)


def _cost(cost: Mapping[str, Any], spent: Mapping[str, Any]) -> Comparison:
    """Decisions and what they cost: all of them, and what this run sent and paid."""
    usage, seconds = spent["usage"], spent["seconds"]
    rows = {
        "decisions, held-out items": f"{cost['n_decisions']['held_out']:,}",
        "decisions, guidance": f"{cost['n_decisions']['guidance']:,}",
        "prompt tokens a decision": number_text(cost["prompt_tokens"], 1),
        "answer tokens a decision": number_text(cost["answer_tokens"], 1),
        "price of 1,000 decisions": number_text(cost["cost_of_1000"], 4),
        "price of all of them": number_text(sum(cost["cost"].values()), 4),
        "sent now: requests": f"{usage['n_requests']:,}",
        "sent now: tokens": f"{usage['prompt_tokens'] + usage['answer_tokens']:,}",
        "paid now": number_text(usage["cost"], 4),
        "seconds, held-out items": number_text(seconds["held_out"], 1),
        "seconds, guidance": number_text(seconds["guidance"]["llm"], 1),
    }
    return Comparison(["language model"], [(label, [text]) for label, text in rows.items()])


def _texts(figures: Sequence[Figure | None]) -> list[str]:
    """Figures as texts with the same decimals."""
    return [f"{mean} ({ends})" if ends else mean for mean, ends in interval_texts(figures)]


def _figure(found: Mapping[str, float | None] | float | None) -> Figure | None:
    """An interval, or a number; None where the figure is not defined."""
    of = found if isinstance(found, Mapping) else {"mean": found}
    return None if of["mean"] is None else Figure(**of)


def _journey(journey: Mapping[str, Any]) -> dict[str, Any]:
    """A journey with its rounds beside each other; a click model whose pair stopped has none."""
    by_model = journey["click_models"]
    n_rounds = max(len(of["rounds"]) for of in by_model.values())
    return {
        **journey,
        "ends": {
            LABELS.get(name, name): {
                "interest": [number_text(value, 3) for value in of["interest"]],
                "rank": [f"{value:,}" for value in of["rank"]],
            }
            for name, of in by_model.items()
        },
        "rounds": [
            [
                of["rounds"][number] if number < len(of["rounds"]) else None
                for of in by_model.values()
            ]
            for number in range(n_rounds)
        ],
    }
