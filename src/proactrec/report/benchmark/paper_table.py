"""The table of a benchmark in the paper's layout, before it is written down anywhere."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from proactrec.errors import InvalidInputError
from proactrec.measurement.comparison import LOWER_IS_BETTER
from proactrec.report.benchmark.figures import (
    ORACLES,
    PLACE,
    at_place,
    metric_at,
    over_seeds,
    place_text,
    rank_metric,
    seeds_text,
)
from proactrec.report.tables import number_text

SIGNIFICANT = "†"
PAIRED = (
    "significantly better than the second best in a paired comparison: the same users, targets and "
    "luck, compared one by one"
)
UNPAIRED = "which the ± of each mean, all by itself, does not show: they may overlap"
DECIMALS = {"hr": 4, "ioi": 4, "ior": 1, "ior200": 1}  # others: 3


class Column(NamedTuple):
    """A metric at a round."""

    metric: str
    round: int

    @property
    def label(self) -> str:
        """E.g. ``IoI@20``."""
        return metric_at(self.metric, self.round)


class TableCell(NamedTuple):
    """Mean over seeds, half-width of its 95 % interval, and the place among the methods.

    Marks are about the mean as printed: methods that print the same are equally good. Oracles have
    no marks.
    """

    mean: float | None = None
    half_width: float | None = None
    is_best: bool = False
    is_second: bool = False
    is_significant: bool = False


class TableRow(NamedTuple):
    """One method with its cells, and what was published of it, in the order of the columns."""

    method: str
    is_oracle: bool
    cells: list[TableCell]
    published: list[float | None]  # empty where nothing was


class PaperTable(NamedTuple):
    """What every kind of output is made from; oracles come last."""

    dataset: str
    protocol: str
    world: str
    columns: list[Column]
    rows: list[TableRow]
    n_seeds: tuple[int, int]  # lowest and highest of all cells

    def at_last_rounds(self) -> "PaperTable":
        """The same table with each metric's last round only, for a narrow terminal."""
        last = {column.metric: column.round for column in self.columns}  # rounds ascend
        kept = [at for at, column in enumerate(self.columns) if column.round == last[column.metric]]

        def narrow(row: TableRow) -> TableRow:
            published = [row.published[at] for at in kept] if row.published else []
            return row._replace(cells=[row.cells[at] for at in kept], published=published)

        columns = [self.columns[at] for at in kept]
        return self._replace(columns=columns, rows=[narrow(row) for row in self.rows])


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
    the target and the worth of a journey follow, likewise; then the mean rounds to the target and
    the share of the oracle's IoI, at their last round. What no method has is left out.

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
        f"Mean over {seeds_text(*table.n_seeds)}{spread}; higher is better"
        + (", but fewer rounds to the target." if "rounds_to_target" in metrics else "."),
        "Best value in bold, second best underlined"
        + (f"; a method that {ORACLES} stands apart." if first_oracle(table) else "."),
    ]
    if any(cell.is_significant for row in rows for cell in row.cells):
        sentences.append(f"{SIGNIFICANT} {PAIRED}{f', {UNPAIRED}' if spread else ''}.")
    if "ior200" in metrics:
        sentences.append("IoR (cut 200): ranks beyond 200 count as 200.")
    return " ".join(sentences)


def caption(table: PaperTable) -> str:
    """Where the figures are from, and :func:`notes`."""
    return f"{place_text(*table[:3])}. {notes(table)}"


def cell_number(column: Column, value: float | None) -> str:
    """The value with its column's decimals; a dash where there is none."""
    return number_text(value, DECIMALS.get(column.metric, 3))


def half_width_text(column: Column, cell: TableCell) -> str:
    """E.g. ``± 0.012``; empty where there is none."""
    return "" if cell.half_width is None else f"± {cell_number(column, cell.half_width)}"


def first_oracle(table: PaperTable) -> TableRow | None:
    """The row above which the block of the oracles begins."""
    return next((row for row in table.rows if row.is_oracle), None)


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
    """Those that some method has: most metrics at all rounds, single figures at their last."""

    def rounds(metric: str) -> list[int]:
        return sorted(found.filter(metric=metric)["round"].unique())

    main = ("hr", "ioi", rank_metric, "target_accepted", "worth")
    single = ("rounds_to_target", "share_of_oracle")
    columns = [Column(name, at) for name in main for at in rounds(name)]
    return columns + [Column(name, at) for name in single for at in rounds(name)[-1:]]


def _row(
    found: pl.DataFrame, columns: list[Column], published: Mapping[tuple[str, int], float]
) -> TableRow:
    """A method's row, not yet marked."""
    values = {
        (metric, at): TableCell(mean, half_width)
        for metric, at, mean, half_width in found.select(
            "metric", "round", "mean", "half_width"
        ).rows()
    }
    known = [published.get((column.metric, column.round)) for column in columns]
    return TableRow(
        found["method"][0],
        found["is_oracle"][0],
        [values.get((column.metric, column.round), TableCell()) for column in columns],
        known if any(value is not None for value in known) else [],
    )


def _marked(
    rows: list[TableRow], columns: list[Column], significant: set[tuple[str, str, int]]
) -> list[TableRow]:
    leaders = [
        _two_best(
            (
                _printed(column, row.cells[at].mean)
                for row in rows
                if not row.is_oracle and row.cells[at].mean is not None
            ),
            least=column.metric in LOWER_IS_BETTER,
        )
        for at, column in enumerate(columns)
    ]

    def mark(row: TableRow, at: int) -> TableCell:
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


def _two_best(values: Iterable[float], *, least: bool) -> tuple[float | None, float | None]:
    best, second, *_ = [*sorted(set(values), reverse=not least), None, None]
    return best, second
