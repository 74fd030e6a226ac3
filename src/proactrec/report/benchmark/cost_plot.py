"""What guidance costs in seconds, and what it gains."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import at_place, over_seeds, place_text
from proactrec.report.benchmark.looks import (
    LABEL_SIZE,
    UNITS,
    Look,
    about,
    bar_lengths,
    last_round,
    looks_of,
    of_metric,
    under_title,
)
from proactrec.report.drawing import FAINT, styled
from proactrec.report.point_labels import point_labels
from proactrec.types import FloatArray

SHORTEST = 1e-3
"""Seconds below which a time is drawn as this one: the axis is logarithmic."""


def cost_plot(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
    *,
    highlight: Sequence[str] | None = None,
) -> Figure:
    """Seconds of guidance against IoI at the last round: one dot per method."""
    found = at_place(figures, dataset, protocol, world)
    gain = over_seeds(last_round(of_metric(found, "ioi")))
    seconds = over_seeds(last_round(of_metric(found, "guidance_seconds")))
    both = gain.join(
        seconds.select("method", seconds="mean"), on="method", maintain_order="left"
    ).with_columns(pl.col("seconds").clip(lower_bound=SHORTEST))
    if both.is_empty():
        raise InvalidInputError(
            "figures must hold ioi and guidance_seconds of the same methods for "
            + place_text(dataset, protocol, world)
        )
    looks = looks_of(figures, both, highlight)
    at = int(gain["round"][0])
    with styled(f"What guidance costs and gains (IoI@{at})", 4.6, width=7.8) as (figure, axes):
        axes.set_xscale("log")
        for row in both.iter_rows(named=True):
            _draw_dot(axes, row, looks[row["method"]])
        axes.margins(y=0.13)
        _seconds_axis(axes, both["seconds"].to_numpy())
        axes.set_ylabel(UNITS["ioi"])
        axes.grid(color=FAINT, alpha=0.25, linewidth=0.8)
        under_title(axes, *about(both, (dataset, protocol, world), "bars", "diamonds"))
        points = both.select("seconds", "mean").to_numpy()
        ends = both.select(pl.col("low", "high").cast(pl.Float64)).to_numpy()
        names = [(method, looks[method].colour) for method in both["method"]]
        point_labels(figure, axes, points, ends, names, size=LABEL_SIZE)
    return figure


def _draw_dot(axes: Axes, row: Mapping[str, Any], look: Look) -> None:
    is_oracle = bool(row["is_oracle"])
    axes.errorbar(
        row["seconds"],
        row["mean"],
        yerr=bar_lengths(row),
        fmt="D" if is_oracle else "o",
        markersize=5.5 if is_oracle else 6.5,
        markerfacecolor="none" if is_oracle else look.colour,
        color=look.colour,
        elinewidth=1,
        zorder=look.order,
    )


def _seconds_axis(axes: Axes, seconds: FloatArray) -> None:
    """Logarithmic, with room for labels; never narrower than a factor of four."""
    least, most = float(seconds.min()), float(seconds.max())
    room = max((most / least) ** 0.13, 2)
    axes.set_xlim(least / room, most * room)
    spans_much = most > 300 * least
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if spans_much else (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel("seconds of guidance, all users and rounds (logarithmic)")
