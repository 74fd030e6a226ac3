"""Lines over time as an inline SVG, drawn by a template: light enough for a service to draw."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 548, 12, 206
"""Of the plane on which lines are drawn."""
LOOKS = ("blue", "vermilion", "plot-green", "plot-purple", "plot-orange", "plot-sky")
"""Colours of the page, see `style.css`, in the order in which lines take them."""
MOST_DOTS = 60
N_TICKS = 5


class Line(NamedTuple):
    """What is drawn of one name."""

    name: str
    values: Sequence[tuple[datetime, float]]


class Drawn(NamedTuple):
    """A line on the plane."""

    name: str
    colour: str
    path: str
    dots: list[tuple[float, float]]


class Figure(NamedTuple):
    """All that the template needs."""

    title: str
    caption: str
    lines: list[Drawn]
    heights: list[tuple[float, str]]  # of faint lines across, and what stands beside them
    times: list[tuple[float, str]]


def figure(
    title: str, caption: str, lines: Sequence[Line], *, by_day: bool, is_share: bool
) -> Figure | None:
    """Lines from 0 on, over the same times; None: there is nothing to draw."""
    moments = sorted({at for line in lines for at, _ in line.values})
    if not moments:
        return None
    first, span = moments[0], max((moments[-1] - moments[0]).total_seconds(), 1.0)
    step = _step(max(value for line in lines for _, value in line.values), is_share=is_share)
    top = step * N_TICKS

    def place(at: datetime, value: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * (at - first).total_seconds() / span
        return round(x, 1), round(BOTTOM - (BOTTOM - TOP) * value / top, 1)

    drawn = [
        _drawn(line.name, LOOKS[n % len(LOOKS)], [place(*one) for one in line.values])
        for n, line in enumerate(lines)
    ]
    form = "%d %b" if by_day else "%H:%M"
    shown = moments[:: math.ceil(len(moments) / 6)]
    return Figure(
        title,
        caption,
        drawn,
        [(place(first, n * step)[1], _text(n * step, is_share=is_share)) for n in range(6)],
        [(place(at, 0)[0], at.strftime(form)) for at in shown],
    )


def _drawn(name: str, colour: str, places: list[tuple[float, float]]) -> Drawn:
    path = " ".join(f"{'L' if n else 'M'}{x} {y}" for n, (x, y) in enumerate(places))
    return Drawn(name, colour, path, places if len(places) <= MOST_DOTS else [])


def _step(largest: float, *, is_share: bool) -> float:
    """Between two lines across, a round number: five of them reach the largest value."""
    least = max(largest / N_TICKS, 0.01 if is_share else 1.0)
    ten = 10.0 ** math.floor(math.log10(least))
    return next(ten * n for n in (1, 2, 5, 10) if ten * n >= least * (1 - 1e-9))


def _text(value: float, *, is_share: bool) -> str:
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%" if is_share else f"{value:,.0f}"
