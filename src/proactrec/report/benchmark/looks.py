"""What the plots of a benchmark have in common: colours of methods, titles, bars and panels."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import ORACLES, PLACE, checked, place_text, seeds_text
from proactrec.report.drawing import (
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
)
from proactrec.types import FloatArray

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Of the main methods, in their order of appearance."""
DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
LABEL_SIZE = 9
STEPS = (1, 2, 2.5, 5, 10)
UNITS = {
    "hr": "share of shown items accepted",
    "ioi": "mean gain in interest (inner product)",
    "ior": "mean ranks that the target rose",
    "ior200": "mean ranks risen, cut at 200",
    "accept_prob": "mean chance of acceptance",
    "target_accepted": "share of pairs whose target was accepted",
    "rounds_to_target": "mean rounds until the target was accepted",
    "worth": "mean worth of a journey",
    "share_of_oracle": "share of the IoI of oracle-lookahead",
    "coverage": "share of the catalogue that was shown",
}


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    width: float
    style: Any
    order: int


def main_methods(figures: pl.DataFrame) -> list[str]:
    """The methods that are drawn in colour, in their order of appearance.

    Of those that are no oracles, the ones with the highest mean IoI at the last round, over all of
    `figures`; the first ones where IoI is missing.
    """
    known = checked(figures).filter(~pl.col("is_oracle"))
    order = known["method"].unique(maintain_order=True).to_list()
    ioi = known.filter(metric="ioi").filter(pl.col("round") == pl.col("round").max())
    best = ioi.group_by("method", maintain_order=True).agg(pl.col("mean").mean())
    ranked = best.sort("mean", descending=True, maintain_order=True)["method"].to_list()
    chosen = (ranked or order)[: len(COLOURS)]
    return [method for method in order if method in chosen]


def looks_of(figures: pl.DataFrame, found: pl.DataFrame) -> dict[str, Look]:
    """Of every method in `found`; a method's colour is the same in all plots of `figures`."""
    chosen = main_methods(figures)
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


def of_metric(found: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The figures of a metric; InvalidInputError where there are none."""
    rows = found.filter(metric=metric)
    if rows.is_empty():
        places = found.select(PLACE).unique(maintain_order=True).rows()
        raise InvalidInputError(f"figures must hold {metric} for {place_text(*places[0])}")
    return rows


def last_round(found: pl.DataFrame) -> pl.DataFrame:
    """The figures at the last round."""
    return found.filter(pl.col("round") == pl.col("round").max())


def bar_lengths(row: Mapping[str, Any]) -> FloatArray | None:
    """Distances from the mean to the ends of its interval, shape (2, 1)."""
    if row["low"] is None or row["high"] is None:
        return None
    ends = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
    return np.maximum(np.array(ends, dtype=np.float64), 0)


def about(
    found: pl.DataFrame, place: tuple[str, str, str], mark: str, oracles: str = ""
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
    return [place_text(*place), meaning]


def under_title(axes: Axes, *lines: str) -> None:
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


def under_suptitle(figure: Figure, *lines: str) -> None:
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
def side_by_side(
    title: str, size: tuple[float, float], n_panels: int, **how: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A new figure with panels side by side, drawn in our style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, n_panels, squeeze=False, **how)
        figure.suptitle(title).set_in_layout(False)
        yield figure, list(panels[0])
