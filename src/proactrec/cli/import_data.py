"""`proactrec data import`: a user's own logs into a folder that every command opens."""

import json as json_format
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from proactrec.cli import console, options
from proactrec.cli.flags import flags_of, help_of, option, takes
from proactrec.cli.reading import COLUMNS, FILES, Weight, import_options
from proactrec.data.importing.importer import PAGE, Import, Plan, Render
from proactrec.data.importing.options import ImportOptions
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.files import alone_in

MARKS = {"yes": "green", "but": "yellow", "no": "red"}


FLAGS = {
    **flags_of(
        ImportOptions,
        COLUMNS,
        "columns.user",
        "columns.item",
        "columns.time",
        "item_columns.title",
        category="item_columns.categories",
        levels="item_columns.levels",
    ),
    **FILES,
    **flags_of(
        ImportOptions,
        "Checks",
        "session_minutes",
        "bots",
        "bot_minute",
        "bot_day",
        max_bad="max_bad_share",
    ),
}


@takes(FLAGS)
def import_(
    events: Annotated[list[str], typer.Argument(help=help_of(ImportOptions, "events"))],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    weight: Weight = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take the guessed columns without asking.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier import.")
    ] = False,
    json: options.Json = False,
    **values: Any,
) -> None:
    """Turn a log of your own into a clean data set, with a report of what is in it.

    Example: proactrec data import events.parquet --items items.csv --out data/shop --yes
    """
    asked = import_options(FLAGS, values, events, weight)
    render = _render()
    with alone_in(out, is_replaced=True), Import(asked, out, overwrite=overwrite) as job:
        _confirm(job.plan, is_sure=yes)
        with console.progress() as progress:
            result = job.run(render=render, progress=progress)
    console.warn([*result["problems"], *result["item_problems"], *result["notes"]])
    if json:
        print(json_format.dumps(result))
        return
    _show(result, out, has_page=render is not None)


def _confirm(plan: Plan, *, is_sure: bool) -> None:
    if not plan.guesses:
        return
    table = Table("meaning", "column", "why", "for example", title="guessed", title_justify="left")
    for guess, example in plan.guesses:
        table.add_row(guess.meaning, guess.column or "none", guess.why, example)
    console.errors.print(table)
    if is_sure:
        return
    names = ", ".join(dict.fromkeys(option(guess.meaning) for guess, _ in plan.guesses))
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"the guessed columns need a yes: give --yes, or name them ({names})"
        )
    if not typer.confirm("Is that right?", default=True, err=True):
        raise InvalidInputError(f"nothing was imported: name the columns ({names})")


def _show(result: dict[str, Any], out: Path, *, has_page: bool) -> None:
    output = console.Terminal()
    steps = Table.grid(padding=(0, 2))
    for name, n in result["steps"]:
        steps.add_row(name, Text(f"{n:,}", justify="right"))
    output.print(steps)
    table = Table("can the model …", "", "why", title_justify="left")
    for verdict in result["verdicts"]:
        table.add_row(
            verdict["what"], Text(verdict["mark"], MARKS[verdict["mark"]]), verdict["why"]
        )
    output.print(table)
    if has_page:
        output.print(f"report: {out / PAGE}", soft_wrap=True, highlight=False)
    output.print(f"next: proactrec data describe --dataset {out}", soft_wrap=True, highlight=False)


def _render() -> Render | None:
    try:
        from proactrec.report.data_page import render
    except MissingExtraError as error:
        console.warn([f"no data report is written: {error}"])
        return None
    return render
