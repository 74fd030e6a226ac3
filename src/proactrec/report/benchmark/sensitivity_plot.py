"""Metrics by the value of an option, as in Figure 4 of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import PLACE, checked, head, metric_at, over_seeds
from proactrec.report.benchmark.looks import (
    COLOURS,
    LABEL_SIZE,
    STEPS,
    UNITS,
    about,
    bar_lengths,
    last_round,
    of_metric,
    side_by_side,
    under_suptitle,
)
from proactrec.report.drawing import FAINT
from proactrec.report.line_labels import end_labels


def sensitivity_plot(
    figures: pl.DataFrame,
    values: Mapping[str, float],
    metric: str | Sequence[str] = ("ioi", "ior200"),
    x_label: str = "value",
    *,
    log_x: bool = False,
) -> Figure:
    """A metric at its last round by an option's value, as in Figure 4 of the paper.

    Parameters
    ----------
    values : mapping from method to number
        What the option is in each method; others are left out.
    metric : name or names
        One panel each.
    """
    metrics = [metric] if isinstance(metric, str) else list(metric)
    known = checked(figures).filter(pl.col("method").is_in(list(values)))
    if known.is_empty():
        raise InvalidInputError(f"figures must hold methods of values, found none of {[*values]}")
    panels = [over_seeds(last_round(of_metric(known, name))) for name in metrics]
    places = known.select(PLACE).unique(maintain_order=True).rows()
    if len(places) > len(COLOURS):
        raise InvalidInputError(
            f"figures must hold at most {len(COLOURS)} data sets, protocols and worlds to compare, "
            f"got {len(places)}"
        )
    names = " and ".join(
        metric_at(name, found["round"][0]) for name, found in zip(metrics, panels, strict=True)
    )
    with side_by_side(f"{names} by {x_label}", (0.6 + 4.2 * len(metrics), 4.1), len(metrics)) as (
        figure,
        all_axes,
    ):
        for axes, name, found in zip(all_axes, metrics, panels, strict=True):
            axes.set_title(metric_at(name, found["round"][0]), fontsize=10)
            _sensitivity_panel(axes, found, values, places, log_x)
            axes.set_ylabel(UNITS.get(name, head(name)))
            axes.set_xlabel(x_label)
            if len(places) > 1:
                _place_labels(axes, found, values, places)
        under_suptitle(figure, *about(panels[0], places[0] if len(places) == 1 else None, "bars"))
    return figure


def _sensitivity_panel(
    axes: Axes,
    found: pl.DataFrame,
    values: Mapping[str, float],
    places: Sequence[tuple[Any, ...]],
    log_x: bool,
) -> None:
    for place, colour in zip(places, COLOURS, strict=False):
        line = _by_value(found, values, place)
        for row in line.iter_rows(named=True):
            axes.errorbar(
                row["value"],
                row["mean"],
                yerr=bar_lengths(row),
                color=colour,
                capsize=3,
                elinewidth=1,
            )
        axes.plot(
            line["value"].to_numpy(), line["mean"].to_numpy(), "o-", color=colour, markersize=5
        )
    ticks = sorted(set(values.values()))
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if log_x and len(ticks) <= 9:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.margins(0.05, 0.12)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)


def _by_value(
    found: pl.DataFrame, values: Mapping[str, float], place: tuple[Any, ...]
) -> pl.DataFrame:
    at = dict(zip(PLACE, place, strict=True))
    value = pl.col("method").replace_strict(dict(values), return_dtype=pl.Float64)
    return found.filter(**at).with_columns(value=value).sort("value")


def _place_labels(
    axes: Axes,
    found: pl.DataFrame,
    values: Mapping[str, float],
    places: Sequence[tuple[Any, ...]],
) -> None:
    """Name each line by what tells the places apart."""
    differing = [at for at in range(len(PLACE)) if len({place[at] for place in places}) > 1]
    labels, ends = [], []
    for place, colour in zip(places, COLOURS, strict=False):
        line = _by_value(found, values, place)
        if len(line):
            text = ", ".join(str(place[at]) for at in differing)
            labels.append((float(line["mean"][-1]), text, colour))
            ends.append(float(line["value"][-1]))
    end_labels(axes, max(ends), labels, size=LABEL_SIZE, room=1.6, leaders=True)
