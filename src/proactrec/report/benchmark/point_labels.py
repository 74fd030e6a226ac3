"""Names beside the points of a scatter plot, placed so that they can be read."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path as Line
from matplotlib.transforms import Bbox

from proactrec.report.drawing import TEXT_OF
from proactrec.types import FloatArray

REACHES = (7, 11, 18, 27, 38, 52, 70, 90, 120, 160, 210, 260)
"""Points between a point and its label."""
ANGLES = np.deg2rad([0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 300, 240])
NEAR = 11
"""From here on a thin line leads from the point to the label."""
MARGIN = 5
"""Half the size of a point, in points."""


class Taken(NamedTuple):
    """What labels should not meet, in pixels."""

    labels: list[Bbox]
    marks: list[Bbox]
    bars: list[Bbox]
    leaders: list[Line]


def point_labels(
    figure: Figure,
    axes: Axes,
    points: FloatArray,
    ends: FloatArray,
    names: Sequence[tuple[str, str]],
    *,
    size: float = 9,
) -> None:
    """Write each point's name where it meets nothing else, or as little as can be.

    The layout of the figure is fixed from then on.

    Parameters
    ----------
    points, ends : float arrays, shape (n, 2)
        x and y; lowest and highest y of the point's bar, NaN where it has none.
    names : sequence of (text, colour)
    size : float
        Of the font, in points.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale, centres = figure.dpi / 72, axes.transData.transform(points)
    taken = _obstacles(axes, points, ends, MARGIN * scale)
    for at in np.lexsort((centres[:, 0], centres[:, 1])):
        text, colour = names[at]
        label = axes.annotate(
            text,
            points[at],
            (0, 0),
            textcoords="offset points",
            fontsize=size,
            color=TEXT_OF.get(colour, colour),
            va="center",
            ha="center",
            zorder=6,
        )
        extent = label.get_window_extent(renderer)
        shape = np.array([extent.width, extent.height])
        offset = _best_offset(centres[at], shape, axes.bbox, taken, scale)
        label.set_position(tuple(offset / scale))
        taken.labels.append(_box(centres[at] + offset, shape))
        near = _nearest(offset, shape)
        if np.hypot(*near) > NEAR * scale:
            ends_of_line = np.array([centres[at], centres[at] + near])
            taken.leaders.append(Line(ends_of_line))
            line = axes.transData.inverted().transform(ends_of_line)
            style = {"colors": colour, "linewidths": 0.8, "alpha": 0.7, "zorder": 1.5}
            axes.add_artist(LineCollection([line], **style))


def _obstacles(axes: Axes, points: FloatArray, ends: FloatArray, margin: float) -> Taken:
    to_pixels = axes.transData.transform
    marks = [Bbox.from_extents(*(at - margin), *(at + margin)) for at in to_pixels(points)]
    bars = []
    for (x, _), (low, high) in zip(points, ends, strict=True):
        if np.isfinite([low, high]).all():
            (left, bottom), (right, top) = to_pixels([(x, low), (x, high)])
            bars.append(Bbox.from_extents(left - 2, bottom, right + 2, top))
    return Taken([], marks, bars, [])


def _offsets(shape: FloatArray, scale: float) -> Iterator[tuple[float, FloatArray, FloatArray]]:
    """Places to try, the nearest first: reach, direction, and offset of the label's middle."""
    for reach in REACHES:
        for angle in ANGLES:
            away = np.array([np.cos(angle), np.sin(angle)])
            yield reach, away, away * (reach * scale + np.abs(away) * shape / 2)


def _best_offset(
    centre: FloatArray, shape: FloatArray, inside: Bbox, taken: Taken, scale: float
) -> FloatArray:
    """The nearest place inside the axes at which the label meets nothing, else the least bad."""
    best, least = np.zeros(2), np.inf
    for reach, away, offset in _offsets(shape, scale):
        box = _box(centre + offset, shape)
        if not (inside.contains(*box.min) and inside.contains(*box.max)):
            continue
        harm = _harm_of_box(box, taken)
        if reach > NEAR and harm < least:
            start = centre + away * (MARGIN + 1) * scale
            harm += _harm_of_leader(Line([start, centre + _nearest(offset, shape)]), taken)
        if harm < least:
            best, least = offset, harm
        if least == 0:
            break
    return best


def _harm_of_box(box: Bbox, taken: Taken) -> float:
    """Labels must not cover each other, nor points; bars and leaders can be read behind one."""
    return (
        100 * sum(box.overlaps(other) for other in taken.labels)
        + 20 * sum(box.overlaps(other) for other in taken.marks)
        + 4 * sum(box.overlaps(other) for other in taken.bars)
        + 8 * sum(line.intersects_bbox(box) for line in taken.leaders)
    )


def _harm_of_leader(leader: Line, taken: Taken) -> float:
    return (
        8 * sum(leader.intersects_bbox(other, filled=False) for other in taken.labels)
        + 3 * sum(leader.intersects_bbox(other, filled=False) for other in taken.marks)
        + sum(leader.intersects_bbox(other, filled=False) for other in taken.bars)
        + 3 * sum(leader.intersects_path(other, filled=False) for other in taken.leaders)
    )


def _nearest(offset: FloatArray, shape: FloatArray) -> FloatArray:
    """From a point to the nearest place of a label whose middle is `offset` away."""
    near: FloatArray = np.clip(0.0, offset - shape / 2, offset + shape / 2)
    return near


def _box(middle: FloatArray, shape: FloatArray) -> Bbox:
    return Bbox.from_extents(*(middle - shape / 2 - 1), *(middle + shape / 2 + 1))
