"""What a run leaves; `proactrec evaluate` and `report` make it anew from the log."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from proactrec.cli import console, options
from proactrec.cli.setup import Setup, experiment_options
from proactrec.config import yaml_of
from proactrec.errors import DataError
from proactrec.measurement.results import ABOUT, RESULT, VOLATILE, RunResult, Spent
from proactrec.report.tables import result_table

if TYPE_CHECKING:
    from proactrec.data.dataset import Dataset
    from proactrec.evaluation.experiment import Experiment

REPORT, SETTINGS, FORECAST = "report.html", "settings.yaml", "forecast.json"
FOLDERS = ("store", "data_dir", "encoder_folder")
NOTED = ("command", "options", *FOLDERS, "device")
"""What settings of a run say."""
MOSTLY_SEEN = 0.5

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an earlier run.")]


def evaluate(run: RunFolder, json: options.Json = False) -> None:
    """Measure an earlier run again, from its log.

    Example: proactrec evaluate runs/scifi
    """
    setup, command = earlier(run)
    with console.progress() as progress:
        result = measured(setup.experiment(progress), command)
    save_result(run, result)
    show(result, [run / RESULT], json=json)


def report(run: RunFolder) -> None:
    """Write the HTML report of an earlier run again.

    Example: proactrec report runs/scifi
    """
    setup, command = earlier(run)
    with console.progress() as progress:
        experiment = setup.experiment(progress)
        result = measured(experiment, command)
    console.Terminal().print(f"report: {save_report(run, experiment, result)}", soft_wrap=True)


def concerns(experiment: "Experiment") -> list[str]:
    """What somebody who reads the figures should know of the data and the targets."""
    from proactrec.targets import share_seen

    data, items = experiment.dataset, experiment.targets.item_idx
    found = [step.sentence for step in data.removed]
    wanted, n_chosen = experiment.protocol.targets.n_targets, len(items)
    if not experiment.options.target_items and n_chosen < wanted:
        found.append(
            f"the category has {n_chosen} items, so there are {n_chosen} targets, not {wanted}"
        )
    is_known = share_seen(data, items) > MOSTLY_SEEN
    if titles := [data.titles[item - 1] for item in items[is_known]]:
        found.append(
            f"{len(titles)} of {n_chosen} targets have been seen by more than half of the users: "
            f"{', '.join(titles[:5])}"
        )
    if titles := [data.titles[item - 1] for item in items if data.items.is_cold[item - 1]]:
        placed = experiment.options.dataset.cold_items
        why = "placed by title, text and categories" if placed else "so their vectors are random"
        found.append(
            f"{len(titles)} of {n_chosen} targets are in nobody's train history, {why}: "
            f"{', '.join(titles[:5])}"
        )
    return found


def measured(experiment: "Experiment", command: str) -> RunResult:
    """The figures of a run, doing whatever stages are missing."""
    return experiment.result().model_copy(update={"command": command})


def save_settings(setup: Setup, command: str) -> None:
    """Write everything needed to repeat a run."""
    from proactrec.files import write_text

    content = {
        "command": command,
        "options": setup.options.model_dump(mode="json"),
        "store": _noted(setup.store, setup.out),
        "data_dir": setup.data_dir and _noted(setup.data_dir, setup.out),
        "encoder_folder": setup.encoder_folder and _noted(setup.encoder_folder, setup.out),
        "device": setup.device,
    }
    write_text(setup.out / SETTINGS, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _noted(path: Path, out: Path) -> str:
    """A path from the run folder on, so that the folder may move; from the root if outside."""
    path, out = path.absolute(), out.absolute()
    return str(path.relative_to(out) if path.is_relative_to(out) else path)


def save_result(out: Path, result: RunResult) -> None:
    """Write `metrics.json`, the same whenever a run is done again, and `run.json`, the rest."""
    from proactrec.files import write_json

    content = result.content()
    write_json(out / ABOUT, {name: content.pop(name) for name in VOLATILE})
    write_json(out / RESULT, content)


def save_ids(out: Path, dataset: "Dataset") -> None:
    """Write whom and what the indices of a log stand for: `users.parquet`, `items.parquet`."""
    import polars as pl

    from proactrec.files import replacing

    users = pl.DataFrame({"user_id": dataset.user_ids}).with_row_index("user_idx")
    columns = {"item_id": dataset.item_ids, "title": dataset.titles}
    items = pl.DataFrame(columns).with_row_index("item_idx", offset=1)  # 0 is no item
    for name, table in (("users", users), ("items", items)):
        with replacing(out / f"{name}.parquet") as partial:
            table.write_parquet(partial)


def require_report() -> None:
    """Fail now, not after hours, where the report's extra is missing."""
    import proactrec.report.html  # noqa: F401


def save_report(out: Path, experiment: "Experiment", result: RunResult) -> Path:
    """Write the HTML report."""
    from proactrec.report.html import write_report

    log, trace = experiment.log, experiment.trace
    items = experiment.hidden_interest.item_vectors.numpy()  # the trace is of hidden vectors
    where = items[log.target_idx[trace.pairs]]
    if log.has_goal:  # its middle
        where = items[experiment.targets.item_idx].mean(0)[None].repeat(len(trace.pairs), 0)
    return write_report(
        out / REPORT,
        result=result,
        log=log,
        dataset=experiment.dataset,
        traced_pairs=trace.pairs,
        vectors=trace.vectors,
        target_vectors=where,
        forecast=_forecast(out / FORECAST, experiment),
    )


def _forecast(path: Path, experiment: "Experiment") -> dict[str, Any] | None:
    """What was foreseen of this very run before its first round, if it was."""
    from proactrec.evaluation.forecast import ForecastOptions, foreseen_settings

    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json_format.loads(path.read_text(encoding="utf-8"))
        prior, told = ForecastOptions(**content["forecast"]).prior, content["options"]
        of = foreseen_settings(experiment_options(told), prior)
        is_of_it = of == foreseen_settings(experiment.options, prior) and content["after"] is None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} can't be read as a forecast: {error}") from error
    return content if is_of_it else None


def show(result: RunResult, files: list[Path], *, json: bool) -> None:
    """Print the figures: a table, or JSON and nothing else."""
    if json:
        print_json(result.content())
        return
    output = console.Terminal()
    output.print(result_table(result))
    for part, used in result.usage.items():
        if used.n_asked:
            output.print(_paid(part, used), highlight=False)
    for path in files:
        output.print(f"written: {path}", soft_wrap=True, highlight=False)


def _paid(part: str, used: Spent) -> str:
    tokens = used.prompt_tokens + used.answer_tokens
    cost = f", at a cost of {used.cost:.4g}" if used.cost else ""
    return (
        f"language model as {part}: {used.n_requests:,} requests, {used.n_cached:,} answers "
        f"from the cache, {tokens:,} tokens{cost}"
    )


def print_json(content: Any) -> None:
    """JSON on standard output."""
    print(json_format.dumps(content, indent=2))


def _check_settings(content: Any) -> None:
    """Refuse what :func:`save_settings` did not write, before it is looked into."""
    is_mapping = isinstance(content, dict)
    if missing := [name for name in NOTED if not is_mapping or name not in content]:
        raise TypeError(f"it must say {', '.join(NOTED)}, {', '.join(missing)} is missing")
    if not isinstance(content["options"], dict):
        raise TypeError(f"options must be a mapping, got {content['options']!r}"[:200])
    for name in FOLDERS:
        if not isinstance(content[name], str | None):
            raise TypeError(f"{name} must be a path, got {content[name]!r}"[:200])


def earlier(run: Path) -> tuple[Setup, str]:
    """The setup of an earlier run, and the command that began it."""
    path = run / SETTINGS
    try:
        content = yaml_of(path.read_text(encoding="utf-8"))
        _check_settings(content)
        options, command = experiment_options(content["options"]), str(content["command"])
        folders = {name: run / content[name] if content[name] else None for name in FOLDERS}
        device = str(content["device"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{run} is no run folder: it has no {SETTINGS}") from error
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as the settings of a run: {error}") from error
    store = folders["store"] or run / "artefacts"
    if not any(store.glob("guidance-*")):
        raise DataError(f"{run} has no log: its store {store} holds none; to make it: {command}")
    setup = Setup(
        options,
        out=run,
        store=store,
        data_dir=folders["data_dir"],
        encoder_folder=folders["encoder_folder"],
        device=device,
        json=False,
    )
    return setup, command
