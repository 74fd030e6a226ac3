"""`proactrec forecast`: what a campaign will achieve, said before it or after some rounds of it."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proactrec.cli import console, results
from proactrec.cli.setup import setup, take_options
from proactrec.errors import InvalidInputError
from proactrec.report.tables import foreseen_texts, label_of

if TYPE_CHECKING:
    from proactrec.evaluation.experiment import Experiment
    from proactrec.evaluation.forecast import Forecast, Forecaster, Predicted
    from proactrec.progress import Progress
    from proactrec.types import FloatArray

LEFT_OUT = ("world", "receptivity", "hidden", "named_world", "response")
"""They describe the world that a run would be played in, which a forecast never looks at."""
PRIOR = "Plausible worlds"
Range = tuple[float, float]


def _asked(
    worlds: Annotated[
        int, typer.Option(min=39, help="Plausible worlds to play in.", rich_help_panel=PRIOR)
    ] = 79,
    sample: Annotated[
        int,
        typer.Option(
            min=20,
            help="Users played in each, at most the audience; everybody where a rail is a number "
            "that holds for all users together.",
            rich_help_panel=PRIOR,
        ),
    ] = 300,
    slope: Annotated[
        Range,
        typer.Option(
            help="Slope of acceptance per deviation of interest, from and to.",
            rich_help_panel=PRIOR,
        ),
    ] = (0.25, 2.0),
    mean_accept: Annotated[
        Range,
        typer.Option(help="Mean acceptance of users' real next items.", rich_help_panel=PRIOR),
    ] = (0.3, 0.7),
    kept_share: Annotated[
        Range,
        typer.Option(
            help="Share of their interest that users keep when they accept an item.",
            rich_help_panel=PRIOR,
        ),
    ] = (0.7, 0.9),
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="Kind of users' vectors: interest, factors, neighbours, content, divided; "
            "repeatable, all but the last by default.",
            rich_help_panel=PRIOR,
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of the campaign whose answers are known; needs --seen."),
    ] = None,
    seen: Annotated[
        Path | None, typer.Option(help="Run folder of the campaign that is under way.")
    ] = None,
) -> None:
    """Options beside those of a run."""


def forecast(**values: Any) -> None:
    """Say what the run that the same options would make will achieve, with 80 and 95 % intervals.

    The campaign is played in plausible worlds: killed at any time, the same command goes on with
    those that are missing.

    Example: proactrec forecast --dataset demo --policy itmprec --out runs/forecast
    """
    from proactrec.evaluation.forecast import Forecaster, ForecastOptions
    from proactrec.files import write_json
    from proactrec.simulator.prior import Prior

    own = {name: values.pop(name) for name in inspect.signature(_asked).parameters}
    after, seen = own["after"], own["seen"]
    if (after is None) != (seen is None):
        raise InvalidInputError(f"--after and --seen go together, got {after} and {seen}")
    asked = setup(**values)
    given = {name: own[name] for name in ("slope", "mean_accept", "kept_share")}
    if own["kind"]:
        given["hidden"] = tuple(own["kind"])
    options = ForecastOptions(n_worlds=own["worlds"], n_users=own["sample"], prior=Prior(**given))
    with console.progress() as progress:
        experiment = asked.experiment(progress)
        console.warn(results.concerns(experiment))
        caster = Forecaster(experiment, options, progress=progress)
        told = None if seen is None else _answers(caster, seen, after, progress)
        found = caster.forecast(seen=told)
    content = {
        "options": asked.options.model_dump(mode="json"),
        "forecast": options.model_dump(mode="json"),
        "after": after,
        "is_like_prior": found.is_like_prior,
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


def _answers(caster: "Forecaster", folder: Path, after: int, progress: "Progress") -> "FloatArray":
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


def _guidance(run: "Experiment") -> dict[str, Any]:
    """Who is guided and how, but for how long."""
    inputs = {**run.guidance_inputs, "users": run.guided_users.tolist()}
    return {name: value for name, value in inputs.items() if name != "rollout"}


def _show(found: "Forecast") -> None:
    numbers = list(dict.fromkeys(one.round for one in found.figures))
    everybody = [one for one in found.figures if one.segment == "all"]
    table = Table("metric", *(f"@{p}" for p in numbers), title="everybody")
    for name in dict.fromkeys(one.metric for one in everybody):
        table.add_row(label_of(name), *_cells(o for o in everybody if o.metric == name))
    output = Console()
    output.print(table)
    last = [one for one in found.figures if one.round == numbers[-1]]
    metrics = list(dict.fromkeys(one.metric for one in last))
    table = Table("segment", *(f"{label_of(name)}@{numbers[-1]}" for name in metrics))
    for segment in dict.fromkeys(one.segment for one in last):
        table.add_row(segment, *(_cells(o for o in last if o.segment == segment)))
    table.caption = "median, 80 % interval, 95 % interval"
    output.print(table)


def _cells(figures: "Iterable[Predicted]") -> list[str]:
    return ["\n".join(foreseen_texts(one.median, one.intervals)) for one in figures]


take_options(forecast, inspect.signature(_asked).parameters, LEFT_OUT)
