"""Metrics of a run over the rounds as a table for the terminal, and figures as text."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from proactrec.measurement.results import Figure, RunResult

LABELS = {"hr": "HR", "ioi": "IoI", "ior": "IoR", "ior200": "IoR200", "accept_prob": "P(accept)"}
MISSING = "–"


class MetricRow(NamedTuple):
    """One metric as text: its label, and (mean, "low–high") per round."""

    label: str
    cells: list[tuple[str, str]]


def label_of(name: str) -> str:
    """Display label of a metric or figure, e.g. ``ioi`` → ``IoI``."""
    return LABELS.get(name, name.replace("_", " "))


def metric_rows(result: RunResult) -> list[MetricRow]:
    """Metrics in the order of `result`, then of categories that were watched: a cell per round."""
    labelled = [(label_of(name), by_round) for name, by_round in result.metrics.items()]
    for category, figures in result.categories.items():
        before = number_text(figures.share_before.mean, 3)
        more = {"share_of_accepted": f" (before: {before})"}
        labelled += [
            (f"{category}: {label_of(name)}{more.get(name, '')}", by_round)
            for name, by_round in figures.metrics.items()
        ]
    return [
        MetricRow(label, interval_texts([by_round.get(at) for at in result.rounds]))
        for label, by_round in labelled
    ]


def interval_texts(figures: Sequence[Figure | None]) -> list[tuple[str, str]]:
    """(mean, "low–high") of figures that are read together, all with the same decimals."""
    known = [figure for figure in figures if figure is not None]
    n_decimals = decimals(x for figure in known for x in (figure.mean, figure.low, figure.high))
    return [
        (number_text(figure.mean, n_decimals), _range_text(figure, n_decimals))
        if figure is not None
        else (MISSING, "")
        for figure in figures
    ]


def foreseen_texts(
    median: float, intervals: Mapping[str, Sequence[float]], *beside: float
) -> list[str]:
    """A foreseen median, its intervals, and figures beside it, all with the same decimals."""
    ends = [end for interval in intervals.values() for end in interval]
    n_decimals = decimals([median, *ends, *beside])
    ranges = [
        " to ".join(number_text(end, n_decimals) for end in interval)
        for interval in intervals.values()
    ]
    return [number_text(median, n_decimals), *ranges, *(number_text(x, n_decimals) for x in beside)]


def decimals(values: Iterable[float | None]) -> int:
    """Decimals that show three digits of the largest value, from 1 to 4; zeros get 3."""
    largest = max((abs(x) for x in values if x is not None and math.isfinite(x)), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 1), 4) if largest else 3


def number_text(value: float | None, n_decimals: int) -> str:
    """The number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, n_decimals) + 0.0  # no minus before a zero
    return f"{rounded:,.{n_decimals}f}".replace("-", "−")


def percent_text(share: float | None, n_decimals: int = 0) -> str:
    """A share in per cent, whose sign stays beside it; a dash where there is none."""
    text = number_text(None if share is None else 100 * share, n_decimals)
    return text if text == MISSING else f"{text}\N{NO-BREAK SPACE}%"


def result_table(result: RunResult) -> Table:
    """Table for the terminal: every metric at every round, mean over its 95 % interval."""
    title = Text(f"{result.dataset}, {result.policy}, {result.protocol}")
    table = Table(title=title, caption="mean, and 95 % interval below it")
    table.add_column("metric")
    for number in result.rounds:
        table.add_column(f"@{number}", justify="right")
    for row in metric_rows(result):
        cells = [Text(mean).append(f"\n{low_high}", style="dim") for mean, low_high in row.cells]
        table.add_row(Text(row.label), *cells)
    return table


def _range_text(figure: Figure, n_decimals: int) -> str:
    low, high = (number_text(end, n_decimals) for end in (figure.low, figure.high))
    if MISSING in (low, high):
        return ""
    # A dash between minus signs needs room.
    return f"{low} – {high}" if "−" in low + high else f"{low}–{high}"
