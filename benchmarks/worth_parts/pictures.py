"""The picture of `worth.py`: targets accepted by round."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from proactrec.report.drawing import BLUE, GREEN, MUTED, STYLE, VERMILION
from proactrec.report.line_labels import end_labels
from shared.pictures import Pictures

COLOURS = {
    "Foresight": BLUE,
    "oracle-worth": MUTED,
    "ITMPRec": VERMILION,
    "nearest-to-target": GREEN,
}
Row = Mapping[str, Any]


def pictures(content: Mapping[str, Any], stem: str) -> Pictures:
    """The picture of a page, from its JSON; none before its cells are played."""
    rows = [
        row
        for row in content["rows"]
        if (row["part"], row["world"]) == ("grid", "medium") and row["method"] in COLOURS
    ]
    return {f"{stem}.png": partial(_drawn, rows)} if rows else {}


def _of(rows: Sequence[Row], leaving: str) -> list[Row]:
    return [row for row in rows if row["leaving"] == leaving]


def _drawn(rows: Sequence[Row]) -> Figure:
    """A panel per share that leaves, a line per method."""
    leaving = list(dict.fromkeys(row["leaving"] for row in rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(leaving) + 1, 3.6), layout="constrained")
        panels = figure.subplots(1, len(leaving), sharey=True, squeeze=False)[0]
        for axes, share in zip(panels, leaving, strict=True):
            for row in _of(rows, share):
                curve, style = [0.0, *row["curve"]], "--" if "oracle" in row["method"] else "-"
                axes.plot(range(len(curve)), curve, style, color=COLOURS[row["method"]])
            axes.set_title("nobody leaves" if share == "0%" else f"{share} leave after each round")
            axes.set_xticks([0, 5, 10, 15, 20])
            axes.set_ylim(bottom=0)
        labels = [
            (row["curve"][-1], row["method"], COLOURS[row["method"]])
            for row in _of(rows, leaving[-1])
        ]
        end_labels(panels[-1], 20, labels, room=1.2, leaders=True)
        figure.supxlabel("round")
        figure.supylabel("target accepted")
    return figure
