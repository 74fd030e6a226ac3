"""Gains of every method, round by round."""

from collections.abc import Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import at_place, over_seeds
from proactrec.report.benchmark.looks import (
    LABEL_SIZE,
    STEPS,
    UNITS,
    Look,
    about,
    looks_of,
    of_metric,
    under_title,
)
from proactrec.report.drawing import FAINT, INK, styled
from proactrec.report.line_labels import end_labels
from proactrec.report.plots import round_axis
from proactrec.report.tables import number_text

ROUNDS = {  # title, unit, sign of a gain
    "interest": ("Increase of interest in the target (IoI)", UNITS["ioi"], 1),
    "rank": ("Rise of the target among all items (IoR)", UNITS["ior"], -1),
}


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
    gains = over_seeds(_gains(of_metric(found, metric), sign))
    looks = looks_of(figures, gains, highlight)
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
