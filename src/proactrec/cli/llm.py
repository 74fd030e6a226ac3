"""`proactrec llm study`: does a language model answer as real users do, and as calibrated ones?"""

import shlex
import sys
from pathlib import Path
from typing import Any

import typer
import yaml
from rich.table import Table

from proactrec.cli import console, results
from proactrec.cli.cost import begun
from proactrec.cli.flags import built, flags_of, parameters
from proactrec.cli.setup import Setup, run_flags, setup, take_options
from proactrec.evaluation.experiment import Experiment
from proactrec.llm.study import Study, StudyOptions
from proactrec.llm.study import study as compared
from proactrec.measurement.results import ABOUT

STUDY, PAGE = "study.json", "study.html"
OWN = flags_of(StudyOptions, "Study", "n_asked", "n_negatives", journeys="n_journeys", mode="modes")
ONE_TARGET = {"n_targets": run_flags()["n_targets"]._replace(decided_by="1")}

app = typer.Typer(no_args_is_help=True, help="Look at a language model before it plays the users.")


@app.callback()
def _group() -> None:
    """With a callback, a group of one command still wants its name."""


def study(**values: Any) -> None:
    """Compare a language model, as a click model, with held-out items and with calibrated users.

    Accuracy, AUC, calibration, popularity and position bias on real next items; IoI and IoR over
    the rounds, and journeys, under both click models. Killed at any time, the same command goes
    on; --replay repeats it without network.

    Example: proactrec llm study --dataset ml-100k --llm-url http://localhost:8000/v1
    --llm-model NAME --set response.domain=movies --out runs/study
    """
    results.require_report()
    options = built(StudyOptions, OWN, values)
    if values["n_targets"] is None and not values["target"]:
        values["n_targets"] = 1
    asked = setup(**values, response="llm")
    without = asked._replace(options=asked.options.changed({"response": {}}))
    with console.progress() as progress:
        model = begun(asked, progress)
        console.warn([*results.concerns(model), _size(model)])
        found = compared(without.experiment(progress), model, options)
    files = _save(asked, found)
    if asked.json:
        results.print_json({**found.figures, "spent": found.spent})
    else:
        _show(found, files)


def _size(experiment: Experiment) -> str:
    n_most = (
        (experiment.options.n_users or experiment.dataset.n_users)
        * len(experiment.targets.item_idx)
        * experiment.protocol.rollout.n_rounds
    )
    return f"guidance may need up to {n_most:,} answers of the language model"


def _save(asked: Setup, found: Study) -> list[Path]:
    """Write everything, each file whole, the figures last: with them a study is complete."""
    from proactrec.files import write_json, write_text
    from proactrec.report.drawing import save_figure
    from proactrec.report.study_page import write_study
    from proactrec.report.study_plots import study_plots

    out = asked.out
    tables, drawings = out / "tables", out / "plots"
    drawings.mkdir(parents=True, exist_ok=True)
    (out / STUDY).unlink(missing_ok=True)
    results.save_settings(asked, shlex.join(["proactrec", *sys.argv[1:]]))
    write_text(tables / "questions.csv", found.questions.write_csv())
    write_text(tables / "rounds.csv", found.rounds.write_csv())
    for name, (figure, _) in study_plots(found.figures).items():
        save_figure(figure, drawings / f"{name}.png")
    settings = yaml.safe_load((out / results.SETTINGS).read_text(encoding="utf-8"))
    page = write_study(out / PAGE, found.figures, found.spent, settings)
    write_json(out / ABOUT, found.spent)
    write_json(out / STUDY, found.figures)
    return [out / STUDY, out / ABOUT, tables, drawings, page]


def _show(found: Study, files: list[Path]) -> None:
    from proactrec.report.study_page import study_tables

    output = console.Terminal()
    for name, (columns, rows) in study_tables(found.figures, found.spent).items():
        table = Table(name, *columns)
        for label, texts in rows:
            table.add_row(label, *texts)
        output.print(table)
    for path in files:
        output.print(f"written: {path}", soft_wrap=True, highlight=False)


take_options(study, parameters(OWN | ONE_TARGET), ("response", "goal", "target_chooser"))
app.command()(study)
