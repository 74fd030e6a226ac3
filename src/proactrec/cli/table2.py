"""`proactrec data table2`: the paper's data sets beside what is at hand."""

import json as json_format

from rich.table import Table

from proactrec.cli import options
from proactrec.cli.console import Terminal
from proactrec.data.table2 import QUIRKS, Row
from proactrec.data.table2 import table2 as rows_of_table2


def table2(
    data_dir: options.DataDir = None,
    json: options.Json = False,
) -> None:
    """Show the paper's Table 2 beside the data sets at hand, and explain its contradictions.

    Example: proactrec data table2 --data-dir data
    """
    rows = rows_of_table2(data_dir)
    if json:
        print(json_format.dumps([row._asdict() for row in rows]))
        return
    table = Table("data set", "filter", "users", "items", "interactions", "mean length", "density")
    for row in rows:
        table.add_row(row.dataset, row.filter, *_cells(row))
    console = Terminal()
    console.print(table)
    for row in rows:
        if row.missing:
            console.print(f"{row.dataset}: {row.missing}", highlight=False)
    for name, words in QUIRKS.items():
        if any(row.dataset == name for row in rows):
            console.print(f"{name}: {words}", highlight=False)


def _cells(row: Row) -> list[str]:
    if row.figures is None:
        return ["-"] * 5
    counts = [f"{row.figures[key]:,}" for key in ("n_users", "n_items", "n_interactions")]
    return [*counts, f"{row.figures['mean_length']:.2f}", f"{row.figures['density']:.4%}"]
