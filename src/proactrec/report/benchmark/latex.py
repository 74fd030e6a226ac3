"""A benchmark's table for LaTeX."""

from collections.abc import Iterable, Sequence

from proactrec.report.benchmark.figures import ORACLES, file_name, head
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
)

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


def latex(table: PaperTable, label: str | None = None) -> str:
    r"""A complete ``table*`` for LaTeX; needs the package booktabs.

    Parameters
    ----------
    label : str, optional
        For ``\ref``; by default made of dataset, protocol and world.
    """
    name = label or "tab:" + file_name(*table[:3]).strip("-")
    spans = _spans(table.columns)
    shape = "l" + "".join("r" * span for _, span in spans)
    groups = (rf"\multicolumn{{{span}}}{{c}}{{{_escaped(head(name))}}}" for name, span in spans)
    body = [
        r"\begin{table*}[t]",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escaped(caption(table))}}}",
        rf"\label{{{name}}}",
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
    text = (
        rf"\textbf{{{text}}}"
        if cell.is_best
        else rf"\underline{{{text}}}"
        if cell.is_second
        else text
    )
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
