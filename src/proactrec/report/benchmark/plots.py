"""The plots of a benchmark: gains by round, by cost, by an option's value, and by world."""

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import (
    ORACLES,
    at_place,
    checked,
    head,
    metric_at,
    over_seeds,
    place_text,
    seeds_text,
)
from proactrec.report.benchmark.looks import (
    LABEL_SIZE,
    STEPS,
    UNITS,
    Look,
    about,
    bar_lengths,
    last_round,
    looks_of,
    of_metric,
    side_by_side,
    under_suptitle,
    under_title,
)
from proactrec.report.benchmark.point_labels import point_labels
from proactrec.report.drawing import BLUE, FAINT, INK, MUTED, styled
from proactrec.report.line_labels import end_labels
from proactrec.report.plots import round_axis
from proactrec.report.tables import decimals, number_text
from proactrec.types import FloatArray

ROUNDS = {  # title, unit, sign of a gain, decimals
    "accepted": ("Targets accepted by round", UNITS["target_accepted"], 1, 3),
    "interest": ("Increase of interest in the target (IoI)", UNITS["ioi"], 1, 3),
    "rank": ("Rise of the target among all items (IoR)", UNITS["ior"], -1, 1),
}
"""What is drawn over the rounds."""
SHORTEST = 1e-3
"""Seconds below which a time is drawn as this one: the axis is logarithmic."""


def rounds_plot(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
    metric: str,
) -> Figure:
    """Gain since round 0 after every round: one line per method, bands over seeds.

    The best six methods are in colour, others grey, oracles dashed.

    Parameters
    ----------
    metric : one of :data:`ROUNDS`
        Share of targets accepted, gain in interest (IoI), or ranks that the target rose (IoR, not
        cut).
    """
    if metric not in ROUNDS:
        raise InvalidInputError(f"metric must be one of {', '.join(ROUNDS)}, got {metric!r}")
    title, unit, sign, n_decimals = ROUNDS[metric]
    found = at_place(figures, dataset, protocol, world)
    gains = over_seeds(_gains(of_metric(found, metric), sign))
    looks = looks_of(figures, gains)
    n_rounds, ends = int(gains["round"].max()), []  # type: ignore[arg-type]
    height = max(4.3, 1.75 + 0.2 * len(looks))
    with styled(title, height, width=7.8) as (figure, axes):
        for method, look in looks.items():
            line = gains.filter(method=method).sort("round")
            _draw_line(axes, line, look)
            value = float(line["mean"][-1])
            text = f"{method}  {number_text(value, n_decimals)}"
            ends.append((value, text, look.colour))
        round_axis(axes, n_rounds)
        axes.set_ylabel(unit)
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=STEPS))
        under_title(axes, *about(gains, (dataset, protocol, world), "band", "dashed"))
        end_labels(axes, n_rounds, ends, size=LABEL_SIZE, room=1.45, leaders=True)
    return figure


def _gains(found: pl.DataFrame, sign: int) -> pl.DataFrame:
    """Change since round 0 of the same seed; intervals over users do not carry over."""
    key = ("method", "seed")
    start = found.filter(round=0).select(*key, start="mean")
    if start.is_empty():
        raise InvalidInputError(f"figures must hold {found['metric'][0]} at round 0, got none")
    unknown = pl.lit(None, pl.Float64)
    return found.join(start, on=key, maintain_order="left").with_columns(
        mean=sign * (pl.col("mean") - pl.col("start")), low=unknown, high=unknown
    )


def _draw_line(axes: Axes, line: pl.DataFrame, look: Look) -> None:
    known = line.filter(pl.col("half_width").is_not_null())
    if len(known):
        axes.fill_between(
            known["round"].to_numpy(),
            known["low"].to_numpy(),
            known["high"].to_numpy(),
            color=look.colour,
            alpha=0.07 if look.colour in (FAINT, INK) else 0.13,
            linewidth=0,
            zorder=1 + look.order / 10,
        )
    axes.plot(
        line["round"].to_numpy(),
        line["mean"].to_numpy(),
        color=look.colour,
        linewidth=look.width,
        linestyle=look.style,
        zorder=look.order,
    )


def cost_plot(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
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
    looks = looks_of(figures, both)
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


def sensitivity_plot(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
    values: Mapping[str, float],
    metrics: Sequence[str],
    x_label: str,
) -> Figure:
    """Metrics at their last round by an option's value, as in Figure 4 of the paper.

    Parameters
    ----------
    values : mapping from method to number
        What the option is in each method; others are left out.
    metrics : names
        One panel each.
    """
    found = at_place(figures, dataset, protocol, world).filter(pl.col("method").is_in([*values]))
    if found.is_empty():
        raise InvalidInputError(f"figures must hold methods of values, found none of {[*values]}")
    panels = [over_seeds(last_round(of_metric(found, name))) for name in metrics]
    labels = [metric_at(*panel.select("metric", "round").row(0)) for panel in panels]
    title, size = f"{' and '.join(labels)} by {x_label}", (0.6 + 4.2 * len(metrics), 4.1)
    with side_by_side(title, size, len(metrics)) as (figure, all_axes):
        for axes, name, label, panel in zip(all_axes, metrics, labels, panels, strict=True):
            axes.set_title(label, fontsize=10)
            _sensitivity_panel(axes, panel, values)
            axes.set_ylabel(UNITS.get(name, head(name)))
            axes.set_xlabel(x_label)
        under_suptitle(figure, *about(panels[0], (dataset, protocol, world), "bars"))
    return figure


def _sensitivity_panel(axes: Axes, found: pl.DataFrame, values: Mapping[str, float]) -> None:
    value = pl.col("method").replace_strict(dict(values), return_dtype=pl.Float64)
    line = found.with_columns(value=value).sort("value")
    for row in line.iter_rows(named=True):
        lengths = bar_lengths(row)
        axes.errorbar(row["value"], row["mean"], yerr=lengths, color=BLUE, capsize=3, elinewidth=1)
    axes.plot(line["value"].to_numpy(), line["mean"].to_numpy(), "o-", color=BLUE, markersize=5)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = sorted(set(values.values()))
    if len(ticks) <= 9:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.margins(0.05, 0.12)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)


def worlds_heat_map(
    figures: pl.DataFrame, dataset: str, metric: str = "ioi", round: int = 20
) -> Figure:
    """A metric of every method in every world, one panel per protocol, oracles below a gap."""
    known = checked(figures).filter(dataset=dataset, metric=metric, round=round)
    if known.is_empty():
        raise InvalidInputError(
            f"figures must hold {metric} at round {round} of {dataset}, got none"
        )
    found = over_seeds(known)
    groups = [
        found.filter(is_oracle=kind)["method"].unique(maintain_order=True).to_list()
        for kind in (False, True)
    ]
    rows: list[str] = [*groups[0], *([ORACLES] if groups[1] else []), *groups[1]]
    protocols = found["protocol"].unique(maintain_order=True).to_list()
    worlds = [
        found.filter(protocol=name)["world"].unique(maintain_order=True).to_list()
        for name in protocols
    ]
    widths = [len(names) for names in worlds]
    size = (max(5.6, 2.6 + 0.95 * sum(widths)), 1.55 + 0.29 * len(rows))
    limits = float(found["mean"].min()), float(found["mean"].max())  # type: ignore[arg-type]
    n_decimals = decimals(found["mean"])
    title = f"{metric_at(metric, round)} by method and world"
    with side_by_side(title, size, len(protocols), width_ratios=widths) as (figure, all_axes):
        for axes, protocol, names in zip(all_axes, protocols, worlds, strict=True):
            axes.set_title(
                f"protocol {protocol}", fontsize=9, pad=8, fontweight="normal", color=MUTED
            )
            _cells(axes, found.filter(protocol=protocol), rows, names, limits, n_decimals)
            axes.set_yticks([])
        _row_names(all_axes[0], rows)
        seeds = seeds_text(int(min(found["n_seeds"])), int(max(found["n_seeds"])))
        under_suptitle(figure, f"{dataset}, {seeds}: {UNITS.get(metric, head(metric))}")
    return figure


def _cells(
    axes: Axes,
    found: pl.DataFrame,
    rows: Sequence[str],
    worlds: Sequence[str],
    limits: tuple[float, float],
    n_decimals: int,
) -> None:
    """Coloured cells with their values written in them."""
    means = {(row[0], row[1]): row[2] for row in found.select("method", "world", "mean").rows()}
    spread = (limits[1] - limits[0]) or 1.0
    for (row, method), (column, world) in product(enumerate(rows), enumerate(worlds)):
        if method == ORACLES:
            continue
        value = means.get((method, world))
        fill = None if value is None else mpl.colormaps["viridis"]((value - limits[0]) / spread)
        if fill is not None:
            axes.add_patch(Rectangle((column + 0.012, row + 0.04), 0.976, 0.92, facecolor=fill))
        axes.text(
            column + 0.5,
            row + 0.5,
            number_text(value, n_decimals),
            ha="center",
            va="center_baseline",
            color=FAINT if fill is None else _readable_on(fill),
            fontsize=9,
        )
    axes.set_xlim(0, len(worlds))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks(np.arange(len(worlds)) + 0.5, list(worlds))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _row_names(axes: Axes, rows: Collection[str]) -> None:
    axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
    for label in axes.get_yticklabels():
        if label.get_text() == ORACLES:
            label.set(fontstyle="italic", color=MUTED, fontsize=LABEL_SIZE)


def _readable_on(colour: Any) -> str:
    """Black or white (nearly: pure ones follow a page's theme), whichever contrasts more.

    By the relative luminance of WCAG 2, whose contrasts with black and white are equal at 0.18.
    """
    light = np.asarray(colour[:3], dtype=np.float64)
    linear = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    return "#0a0b0d" if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else "#fefefe"
