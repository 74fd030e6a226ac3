"""`proactrec uplift`: what guidance added, against users held out of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich import box
from rich.table import Column, Table
from rich.text import Text

from proactrec.cli import console, options, results
from proactrec.cli.rules import Rule, callback_of
from proactrec.errors import InvalidInputError
from proactrec.report.tables import MISSING, decimals, label_of, number_text

if TYPE_CHECKING:
    from proactrec.evaluation.experiment import Experiment
    from proactrec.measurement.uplift import Uplift

UNSAID = (
    "Nothing can be said of chance, nor of how many to hold out, where all users are alike in each "
    "group (as where nobody took a target)"
)


def uplift(
    guided: Annotated[Path, typer.Argument(help="Run folder of the guided users.")],
    plain: Annotated[
        Path, typer.Argument(help="Run folder of users without guidance, e.g. --policy next-item.")
    ],
    hold_out: Annotated[
        float | None,
        typer.Option(
            help="Share of users held out, drawn at random, where both runs have the same users.",
            callback=callback_of("--hold-out", Rule({"gt": 0, "lt": 1})),
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides who is held out.")] = 0,
    adjust: Annotated[
        bool,
        typer.Option(
            "--adjust",
            help="Narrow the intervals by what was known before: length of the history, and "
            "interest in the targets by the run's own vectors.",
        ),
    ] = False,
    effect: Annotated[
        float | None,
        typer.Option(
            help="Say how many users must be held out to see this difference (80 % chance)."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure what guidance added: guided users less held-out users, with 95 % intervals.

    Two runs on the same users are divided with --hold-out; runs on different users are compared as
    they are, which says something only if the users were divided at random.

    Example: proactrec uplift runs/guided runs/plain --hold-out 0.2
    """
    from proactrec.evaluation import uplift as measured

    with console.progress() as progress:
        first, second = (results.earlier(run)[0].experiment(progress) for run in (guided, plain))
        _check_alike(first, second)
        logs = (first.log, second.log)
    is_shared = np.array_equal(np.unique(logs[0].user_idx), np.unique(logs[1].user_idx))
    if is_shared != (hold_out is not None):
        rule = "must be given where both runs have" if is_shared else "needs two runs that have"
        raise InvalidInputError(f"--hold-out {rule} the same users, got {hold_out}")
    if hold_out is not None:
        logs = measured.divided(*logs, hold_out, seed=seed)
    covariates = (
        measured.before_campaign(first.dataset, first.interest, first.targets.item_idx)
        if adjust
        else None
    )
    found = measured.uplift_of_logs(
        *logs, first.protocol.measured, covariates=covariates, watched=first.watched
    )
    rows = [_row(one, effect) for one in found]
    if json:
        results.print_json(rows)
        return
    _show(found, rows, effect)


def _check_alike(first: "Experiment", second: "Experiment") -> None:
    alike = {
        "data set": [run.dataset.fingerprint for run in (first, second)],
        "targets": [run.targets.item_idx.tolist() for run in (first, second)],
        "metrics": [run.protocol.measured for run in (first, second)],
        "world": [_world(run) for run in (first, second)],
    }
    for name, (one, other) in alike.items():
        if one != other:
            if name == "world":
                one, other = (
                    {key: value for key, value in a.items() if b[key] != value}
                    for a, b in ((one, other), (other, one))
                )
            raise InvalidInputError(f"both runs must have the same {name}, got {one} and {other}")


def _world(run: "Experiment") -> dict[str, Any]:
    """Who answers: the simulated users and their luck."""
    own = {name: getattr(run.options, name) for name in ("hidden", "response", "seed")}
    return {**run.protocol.world.model_dump(mode="json"), **own}


def _row(one: "Uplift", effect: float | None) -> dict[str, Any]:
    from proactrec.measurement.uplift import users_to_hold_out

    difference = one.difference.as_dict() if one.has_interval else {"mean": one.difference.mean}
    row = {
        **one._asdict(),
        "difference": {"low": None, "high": None, **difference},
        "has_interval": one.has_interval,
        "detectable": one.detectable,
    }
    if effect is not None:
        can_be_said = one.has_interval and max(one.deviations) > 0
        n_users = sum(one.n_users)
        row["to_hold_out"] = (
            users_to_hold_out(effect, one.deviations, n_users) if can_be_said else None
        )
    return row


def _show(found: "list[Uplift]", rows: list[dict[str, Any]], effect: float | None) -> None:
    n_guided, n_held_out = found[0].n_users
    table = Table(
        Column("metric", overflow="fold"),
        *(Column(name, justify="right") for name in ("guided", "held out", "difference")),
        Column("seen with 80 %", justify="right", max_width=9),
        title=f"{n_guided} guided and {n_held_out} held-out users",
        caption="difference, and its 95 % interval below it",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    if effect is not None:
        table.add_column(f"to hold out for {effect:g}", justify="right", max_width=11)
    for one, row in zip(found, rows, strict=True):
        table.add_row(*_cells(one, row))
    output = console.Terminal()
    output.print(table)
    if unsaid := [f"{label_of(one.metric)}@{one.round}" for one in found if not one.has_interval]:
        output.print(f"{UNSAID}: {', '.join(unsaid)}", highlight=False)


def _cells(one: "Uplift", row: dict[str, Any]) -> list[str | Text]:
    """A figure's line as text, all with the same decimals."""
    n_decimals = decimals([*one.difference, one.guided, one.held_out])
    guided, held_out, mean, low, high = (
        number_text(value, n_decimals) for value in (one.guided, one.held_out, *one.difference)
    )
    below = f"{low} to {high}" if one.has_interval else "no interval"
    difference = Text(mean).append(f"\n{below}", style="dim")
    cells: list[str | Text] = [f"{label_of(one.metric)}@{one.round}", guided, held_out, difference]
    cells.append(number_text(one.detectable, n_decimals))
    if "to_hold_out" in row:
        none = "never" if one.has_interval else MISSING
        cells.append(str(row["to_hold_out"] or none))
    return cells
