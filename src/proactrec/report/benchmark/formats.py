"""A benchmark's table for the terminal, as Markdown and for LaTeX."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from proactrec.report.benchmark.figures import ORACLES, file_name, head, place_text
from proactrec.report.benchmark.paper_table import (
    SIGNIFICANT,
    Column,
    PaperTable,
    TableCell,
    TableRow,
    caption,
    cell_number,
    first_oracle,
    half_width_text,
    notes,
)

MARKDOWN_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in r"\|*<`"})
LATEX_SIGNS = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "−": r"$-$",
        "±": r"$\pm$",
        "–": "--",
        "’": "'",
        SIGNIFICANT: r"$^{\dagger}$",
    }
)


def terminal_table(table: PaperTable, width: int | None = None) -> Table:
    """For the terminal: a row a method, every mean with its interval below.

    Parameters
    ----------
    width : int, optional
        Of the terminal, in characters. Where the table is wider, methods stand side by side, a row
        a metric and round; where they are too many for that, only last rounds are kept.
    """
    made = _terminal(table)
    if width is None or (needed := _width(made)) <= width:
        return made
    turned = _side_by_side(table)
    if _width(turned) <= width and not any(row.published for row in table.rows):
        return turned
    made = _terminal(table.at_last_rounds())
    made.caption = Text(f"{notes(table)} Other rounds need {needed} columns.")
    return made


def _width(made: Table) -> int:
    """Characters that a table takes where nothing is narrowed."""
    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, made).maximum


def _empty(table: PaperTable, first: str) -> Table:
    made = Table(
        title=Text(place_text(*table[:3])),
        caption=Text(notes(table)),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    made.add_column(first)
    return made


def _terminal(table: PaperTable) -> Table:
    made = _empty(table, "method")
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


def _side_by_side(table: PaperTable) -> Table:
    """A column a method, and the rounds of a metric one below the other."""
    made = _empty(table, "metric@round")
    for row in table.rows:
        name = f"{row.method} ({ORACLES})" if row.is_oracle else row.method
        made.add_column(Text(name.replace(" ", "\n")), justify="right", no_wrap=True)
    for at, column in enumerate(table.columns):
        if at and column.metric != table.columns[at - 1].metric:
            made.add_section()
        cells = [_styled_cell(column, row.cells[at], " ") for row in table.rows]
        made.add_row(Text(column.label), *cells)
    return made


def _stacked(column: Column) -> str:
    """A long head on several lines, its round on the last."""
    return f"{head(column.metric)} @{column.round}".replace(" ", "\n")


def _styled_cell(column: Column, cell: TableCell, between: str = "\n") -> Text:
    style = "bold" if cell.is_best else "underline" if cell.is_second else ""
    text = Text(cell_number(column, cell.mean), style=style if cell.mean is not None else "dim")
    text = Text().append_text(text).append(SIGNIFICANT * cell.is_significant)
    spread = half_width_text(column, cell).replace(" ", "")
    return text.append(f"{between}{spread}", style="dim") if spread else text


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


def latex(table: PaperTable) -> str:
    """A complete ``table*`` for LaTeX; needs the package booktabs."""
    spans = _spans(table.columns)
    shape = "l" + "".join("r" * span for _, span in spans)
    groups = (rf"\multicolumn{{{span}}}{{c}}{{{_escaped(head(name))}}}" for name, span in spans)
    body = [
        r"\begin{table*}[t]",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escaped(caption(table))}}}",
        rf"\label{{tab:{file_name(*table[:3]).strip('-')}}}",
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        _latex_line(["", *groups]),
        _rules(spans),
        _latex_line(["method", *(f"@{column.round}" for column in table.columns)]),
        r"\midrule",
    ]
    for row in table.rows:
        if row is first_oracle(table):
            block = rf"\multicolumn{{{len(shape)}}}{{l}}{{\textit{{{_escaped(ORACLES)}}}}}"
            body += [r"\midrule", _latex_line([block])]
        body += _latex_rows(table.columns, row)
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def _latex_rows(columns: Sequence[Column], row: TableRow) -> list[str]:
    """The means, and a line of small half-widths where there are any."""
    pairs = list(zip(columns, row.cells, strict=True))
    lines = [_latex_line([_escaped(row.method), *(_latex_cell(*pair) for pair in pairs)])]
    widths = [_escaped(half_width_text(*pair).replace(" ", "")) for pair in pairs]
    if any(widths):
        lines.append(_latex_line(["", *(rf"{{\tiny {text}}}" if text else "" for text in widths)]))
    return lines


def _latex_cell(column: Column, cell: TableCell) -> str:
    text = _escaped(cell_number(column, cell.mean))
    marked = rf"\textbf{{{text}}}" if cell.is_best else rf"\underline{{{text}}}"
    text = marked if cell.is_best or cell.is_second else text
    return text + _escaped(SIGNIFICANT * cell.is_significant)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return text.translate(LATEX_SIGNS)


def _spans(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """(metric, number of its columns), in order."""
    metrics = [column.metric for column in columns]
    return [(metric, metrics.count(metric)) for metric in dict.fromkeys(metrics)]


def _rules(spans: Sequence[tuple[str, int]]) -> str:
    """A thin rule below every group of columns."""
    ends, at = [], 1
    for _, span in spans:
        ends.append(rf"\cmidrule(lr){{{at + 1}-{at + span}}}")
        at += span
    return "".join(ends)
