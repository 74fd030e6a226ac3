"""A benchmark's table for the terminal."""

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from proactrec.report.benchmark.figures import ORACLES, head, place_text
from proactrec.report.benchmark.paper_table import (
    SIGNIFICANT,
    Column,
    PaperTable,
    TableCell,
    cell_number,
    first_oracle,
    half_width_text,
    notes,
)


def terminal_table(table: PaperTable, width: int | None = None) -> Table:
    """For the terminal: every mean with its interval below.

    Parameters
    ----------
    width : int, optional
        Of the terminal, in characters; where the table is wider, only last rounds are kept.
    """
    made = _terminal(table)
    measured = Measurement.get(wide := Console(width=10_000), wide.options, made).maximum
    if width is None or measured <= width:
        return made
    made = _terminal(table.at_last_rounds())
    made.caption = Text(f"{notes(table)} Other rounds need {measured} columns.")
    return made


def _terminal(table: PaperTable) -> Table:
    made = Table(
        title=Text(place_text(*table[:3])),
        caption=Text(notes(table)),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    made.add_column("method", no_wrap=True)
    for column in table.columns:
        made.add_column(Text(_stacked(column)), justify="right", no_wrap=True)
    for row in table.rows:
        if row is first_oracle(table):
            made.add_section()
            made.add_row(Text(ORACLES, style="italic"))
        cells = [_styled_cell(*pair) for pair in zip(table.columns, row.cells, strict=True)]
        made.add_row(Text(row.method), *cells)
        if row.published:
            texts = [cell_number(*pair) for pair in zip(table.columns, row.published, strict=True)]
            made.add_row(Text("  published"), *map(Text, texts), style="dim")
    return made


def _stacked(column: Column) -> str:
    """A long head on several lines, its round on the last."""
    return f"{head(column.metric)} @{column.round}".replace("share of", "share\u00a0of").replace(
        " ", "\n"
    )


def _styled_cell(column: Column, cell: TableCell) -> Text:
    style = "bold" if cell.is_best else "underline" if cell.is_second else ""
    text = Text(cell_number(column, cell.mean), style=style if cell.mean is not None else "dim")
    text = Text().append_text(text).append(SIGNIFICANT * cell.is_significant)
    below = half_width_text(column, cell).replace(" ", "")
    return text.append(f"\n{below}", style="dim") if below else text
