"""`proactrec forecast`: what a campaign will achieve, said before it or after some rounds of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from proactrec.cli import console, results
from proactrec.cli.cost import begun
from proactrec.cli.flags import built, flags_of, own_parameters, parameters
from proactrec.cli.setup import setup, take_options
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.forecast import Forecast, Forecaster, ForecastOptions, Predicted
from proactrec.files import write_json
from proactrec.progress import Progress
from proactrec.report.tables import foreseen_texts, label_of
from proactrec.types import FloatArray

BESIDE = 3
"""Metrics of a table by segment: more are too wide for a terminal."""
LEFT_OUT = ("world", "receptivity", "hidden", "named_world", "response")
"""They describe the world that a run would be played in, which a forecast never looks at."""
PRIOR = flags_of(
    ForecastOptions,
    "Plausible worlds",
    "prior.slope",
    "prior.mean_accept",
    "prior.kept_share",
    "prior.lawful",
    leaving_between="prior.leaving",
    worlds="n_worlds",
    sample="n_users",
    kind="prior.hidden",
)


def forecast(
    after: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of the campaign whose answers are known; needs --seen."),
    ] = None,
    seen: Annotated[
        Path | None, typer.Option(help="Run folder of the campaign that is under way.")
    ] = None,
    **values: Any,
) -> None:
    """Say what the run that the same options would make will achieve, with 80 and 95 % intervals.

    The campaign is played in plausible worlds: killed at any time, the same command goes on with
    those that are missing.

    Example: proactrec forecast --dataset demo --policy itmprec --out runs/forecast
    """
    if (after is None) != (seen is None):
        raise InvalidInputError(f"--after and --seen go together, got {after} and {seen}")
    asked = setup(**values)
    options = built(ForecastOptions, PRIOR, values)
    with console.progress() as progress:
        experiment = begun(asked, progress)
        console.warn(results.concerns(experiment))
        caster = Forecaster(experiment, options, progress=progress)
        told = None if seen is None or after is None else _answers(caster, seen, after, progress)
        found = caster.forecast(seen=told)
    content = {
        "options": asked.options.model_dump(mode="json"),
        "forecast": options.model_dump(mode="json"),
        "after": after,
        "is_like_prior": found.is_like_prior,
        "caution": found.caution,
        "figures": [one._asdict() for one in found.figures],
    }
    write_json(asked.out / results.FORECAST, content)
    if not found.is_like_prior:
        console.warn(["the answers so far fit no plausible world: do not trust the forecast"])
    if asked.json:
        results.print_json(content)
        return
    _show(found)
    print(f"written: {asked.out / results.FORECAST}")


def _answers(caster: Forecaster, folder: Path, after: int, progress: Progress) -> FloatArray:
    """Acceptances of a campaign's first rounds."""
    campaign = results.earlier(folder)[0].experiment(progress)
    if _guidance(campaign) != _guidance(caster.experiment):
        raise InvalidInputError(
            f"--seen must be a campaign with the forecast's data, users, targets and policy, got "
            f"{folder}"
        )
    log, n_rounds = campaign.log, caster.experiment.protocol.rollout.n_rounds
    if not 1 <= after <= min(log.n_rounds, n_rounds):
        raise InvalidInputError(
            f"--after must be at most {min(log.n_rounds, n_rounds)} rounds, got {after}"
        )
    return caster.answers(log, after)


def _guidance(run: Experiment) -> dict[str, Any]:
    """Who is guided and how, but for how long."""
    inputs = {**run.guidance_inputs, "users": run.guided_users.tolist()}
    return {name: value for name, value in inputs.items() if name != "rollout"}


def _show(found: Forecast) -> None:
    numbers = list(dict.fromkeys(one.round for one in found.figures))
    everybody = [one for one in found.figures if one.segment == "all"]
    table = Table("metric", *(f"@{p}" for p in numbers), title="everybody")
    for name in dict.fromkeys(one.metric for one in everybody):
        table.add_row(label_of(name), *_cells(o for o in everybody if o.metric == name))
    output = console.Terminal()
    output.print(table)
    last = [one for one in found.figures if one.round == numbers[-1]]
    metrics = list(dict.fromkeys(one.metric for one in last))
    for at in range(0, len(metrics), BESIDE):
        output.print(_by_segment(last, metrics[at : at + BESIDE]))
    print("median, 80 % interval, 95 % interval")
    print(found.caution)


def _by_segment(figures: Iterable[Predicted], metrics: Sequence[str]) -> Table:
    """Some metrics at one round, a row for each segment."""
    shown = [one for one in figures if one.metric in metrics]
    heads = [f"{label_of(name)}@{shown[0].round}" for name in metrics]
    table = Table(Column("segment", no_wrap=True), *heads)
    for segment in dict.fromkeys(one.segment for one in shown):
        table.add_row(segment, *(_cells(o for o in shown if o.segment == segment)))
    return table


def _cells(figures: Iterable[Predicted]) -> list[str]:
    return ["\n".join(foreseen_texts(one.median, one.intervals)) for one in figures]


take_options(forecast, [*parameters(PRIOR), *own_parameters(forecast)], LEFT_OUT)
