"""Names at the right ends of lines, placed so that they can be read."""

from collections.abc import Sequence

import numpy as np

from proactrec.errors import MissingExtraError
from proactrec.report.drawing import TEXT_OF
from proactrec.report.extra import INSTALL
from proactrec.types import FloatArray

try:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
except ImportError as error:
    raise MissingExtraError(INSTALL) from error


def end_labels(
    axes: Axes,
    at: float,
    labels: Sequence[tuple[float, str, str]],
    *,
    size: float = 10,
    room: float = 1.0,
    leaders: bool = False,
) -> None:
    """Write each line's name at its right end, pushed apart where they would overlap.

    Parameters
    ----------
    at : float
        Where the lines end, on the x axis.
    labels : sequence of (value, text, colour)
    size : float
        Of the font, in points.
    room : float
        Inches of the figure's height that are not axes.
    leaders : bool
        Draw a thin line from every value to its label.
    """
    axes.autoscale_view()  # else the limits are not known before drawing
    to_axes = axes.transScale + axes.transLimits
    ends = [np.asarray(to_axes.transform((at, value))) for value, _, _ in labels]
    height = axes.get_figure(root=True).get_figheight() - room  # type: ignore[union-attr]
    places = spread_out([float(end[1]) for end in ends], 1.3 * size / (72 * height))
    label_at = 1.035 if leaders else 1
    if leaders:
        lines = [
            np.array([end, (label_at, place)]) for end, place in zip(ends, places, strict=True)
        ]
        colours = [colour for _, _, colour in labels]
        axes.add_artist(
            LineCollection(
                lines, colors=colours, linewidths=0.8, transform=axes.transAxes, clip_on=False
            )
        )
    for place, (_, text, colour) in zip(places, labels, strict=True):
        axes.annotate(
            text.replace("-", "−") if text.startswith("-") else text,
            (label_at, place),
            (3 if leaders else 5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=TEXT_OF.get(colour, colour),
            fontsize=size,
            annotation_clip=False,
        )


def spread_out(places: Sequence[float], step: float) -> FloatArray:
    """The nearest places, in least squares, that keep their order and are `step` apart.

    They stay between 0 and 1 if they have room there.
    """
    order = np.argsort(places, kind="stable")
    slots = step * np.arange(len(places))
    blocks: list[list[float]] = []  # what must move together, shifted by its slots
    for value in np.asarray(places, float)[order] - slots:
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    shifted = np.array([np.mean(block) for block in blocks for _ in block])
    shifted = np.clip(shifted, 0, max(0.0, 1 - float(slots.max(initial=0))))
    found = np.empty(len(places))
    found[order] = shifted + slots
    return found
