"""A benchmark's table as Markdown."""

from proactrec.report.benchmark.figures import ORACLES
from proactrec.report.benchmark.paper_table import (
    SIGNIFICANT,
    Column,
    PaperTable,
    TableCell,
    caption,
    cell_number,
    first_oracle,
    half_width_text,
)

MARKDOWN_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in r"\|*<`"})


def markdown(table: PaperTable) -> str:
    """As Markdown, with the caption below."""
    lines = [
        ["method", *(column.label for column in table.columns)],
        ["---", *("---:" for _ in table.columns)],
    ]
    for row in table.rows:
        if row is first_oracle(table):
            lines.append([f"*{ORACLES}*", *("" for _ in table.columns)])
        cells = [_markdown_cell(*pair) for pair in zip(table.columns, row.cells, strict=True)]
        lines.append([row.method.translate(MARKDOWN_SIGNS), *cells])
        if row.published:
            texts = (cell_number(*pair) for pair in zip(table.columns, row.published, strict=True))
            lines.append(["↳ published", *texts])
    grid = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{grid}\n{caption(table).translate(MARKDOWN_SIGNS)}\n"


def _markdown_cell(column: Column, cell: TableCell) -> str:
    text = cell_number(column, cell.mean)
    text = f"**{text}**" if cell.is_best else f"<u>{text}</u>" if cell.is_second else text
    return f"{text}{SIGNIFICANT * cell.is_significant} {half_width_text(column, cell)}".rstrip()
