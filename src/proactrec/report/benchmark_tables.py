"""Tables of a benchmark in the paper's layout: for the terminal, Markdown, LaTeX and Parquet.

Everywhere here, `figures` is the benchmark's long frame: one row per dataset, protocol, world,
method, seed, metric and round (:data:`COLUMNS`).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from proactrec.errors import InvalidInputError
from proactrec.measurement.student import T_975
from proactrec.report.tables import LABELS, number_text

PLACE = ("dataset", "protocol", "world")
COLUMNS = (*PLACE, "method", "is_oracle", "seed", "metric", "round", "mean", "low", "high")
ONE_FIGURE = (*PLACE, "method", "metric", "round")
ORACLES = "reads the users’ minds"
"""Heads the block of the oracles, wherever they are shown."""
SIGNIFICANT = "†"
HEADS = {
    **LABELS,
    "ior200": "IoR (cut 200)",
    "target_accepted": "target accepted",
    "share_of_oracle": "share of oracle",
}
DECIMALS = {"hr": 4, "ioi": 4, "ior": 1, "ior200": 1}  # others: 3
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


class Column(NamedTuple):
    """A metric at a round."""

    metric: str
    round: int

    @property
    def label(self) -> str:
        """E.g. ``IoI@20``."""
        return metric_at(self.metric, self.round)


class Cell(NamedTuple):
    """Mean over seeds, half-width of its 95 % interval, and the place among the methods.

    Marks are about the mean as printed: methods that print the same are equally good. Higher is
    better in every column, and oracles have no marks.
    """

    mean: float | None = None
    half_width: float | None = None
    is_best: bool = False
    is_second: bool = False
    is_significant: bool = False


class Row(NamedTuple):
    """One method with its cells, and what was published of it, in the order of the columns."""

    method: str
    is_oracle: bool
    cells: list[Cell]
    published: list[float | None]  # empty where nothing was


class PaperTable(NamedTuple):
    """What every kind of output is made from; oracles come last."""

    dataset: str
    protocol: str
    world: str
    columns: list[Column]
    rows: list[Row]
    n_seeds: tuple[int, int]  # lowest and highest of all cells

    def at_last_rounds(self) -> "PaperTable":
        """The same table with each metric's last round only, for a narrow terminal."""
        last = {column.metric: column.round for column in self.columns}  # rounds ascend
        kept = [at for at, column in enumerate(self.columns) if column.round == last[column.metric]]

        def narrow(row: Row) -> Row:
            published = [row.published[at] for at in kept] if row.published else []
            return row._replace(cells=[row.cells[at] for at in kept], published=published)

        columns = [self.columns[at] for at in kept]
        return self._replace(columns=columns, rows=[narrow(row) for row in self.rows])


def head(metric: str) -> str:
    """Display label of a metric in a benchmark."""
    return HEADS.get(metric, metric.replace("_", " "))


def metric_at(metric: str, round: int) -> str:
    """Display label with the round, e.g. ``IoI@20`` or ``IoR@20 (cut 200)``."""
    name, bracket, note = head(metric).partition(" (")
    return f"{name}@{round}{bracket}{note}"


def cell_number(column: Column, value: float | None) -> str:
    """The value with its column's decimals; a dash where there is none."""
    return number_text(value, DECIMALS.get(column.metric, 3))


def place_text(dataset: str, protocol: str, world: str) -> str:
    """Where figures are from, e.g. ``ml-100k, protocol common, world medium``."""
    parts = [dataset, f"protocol {protocol}", *([f"world {world}"] if world != protocol else [])]
    return ", ".join(parts)


def file_name(dataset: str, protocol: str, world: str) -> str:
    """Name of a place's files, e.g. ``ml-100k-common-steep-per-user``."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join([dataset, protocol, world]).lower())


def seeds_text(fewest: int, most: int) -> str:
    """How many seeds a mean is over, e.g. ``3 seeds`` or ``2 to 3 seeds``."""
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most > 1)}"


def checked(figures: pl.DataFrame) -> pl.DataFrame:
    """The frame without rows that lack a mean.

    Raises
    ------
    InvalidInputError
        If a column is missing, nothing is left, or a seed's figure is there twice.
    """
    missing = [name for name in COLUMNS if name not in figures.columns]
    if missing:
        raise InvalidInputError(
            f"figures must have the columns {', '.join(COLUMNS)}; {', '.join(missing)} not found"
        )
    known = figures.filter(pl.col("mean").is_finite())
    if known.is_empty():
        raise InvalidInputError("figures must hold at least one mean, got none")
    twice = known.filter(known.select(*ONE_FIGURE, "seed").is_duplicated())
    if not twice.is_empty():
        first = ", ".join(str(value) for value in twice.select(*ONE_FIGURE, "seed").row(0))
        raise InvalidInputError(f"figures must hold each seed's figure once; twice: {first}")
    return known


def at_place(figures: pl.DataFrame, dataset: str, protocol: str, world: str) -> pl.DataFrame:
    """Figures of one dataset, protocol and world; InvalidInputError where there are none."""
    known = checked(figures)
    found = known.filter(dataset=dataset, protocol=protocol, world=world)
    if found.is_empty():
        places = known.select(PLACE).unique(maintain_order=True).rows()
        raise InvalidInputError(
            f"figures must hold {place_text(dataset, protocol, world)}; found: "
            + "; ".join(place_text(*place) for place in places)
        )
    return found


def over_seeds(figures: pl.DataFrame) -> pl.DataFrame:
    """Mean over seeds with a 95 % interval, in order of first appearance.

    Returns
    -------
    DataFrame
        One row per dataset, protocol, world, method, metric and round, with `is_oracle`, `mean`,
        `half_width` (Student's t over seeds; null with one seed), `n_seeds`, and `low` and `high`:
        the ends of that interval, or with one seed those that came with it (over users).
        Seeds whose mean is null or NaN are left out.
    """
    t_of = {n + 2: t for n, t in enumerate(T_975)}
    n_seeds, half_width = pl.col("n_seeds"), pl.col("half_width")
    t = n_seeds.replace_strict(t_of, default=1.96, return_dtype=pl.Float64)
    return (
        checked(figures)
        .group_by(ONE_FIGURE, maintain_order=True)
        .agg(
            pl.col("is_oracle").first(),
            pl.col("mean").mean(),
            (pl.col("mean").std() / pl.len().sqrt()).alias("half_width"),
            pl.len().cast(pl.Int64).alias("n_seeds"),
            pl.col("low", "high").cast(pl.Float64).first(),
        )
        .with_columns(half_width * t)
        .with_columns(
            pl.when(n_seeds == 1).then("low").otherwise(pl.col("mean") - half_width).alias("low"),
            pl.when(n_seeds == 1).then("high").otherwise(pl.col("mean") + half_width).alias("high"),
        )
    )


def rank_metric(protocol: str) -> str:
    """IoR with ranks cut at 200: `official` cuts all of its ranks there."""
    return "ior" if protocol == "official" else "ior200"


def paper_table(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
    *,
    significant: Collection[tuple[str, str, int]] = (),
    published: Mapping[str, Mapping[tuple[str, int], float]] | None = None,
) -> PaperTable:
    """Methods by HR, IoI and IoR at every reported round, as in Tables 3 and 4 of the paper.

    IoR is uncut in protocol ``official`` and cut at 200 elsewhere. The share of pairs that accepted
    the target and the share of the oracle's IoI follow, at their last round. What no method
    has is left out.

    Parameters
    ----------
    significant : collection of (method, metric, round)
        Where the method beats the second best significantly.
    published : mapping from method to {(metric, round): value}
        Figures to print below the method's own; methods that were not run are left out.
    """
    found = over_seeds(at_place(figures, dataset, protocol, world))
    columns = _columns(found, rank_metric(protocol))
    if not columns:
        raise InvalidInputError(
            f"figures must hold hr, ioi or ior for {place_text(dataset, protocol, world)}, got "
            f"only {', '.join(found['metric'].unique(maintain_order=True))}"
        )
    rows = [
        _row(found.filter(method=method), columns, (published or {}).get(method, {}))
        for method in found["method"].unique(maintain_order=True)
    ]
    rows.sort(key=lambda row: row.is_oracle)
    used = found.filter(pl.col("metric").is_in({column.metric for column in columns}))["n_seeds"]
    n_seeds = min(used), max(used)
    marked = _marked(rows, columns, set(significant))
    return PaperTable(dataset, protocol, world, columns, marked, n_seeds)


def notes(table: PaperTable) -> str:
    """What the figures and their marks mean."""
    rows, metrics = table.rows, {column.metric for column in table.columns}
    spread = " ± half-width of the 95 % Student-t interval" if table.n_seeds[1] > 1 else ""
    sentences = [
        f"Mean over {seeds_text(*table.n_seeds)}{spread}; higher is better.",
        "Best value in bold, second best underlined"
        + (f"; a method that {ORACLES} stands apart." if _first_oracle(table) else "."),
    ]
    if any(cell.is_significant for row in rows for cell in row.cells):
        sentences.append(f"{SIGNIFICANT} significantly better than the second best.")
    if "ior200" in metrics:
        sentences.append("IoR (cut 200): ranks beyond 200 count as 200.")
    return " ".join(sentences)


def caption(table: PaperTable) -> str:
    """Where the figures are from, and :func:`notes`."""
    return f"{place_text(*table[:3])}. {notes(table)}"


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


def markdown(table: PaperTable) -> str:
    """As Markdown, with the caption below."""
    lines = [
        ["method", *(column.label for column in table.columns)],
        ["---", *("---:" for _ in table.columns)],
    ]
    for row in table.rows:
        if row is _first_oracle(table):
            lines.append([f"*{ORACLES}*", *("" for _ in table.columns)])
        cells = [_markdown_cell(*pair) for pair in zip(table.columns, row.cells, strict=True)]
        lines.append([row.method.translate(MARKDOWN_SIGNS), *cells])
        if row.published:
            texts = (cell_number(*pair) for pair in zip(table.columns, row.published, strict=True))
            lines.append(["↳ published", *texts])
    grid = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{grid}\n{caption(table).translate(MARKDOWN_SIGNS)}\n"


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
        if row is _first_oracle(table):
            block = rf"\multicolumn{{{len(shape)}}}{{l}}{{\textit{{{_escaped(ORACLES)}}}}}"
            body += [r"\midrule", _latex_line([block])]
        body += _latex_rows(table.columns, row)
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])


def wide_frame(table: PaperTable) -> pl.DataFrame:
    """A row per method, with columns like `ioi@20` and `ioi@20_half_width`, as plain numbers."""
    place = dict(zip(PLACE, table[:3], strict=True))
    rows = []
    for row in table.rows:
        figures: dict[str, float | None] = {}
        for column, cell in zip(table.columns, row.cells, strict=True):
            name = f"{column.metric}@{column.round}"
            figures |= {name: cell.mean, f"{name}_half_width": cell.half_width}
        rows.append({**place, "method": row.method, "is_oracle": row.is_oracle, **figures})
    frame = pl.DataFrame(rows, infer_schema_length=None)
    fixed = (*PLACE, "method", "is_oracle")
    return frame.with_columns(pl.exclude(fixed).cast(pl.Float64))


def write_parquet(table: PaperTable, path: Path) -> Path:
    """Write :func:`wide_frame` and return the path; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wide_frame(table).write_parquet(path)
    return path


def _columns(found: pl.DataFrame, rank_metric: str) -> list[Column]:
    """Those that some method has: the three metrics at all rounds, the shares at the last."""

    def rounds(metric: str) -> list[int]:
        return sorted(found.filter(metric=metric)["round"].unique())

    main = [Column(name, at) for name in ("hr", "ioi", rank_metric) for at in rounds(name)]
    shares = ("target_accepted", "share_of_oracle")
    return main + [Column(name, at) for name in shares for at in rounds(name)[-1:]]


def _row(
    found: pl.DataFrame, columns: list[Column], published: Mapping[tuple[str, int], float]
) -> Row:
    """A method's row, not yet marked."""
    values = {
        (metric, at): Cell(mean, half_width)
        for metric, at, mean, half_width in found.select(
            "metric", "round", "mean", "half_width"
        ).rows()
    }
    known = [published.get((column.metric, column.round)) for column in columns]
    return Row(
        found["method"][0],
        found["is_oracle"][0],
        [values.get((column.metric, column.round), Cell()) for column in columns],
        known if any(value is not None for value in known) else [],
    )


def _marked(
    rows: list[Row], columns: list[Column], significant: set[tuple[str, str, int]]
) -> list[Row]:
    leaders = [
        _two_best(
            _printed(column, row.cells[at].mean)
            for row in rows
            if not row.is_oracle and row.cells[at].mean is not None
        )
        for at, column in enumerate(columns)
    ]

    def mark(row: Row, at: int) -> Cell:
        cell, column, (best, second) = row.cells[at], columns[at], leaders[at]
        if row.is_oracle or cell.mean is None:
            return cell
        value = _printed(column, cell.mean)
        is_significant = (row.method, column.metric, column.round) in significant
        return cell._replace(
            is_best=value == best, is_second=value == second, is_significant=is_significant
        )

    return [row._replace(cells=[mark(row, at) for at in range(len(columns))]) for row in rows]


def _printed(column: Column, value: float | None) -> float:
    return round(value or 0.0, DECIMALS.get(column.metric, 3))


def _two_best(values: Iterable[float]) -> tuple[float | None, float | None]:
    best, second, *_ = [*sorted(set(values), reverse=True), None, None]
    return best, second


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
        if row is _first_oracle(table):
            made.add_section()
            made.add_row(Text(ORACLES, style="italic"))
        cells = [_styled_cell(*pair) for pair in zip(table.columns, row.cells, strict=True)]
        made.add_row(Text(row.method), *cells)
        if row.published:
            texts = [cell_number(*pair) for pair in zip(table.columns, row.published, strict=True)]
            made.add_row(Text("  published"), *map(Text, texts), style="dim")
    return made


def _first_oracle(table: PaperTable) -> Row | None:
    return next((row for row in table.rows if row.is_oracle), None)


def _stacked(column: Column) -> str:
    """A long head on several lines, its round on the last."""
    return f"{head(column.metric)} @{column.round}".replace("share of", "share\u00a0of").replace(
        " ", "\n"
    )


def _half_width_text(column: Column, cell: Cell) -> str:
    return "" if cell.half_width is None else f"± {cell_number(column, cell.half_width)}"


def _styled_cell(column: Column, cell: Cell) -> Text:
    style = "bold" if cell.is_best else "underline" if cell.is_second else ""
    text = Text(cell_number(column, cell.mean), style=style if cell.mean is not None else "dim")
    text = Text().append_text(text).append(SIGNIFICANT * cell.is_significant)
    below = _half_width_text(column, cell).replace(" ", "")
    return text.append(f"\n{below}", style="dim") if below else text


def _markdown_cell(column: Column, cell: Cell) -> str:
    text = cell_number(column, cell.mean)
    text = f"**{text}**" if cell.is_best else f"<u>{text}</u>" if cell.is_second else text
    return f"{text}{SIGNIFICANT * cell.is_significant} {_half_width_text(column, cell)}".rstrip()


def _escaped(text: str) -> str:
    return text.translate(LATEX_SIGNS)


def _latex_cell(column: Column, cell: Cell) -> str:
    text = _escaped(cell_number(column, cell.mean))
    text = (
        rf"\textbf{{{text}}}"
        if cell.is_best
        else rf"\underline{{{text}}}"
        if cell.is_second
        else text
    )
    return text + _escaped(SIGNIFICANT * cell.is_significant)


def _latex_rows(columns: Sequence[Column], row: Row) -> list[str]:
    """The means, and a line of small half-widths where there are any."""
    pairs = list(zip(columns, row.cells, strict=True))
    lines = [_latex_line([_escaped(row.method), *(_latex_cell(*pair) for pair in pairs)])]
    widths = [_escaped(_half_width_text(*pair).replace(" ", "")) for pair in pairs]
    if any(widths):
        lines.append(_latex_line(["", *(rf"{{\tiny {text}}}" if text else "" for text in widths)]))
    return lines


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


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
