"""A metric of every method in every world."""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import (
    ORACLES,
    checked,
    head,
    metric_at,
    over_seeds,
    seeds_text,
)
from proactrec.report.benchmark.looks import LABEL_SIZE, UNITS, side_by_side, under_suptitle
from proactrec.report.drawing import FAINT, MUTED
from proactrec.report.tables import decimals, number_text


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
