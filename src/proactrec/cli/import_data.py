"""`proactrec data import`: a user's own logs into a folder that every command opens."""

import json as json_format
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proactrec.cli import console, options, reading
from proactrec.cli.reading import COLUMNS
from proactrec.data.importing.importer import PAGE, Import, Plan, Render
from proactrec.data.importing.options import EventColumns, ItemColumns
from proactrec.errors import InvalidInputError, MissingExtraError

CHECKS = "Checks"
MARKS = {"yes": "[green]yes[/]", "but": "[yellow]but[/]", "no": "[red]no[/]"}


@options.takes_options_of(reading.import_options)
def import_(
    events: Annotated[
        list[str],
        typer.Argument(
            help="Event files, folders or patterns: CSV, TSV, JSONL, Parquet (.gz too)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    user: Annotated[
        str | None, typer.Option(help="Column of user ids.", rich_help_panel=COLUMNS)
    ] = None,
    item: Annotated[
        str | None, typer.Option(help="Column of item ids.", rich_help_panel=COLUMNS)
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="Column of times. '' if the rows are in time order.", rich_help_panel=COLUMNS
        ),
    ] = None,
    items: Annotated[
        list[str] | None,
        typer.Option(help="Item files, folders or patterns; repeatable.", rich_help_panel=COLUMNS),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Column of titles. '' for none.", rich_help_panel=COLUMNS)
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of categories, repeatable. '' for none.", rich_help_panel=COLUMNS
        ),
    ] = None,
    session_minutes: Annotated[
        float,
        typer.Option(help="A longer pause begins a new session.", rich_help_panel=CHECKS),
    ] = 30,
    bots: Annotated[
        str,
        typer.Option(help="flag or drop users with impossible rates.", rich_help_panel=CHECKS),
    ] = "flag",
    bot_minute: Annotated[
        int,
        typer.Option(help="Impossible: so many events within a minute.", rich_help_panel=CHECKS),
    ] = 100,
    bot_day: Annotated[
        int,
        typer.Option(help="Impossible: so many events within 24 hours.", rich_help_panel=CHECKS),
    ] = 2000,
    max_bad: Annotated[
        float,
        typer.Option(
            help="Share of unusable rows that ends the import; fewer are counted and left out.",
            rich_help_panel=CHECKS,
        ),
    ] = 0.05,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take the guessed columns without asking.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier import.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.")
    ] = False,
    **of_files: Any,
) -> None:
    """Turn a log of your own into a clean data set, with a report of what is in it.

    Example: proactrec data import events.parquet --items items.csv --out data/shop --yes
    """
    asked = reading.import_options(
        events,
        items,
        EventColumns(user=user, item=item, time=time),
        ItemColumns(title=title, categories=reading.several(category)),
        session_minutes=session_minutes,
        bots=bots,
        bot_minute=bot_minute,
        bot_day=bot_day,
        max_bad_share=max_bad,
        **of_files,
    )
    render = _render()
    with Import(asked, out, overwrite=overwrite) as job:
        _confirm(job.plan, is_sure=yes)
        with console.progress() as progress:
            result = job.run(render=render, progress=progress)
    console.warn([*result["problems"], *result["item_problems"], *result["notes"]])
    if json:
        print(json_format.dumps(result, ensure_ascii=False))
        return
    _show(result, out, has_page=render is not None)


def _confirm(plan: Plan, *, is_sure: bool) -> None:
    guesses = [*plan.event_guesses, *plan.item_guesses]
    if not guesses:
        return
    table = Table("meaning", "column", "why", "for example", title="guessed", title_justify="left")
    for guesses_of, examples in (
        (plan.event_guesses, plan.examples),
        (plan.item_guesses, plan.item_examples),
    ):
        for guess in guesses_of:
            example = examples.get(guess.column, "")
            table.add_row(*map(Text, (guess.meaning, guess.column or "none", guess.why, example)))
    console.errors.print(table)
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError(
            "the guessed columns need a yes: give --yes, or name them "
            f"({', '.join(_option(guess.meaning) for guess in guesses)})"
        )
    if not typer.confirm("Is that right?", default=True, err=True):
        raise InvalidInputError(
            "nothing was imported: name the columns "
            f"({', '.join(_option(guess.meaning) for guess in guesses)})"
        )


def _option(meaning: str) -> str:
    return "--" + meaning.replace("_", "-")


def _show(result: dict[str, Any], out: Path, *, has_page: bool) -> None:
    output = Console()
    steps = Table.grid(padding=(0, 2))
    for name, n in result["steps"]:
        steps.add_row(name, Text(f"{n:,}", justify="right"))
    output.print(steps)
    table = Table("can the model …", "", "why", title_justify="left")
    for verdict in result["verdicts"]:
        table.add_row(Text(verdict["what"]), MARKS[verdict["mark"]], Text(verdict["why"]))
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
