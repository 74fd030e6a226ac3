"""Metrics of a run over the rounds, as a table for the terminal and as Markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

LABELS = {"hr": "HR", "ioi": "IoI", "ior": "IoR", "ior200": "IoR200", "accept_prob": "P(accept)"}
MISSING = "–"


class MetricRow(NamedTuple):
    """One metric as text: its label, and (mean, "low–high") per round."""

    label: str
    cells: list[tuple[str, str]]


def label_of(name: str) -> str:
    """Display label of a metric or figure, e.g. ``ioi`` → ``IoI``."""
    return LABELS.get(name, name.replace("_", " "))


def round_numbers(result: Mapping[str, Any]) -> list[int]:
    """Every round that a metric is given for, ascending; empty where there are no metrics."""
    metrics = result.get("metrics") or {}
    return sorted({int(number) for per_round in metrics.values() for number in per_round})


def metric_rows(result: Mapping[str, Any]) -> list[MetricRow]:
    """Metrics in the order of `result`, with one cell per round of :func:`round_numbers`."""
    numbers = round_numbers(result)
    return [
        MetricRow(
            label_of(name),
            interval_texts([per_round.get(str(number)) or {} for number in numbers]),
        )
        for name, per_round in (result.get("metrics") or {}).items()
    ]


def interval_texts(intervals: Iterable[Mapping[str, float | None]]) -> list[tuple[str, str]]:
    """(mean, "low–high") of intervals that are read together, all with the same decimals."""
    intervals = list(intervals)
    n_decimals = decimals(value for interval in intervals for value in interval.values())
    return [
        (number_text(interval.get("mean"), n_decimals), _range_text(interval, n_decimals))
        for interval in intervals
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


def result_table(result: Mapping[str, Any]) -> Table:
    """Table for the terminal: every metric at every round, mean over its 95 % interval.

    Parameters
    ----------
    result : mapping
        Content of `metrics.json`; only `metrics`, `dataset`, `policy` and `protocol` are read,
        and each may be missing.
    """
    table = Table(title=Text(_caption(result)), caption="mean, and 95 % interval below it")
    table.add_column("metric")
    for number in round_numbers(result):
        table.add_column(f"@{number}", justify="right")
    for row in metric_rows(result):
        cells = [Text(mean).append(f"\n{low_high}", style="dim") for mean, low_high in row.cells]
        table.add_row(Text(row.label), *cells)
    return table


def result_markdown(result: Mapping[str, Any]) -> str:
    """The same table as Markdown; empty where there are no metrics."""
    numbers = round_numbers(result)
    if not numbers:
        return ""
    lines = [["metric", *(f"@{number}" for number in numbers)], ["---", *("---:" for _ in numbers)]]
    for row in metric_rows(result):
        cells = [f"{mean} ({low_high})" if low_high else mean for mean, low_high in row.cells]
        lines.append([row.label.replace("|", r"\|"), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _range_text(interval: Mapping[str, float | None], n_decimals: int) -> str:
    low, high = (number_text(interval.get(end), n_decimals) for end in ("low", "high"))
    if MISSING in (low, high):
        return ""
    # A dash between minus signs needs room.
    return f"{low} – {high}" if "−" in low + high else f"{low}–{high}"


def _caption(result: Mapping[str, Any]) -> str:
    keys = ("dataset", "policy", "protocol")
    return ", ".join(str(result[key]) for key in keys if result.get(key))
