"""Charts of the console: options of ECharts, in colours that both themes can show."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

COLOURS = ("#2f7de1", "#c2571a", "#2a9d63", "#9357c9", "#b8860b", "#5f6b7a")
SOFT = "#808893"
FEW = 2
"""So many moments are drawn as bars."""


class Lines:
    """Lines over time, which go on in place; `label` says in a sentence what is seen."""

    def __init__(self, label: str, unit: str = "") -> None:
        self._chart = _chart(_base(label, unit) | _lines((), {}))

    def show(self, times: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> None:
        """Draw these instead."""
        self._chart.options.update(_lines(times, series))
        self._chart.update()


def _lines(times: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    return {
        "xAxis": {"type": "category", "data": list(times), **_axis()},
        "series": [
            {
                "name": name,
                "type": "line" if len(values) > FEW else "bar",  # points alone say little
                "data": list(values),
                "symbol": "circle",
                "barMaxWidth": 60,
                "lineStyle": {"width": 2, "type": ("solid", "dashed", "dotted")[at % 3]},
            }
            for at, (name, values) in enumerate(series.items())
        ],
    }


def intervals(
    label: str, names: Sequence[str], groups: Mapping[str, Sequence[tuple[float, float, float]]]
) -> None:
    """Means with whiskers (mean, low, high) per name, side by side in groups."""
    series: list[dict[str, Any]] = []
    for at, (group, values) in enumerate(groups.items()):
        colour = COLOURS[at % len(COLOURS)]
        points = [round(100 * mean, 3) for mean, _, _ in values]
        ends = [[round(100 * low, 3), round(100 * high, 3)] for _, low, high in values]
        series.append(
            {"name": group, "type": "bar", "data": points, "itemStyle": {"color": colour}}
        )
        series.append(_whiskers(group, ends, at, len(groups)))
    options = _base(label, " %") | {"xAxis": {"type": "category", "data": list(names), **_axis()}}
    _chart(options | {"series": series})


def _whiskers(group: str, ends: list[list[float]], at: int, n: int) -> dict[str, Any]:
    """Lines from low to high over the bars of a group."""
    rows = [[row, low, high] for row, (low, high) in enumerate(ends)]
    draw = (
        "(params, api) => { const x = api.coord([api.value(0), 0])[0]"
        f" + api.size([1, 0])[0] * 0.8 * (({at} + 0.5) / {n} - 0.5);"
        " const low = api.coord([api.value(0), api.value(1)])[1],"
        " high = api.coord([api.value(0), api.value(2)])[1];"
        " const line = (x1, y1, x2, y2) => ({type: 'line', shape: {x1, y1, x2, y2},"
        f" style: {{stroke: '{SOFT}', lineWidth: 2}}}});"
        " return {type: 'group', children: [line(x, low, x, high), line(x - 5, low, x + 5, low),"
        " line(x - 5, high, x + 5, high)]} }"
    )
    return {
        "name": group,
        "type": "custom",
        ":renderItem": draw,
        "encode": {"x": 0, "y": [1, 2]},
        "data": rows,
        "z": 10,
        "silent": True,
    }


def _base(label: str, unit: str) -> dict[str, Any]:
    return {
        "color": list(COLOURS),
        "animation": False,
        "textStyle": {"color": SOFT},
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "textStyle": {"color": SOFT}, "type": "scroll"},
        "tooltip": {
            "trigger": "axis",
            ":valueFormatter": f"value => value == null ? '–' : value + '{unit}'",
        },
        "yAxis": {
            "type": "value",
            "axisLabel": {"formatter": f"{{value}}{unit}", "color": SOFT},
            "splitLine": {"lineStyle": {"color": SOFT, "opacity": 0.25}},
        },
        "aria": {"enabled": True, "label": {"description": label}},
    }


def _axis() -> dict[str, Any]:
    return {"axisLabel": {"color": SOFT, "hideOverlap": True}, "axisTick": {"show": False}}


def _chart(options: dict[str, Any]) -> ui.echart:
    return ui.echart(options).classes("chart")
