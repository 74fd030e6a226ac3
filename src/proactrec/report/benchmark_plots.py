"""Plots of a benchmark; `figures` is the long frame of :mod:`proactrec.report.benchmark_tables`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.report.benchmark_tables import (
    ORACLES,
    PLACE,
    at_place,
    checked,
    head,
    metric_at,
    over_seeds,
    place_text,
    seeds_text,
)
from proactrec.report.extra import INSTALL
from proactrec.report.plots import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    end_labels,
    round_axis,
    styled,
)
from proactrec.report.point_labels import point_labels
from proactrec.report.tables import decimals, number_text
from proactrec.types import FloatArray

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
except ImportError as error:
    raise MissingExtraError(INSTALL) from error

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of the highlighted methods, in their order of appearance."""
DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
LABEL_SIZE = 9
STEPS = (1, 2, 2.5, 5, 10)
SHORTEST = 1e-3
"""Seconds below which a time is drawn as this one: the axis is logarithmic."""
UNITS = {
    "hr": "share of shown items accepted",
    "ioi": "mean gain in interest (inner product)",
    "ior": "mean ranks that the target rose",
    "ior200": "mean ranks risen, cut at 200",
    "accept_prob": "mean chance of acceptance",
    "target_accepted": "share of pairs whose target was accepted",
    "share_of_oracle": "share of the IoI of oracle-lookahead",
    "coverage": "share of the catalogue that was shown",
}
ROUNDS = {  # title, unit, sign of a gain
    "interest": ("Increase of interest in the target (IoI)", UNITS["ioi"], 1),
    "rank": ("Rise of the target among all items (IoR)", UNITS["ior"], -1),
}


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    width: float
    style: Any
    order: int


def main_methods(figures: pl.DataFrame, most: int = len(COLOURS)) -> list[str]:
    """The methods to highlight where the caller names none, in their order of appearance.

    Of those that are no oracles, the ones with the highest mean IoI at the last round, over all of
    `figures`; the first ones where IoI is missing.
    """
    known = checked(figures).filter(~pl.col("is_oracle"))
    order = known["method"].unique(maintain_order=True).to_list()
    ioi = known.filter(metric="ioi").filter(pl.col("round") == pl.col("round").max())
    best = ioi.group_by("method", maintain_order=True).agg(pl.col("mean").mean())
    ranked = best.sort("mean", descending=True, maintain_order=True)["method"].to_list()
    chosen = (ranked or order)[:most]
    return [method for method in order if method in chosen]


def rounds_plot(
    figures: pl.DataFrame,
    dataset: str,
    protocol: str,
    world: str,
    metric: str,
    *,
    highlight: Sequence[str] | None = None,
) -> Figure:
    """Gain since round 0 after every round: one line per method, bands over seeds.

    Parameters
    ----------
    metric : "interest" or "rank"
        Gain in interest (IoI), or ranks that the target rose (IoR, not cut).
    highlight : sequence of methods, optional
        Drawn in colour, six at most; by default :func:`main_methods`. Other methods are grey,
        oracles dashed.
    """
    if metric not in ROUNDS:
        raise InvalidInputError(f"metric must be interest or rank, got {metric!r}")
    title, unit, sign = ROUNDS[metric]
    found = at_place(figures, dataset, protocol, world)
    gains = over_seeds(_gains(_only(found, metric), sign))
    looks = _looks(figures, gains, highlight)
    n_rounds, ends = int(gains["round"].max()), []  # type: ignore[arg-type]
    height = max(4.3, 1.75 + 0.2 * len(looks))
    with styled(title, height, width=7.8) as (figure, axes):
        for method, look in looks.items():
            line = gains.filter(method=method).sort("round")
            _draw_line(axes, line, look)
            value = float(line["mean"][-1])
            text = f"{method}  {number_text(value, 3 if metric == 'interest' else 1)}"
            ends.append((value, text, look.colour))
        round_axis(axes, n_rounds)
        axes.set_ylabel(unit)
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=STEPS))
        _under_title(axes, *_about(gains, (dataset, protocol, world), "band", "dashed"))
        end_labels(axes, n_rounds, ends, size=LABEL_SIZE, room=1.45, leaders=True)
    return figure


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
    panels = [over_seeds(_last_round(_only(known, name))) for name in metrics]
    places = known.select(PLACE).unique(maintain_order=True).rows()
    if len(places) > len(COLOURS):
        raise InvalidInputError(
            f"figures must hold at most {len(COLOURS)} data sets, protocols and worlds to compare, "
            f"got {len(places)}"
        )
    names = " and ".join(
        metric_at(name, found["round"][0]) for name, found in zip(metrics, panels, strict=True)
    )
    with _grid(f"{names} by {x_label}", (0.6 + 4.2 * len(metrics), 4.1), len(metrics)) as (
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
        _under_suptitle(figure, *_about(panels[0], places[0] if len(places) == 1 else None, "bars"))
    return figure


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
    gain = over_seeds(_last_round(_only(found, "ioi")))
    seconds = over_seeds(_last_round(_only(found, "guidance_seconds")))
    both = gain.join(
        seconds.select("method", seconds="mean"), on="method", maintain_order="left"
    ).with_columns(pl.col("seconds").clip(lower_bound=SHORTEST))
    if both.is_empty():
        raise InvalidInputError(
            "figures must hold ioi and guidance_seconds of the same methods for "
            + place_text(dataset, protocol, world)
        )
    looks = _looks(figures, both, highlight)
    at = int(gain["round"][0])
    with styled(f"What guidance costs and gains (IoI@{at})", 4.6, width=7.8) as (figure, axes):
        axes.set_xscale("log")
        for row in both.iter_rows(named=True):
            _draw_dot(axes, row, looks[row["method"]])
        axes.margins(y=0.13)
        _seconds_axis(axes, both["seconds"].to_numpy())
        axes.set_ylabel(UNITS["ioi"])
        axes.grid(color=FAINT, alpha=0.25, linewidth=0.8)
        _under_title(axes, *_about(both, (dataset, protocol, world), "bars", "diamonds"))
        points = both.select("seconds", "mean").to_numpy()
        ends = both.select(pl.col("low", "high").cast(pl.Float64)).to_numpy()
        names = [(method, looks[method].colour) for method in both["method"]]
        point_labels(figure, axes, points, ends, names, size=LABEL_SIZE)
    return figure


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
    with _grid(title, size, len(protocols), width_ratios=widths) as (figure, all_axes):
        for axes, protocol, names in zip(all_axes, protocols, worlds, strict=True):
            axes.set_title(
                f"protocol {protocol}", fontsize=9, pad=8, fontweight="normal", color=MUTED
            )
            _cells(axes, found.filter(protocol=protocol), rows, names, limits, n_decimals)
            axes.set_yticks([])
        _row_names(all_axes[0], rows)
        seeds = seeds_text(int(min(found["n_seeds"])), int(max(found["n_seeds"])))
        _under_suptitle(figure, f"{dataset}, {seeds}: {UNITS.get(metric, head(metric))}")
    return figure


def _only(found: pl.DataFrame, metric: str) -> pl.DataFrame:
    rows = found.filter(metric=metric)
    if rows.is_empty():
        places = found.select(PLACE).unique(maintain_order=True).rows()
        raise InvalidInputError(f"figures must hold {metric} for {place_text(*places[0])}")
    return rows


def _last_round(found: pl.DataFrame) -> pl.DataFrame:
    return found.filter(pl.col("round") == pl.col("round").max())


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


def _looks(
    figures: pl.DataFrame, found: pl.DataFrame, highlight: Sequence[str] | None
) -> dict[str, Look]:
    """Of every method in `found`; a method's colour is the same in all plots of `figures`."""
    chosen = main_methods(figures) if highlight is None else list(highlight)
    if len(chosen) > len(COLOURS):
        raise InvalidInputError(
            f"highlight must name at most {len(COLOURS)} methods, got {len(chosen)}"
        )
    is_oracle = dict(checked(figures).select("method", "is_oracle").rows())
    oracles = [method for method, reads in is_oracle.items() if reads]
    looks = {}
    for method in found["method"].unique(maintain_order=True):
        if method in oracles:
            dashes = DASHES[oracles.index(method) % len(DASHES)]
            looks[method] = Look(INK, 1.3, dashes, 5)
        elif method in chosen:
            looks[method] = Look(COLOURS[chosen.index(method)], 2.2, "-", 4)
        else:
            looks[method] = Look(FAINT, 1.2, "-", 2)
    return looks


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


def _draw_dot(axes: Axes, row: Mapping[str, Any], look: Look) -> None:
    is_oracle = bool(row["is_oracle"])
    axes.errorbar(
        row["seconds"],
        row["mean"],
        yerr=_errors(row),
        fmt="D" if is_oracle else "o",
        markersize=5.5 if is_oracle else 6.5,
        markerfacecolor="none" if is_oracle else look.colour,
        color=look.colour,
        elinewidth=1,
        zorder=look.order,
    )


def _errors(row: Mapping[str, Any]) -> FloatArray | None:
    """Distances from the mean to the ends of its interval, shape (2, 1)."""
    if row["low"] is None or row["high"] is None:
        return None
    ends = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
    return np.maximum(np.array(ends, dtype=np.float64), 0)


def _about(
    found: pl.DataFrame, place: tuple[str, str, str] | None, mark: str, oracles: str = ""
) -> list[str]:
    """Two lines for below a title: where the figures are from, and what marks mean."""
    fewest, most = int(min(found["n_seeds"])), int(max(found["n_seeds"]))
    meaning = f"mean over {seeds_text(fewest, most)}"
    if most > 1:
        meaning += f", {mark}: 95 % interval over seeds"
    elif mark == "bars" and found["low"].is_not_null().any():
        meaning += f", {mark}: 95 % interval over users"
    if oracles and found["is_oracle"].any():
        meaning += f"; {oracles}: {ORACLES}"
    return [*([place_text(*place)] if place else []), meaning]


def _under_title(axes: Axes, *lines: str) -> None:
    """Smaller lines between the title and the axes."""
    axes.set_title(axes.get_title(loc="left"), pad=10 + 12.5 * len(lines))
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        (0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=LABEL_SIZE,
        color=MUTED,
    )


def _under_suptitle(figure: Figure, *lines: str) -> None:
    """Put the figure's title and smaller lines above all panels, at the left."""
    height = figure.get_figheight()
    title, down = figure.get_suptitle(), 0.26 + 0.18 * len(lines)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, 1 - down / height))  # type: ignore[call-arg]
    figure.suptitle(
        title,
        x=0.08 / figure.get_figwidth(),
        y=1 - 0.06 / height,
        ha="left",
        va="top",
        fontsize=11,
        fontweight="bold",
    )
    figure.text(
        0.08 / figure.get_figwidth(),
        1 - 0.27 / height,
        "\n".join(lines),
        va="top",
        fontsize=LABEL_SIZE,
        color=MUTED,
    )


@contextmanager
def _grid(
    title: str, size: tuple[float, float], n_panels: int, **how: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A new figure with panels side by side, drawn in our style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, n_panels, squeeze=False, **how)
        figure.suptitle(title).set_in_layout(False)
        yield figure, list(panels[0])


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
                row["value"], row["mean"], yerr=_errors(row), color=colour, capsize=3, elinewidth=1
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
