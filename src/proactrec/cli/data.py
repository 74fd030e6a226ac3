"""`proactrec data`: which data sets there are, and what is in one."""

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from proactrec.cli import import_data, options
from proactrec.cli.console import Terminal
from proactrec.cli.download import download
from proactrec.cli.flags import takes
from proactrec.cli.histories import histories
from proactrec.cli.table2 import table2
from proactrec.data.describe import Chart, charts, save_charts
from proactrec.data.describe import describe as describe_dataset
from proactrec.data.load import load
from proactrec.data.sources import SOURCES

N_CATEGORIES_SHOWN = 12
BAR_WIDTH = 40

app = typer.Typer(
    no_args_is_help=True, help="Fetch data sets and look at them before anything is trained."
)
app.command()(download)
app.command()(table2)
app.command("import")(import_data.import_)
app.command()(histories)


@app.command()
@takes(options.DATA)
def describe(
    data_dir: options.DataDir = None,
    json: options.Json = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the charts into this .png file.")
    ] = None,
    **values: Any,
) -> None:
    """Show size, categories, long tail and lengths of a data set.

    Example: proactrec data describe --dataset ml-100k --data-dir data --filter paper
    """
    chosen = options.dataset_options(values)
    loaded = load(chosen, data_dir=data_dir)
    if plot is not None:
        save_charts(loaded, plot)
    numbers = describe_dataset(loaded)
    if json:
        print(json_format.dumps(numbers))
        return
    console = Terminal()
    for step in loaded.removed:
        console.print(step.sentence, highlight=False, soft_wrap=True)
    title = f"{values['dataset']} (filter {chosen.filter}, k={chosen.k})"
    console.print(_numbers_table(title, numbers))
    sizes = list(numbers["categories"].items())[:N_CATEGORIES_SHOWN]
    if sizes:
        left_out = len(numbers["categories"]) - len(sizes)
        title = "items in category" + (f" ({left_out} smaller ones not shown)" if left_out else "")
        names, counts = zip(*sizes, strict=True)
        console.print(_bars(Chart(title, list(names), [float(count) for count in counts])))
    for chart in charts(loaded):
        console.print(_bars(chart))
    if plot is not None:
        console.print(f"charts drawn into {plot}")


@app.command("list")
def list_() -> None:
    """List the data sets, the files that they need, and what their licence allows.

    Example: proactrec data list
    """
    table = Table("data set", "files, each also packed as .gz", "licence", "home")
    table.add_row("demo", "none, made on the spot", "free to use, all invented", "")
    for name, source in SOURCES.items():
        files = "\n".join(f"{source.folder or name}/{file}" for file in source.files)
        table.add_row(name, files, source.licence, source.home)
    table.add_row("csv", "--events FILE.csv or .tsv, also .gz; --items FILE", "yours", "")
    table.add_row("parquet", "--events FILE.parquet; --items FILE", "yours", "")
    table.add_row("jsonl", "--events FILE.jsonl, one record a line; --items FILE", "yours", "")
    table.add_row("FOLDER", "written by proactrec data import", "yours", "")
    table.add_row(
        "recbole", "recbole/NAME.inter and NAME.item, or --events FILE.inter", "yours", ""
    )
    Terminal().print(table)


def _numbers_table(title: str, numbers: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, text in (
        ("users", f"{numbers['n_users']:,}"),
        ("items", f"{numbers['n_items']:,}"),
        ("interactions", f"{numbers['n_interactions']:,}"),
        ("density", f"{numbers['density']:.4%}"),
        ("items per user, mean", f"{numbers['mean_length']:.2f}"),
        ("items per user, median", f"{numbers['median_length']:g}"),
        ("categories", f"{len(numbers['categories']):,}"),
        ("items without category", f"{numbers['n_without_category']:,}"),
        ("first interaction", numbers["first_time"] or "unit of time unknown"),
        ("last interaction", numbers["last_time"] or "unit of time unknown"),
    ):
        table.add_row(name, Text(text, justify="right"))
    return table


def _bars(chart: Chart) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.title, grid.title_justify = f"\n{chart.title}", "left"
    highest = max(chart.values) or 1.0
    for label, value in zip(chart.labels, chart.values, strict=True):
        bar = "█" * round(BAR_WIDTH * value / highest)
        number = f"{value:,.0f}" if value.is_integer() else f"{value:.1f}"
        grid.add_row(Text(label), Text(bar or "▏", style="cyan"), Text(number))
    return grid
